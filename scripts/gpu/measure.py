#!/usr/bin/env python3
"""Measures the CUDA engine on this machine's GPU, in stages. OUT/gpu.json has the results, anew after each of them.

    measure.py --programs DIR_OR_JSON [--out OUT] [--toy] [--seconds 470] [stage ...]

stages, in this order:
  device       GPU, driver, clocks, what tools there are
  suite        every GPU test
  checks       what a simulated device cannot show, at full size (tests/cuda/hardware_test.cpp)
  throughput   every regime of bench/regimes.cpp
  rivals       the same work in PyTorch and JAX, where they import (bench/rivals/gpu.py)
  counters     Nsight Compute on the headline kernels, where ncu is
  sanitizer    compute-sanitizer's four tools on quick tests, where it is

Each has a share of --seconds; what a stage leaves over goes to the next. A kill loses the running stage only (what it had is kept as
"stopped"), and one that is asked for again takes the place of its old result. Beside a measurement's JSON stands its page,
OUT/performance-gpu.md. --programs: gpu_programs.json of a build tree, or the folder that
`scripts/gpu.sh --bundle` made. --toy: sizes for a simulated device, in every stage; such a result is marked, as is every one
of a simulated device, and page.py refuses both. Exit status 1 when a stage failed or
was not finished. Python's standard library only.
"""
import argparse
import csv
import ctypes
import datetime
import io
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

import gtest_runner
import page

HERE = pathlib.Path(__file__).resolve().parent
# Seconds of the whole 470.
SHARES = {"device": 10, "suite": 65, "checks": 50, "throughput": 95, "rivals": 140, "counters": 45, "sanitizer": 65}
GROUPS = ["small", "large", "training", "annealed", "wide", "energy", "gradient", "ais"]
TOOLS = ["memcheck", "racecheck", "synccheck", "initcheck"]
CHECKS = "*Hardware*"
# Of the suite, small and without errors that are made on purpose.
QUICK = "*LaunchTest*:*PrecisionTest*:*HardwareTest*TheSameBits*"
# Of the suite, at toy size: it shows that programs and runner work, and CI runs all of it by CTest.
TOY = {"*": "*PrecisionTest*:*HardwareFunctions*", "*cuda*": "*EnergyTest*cuda*"}
HEADLINES = ["small/langevin/64-128-128-1/silu/fp32/chains:256/steps:20", "small/mala/64-128-128-1/silu/fp16/chains:256/steps:20",
             "large/langevin/64-128-128-1/silu/fp16/chains:1000000/steps:5", "large/langevin/64-128-128-1/silu/fp16x3/chains:1000000/steps:5",
             "large/mala/64-128-128-1/silu/fp16/chains:1000000/steps:5", "large/langevin/64-128-128-1/silu/fp32/chains:1000000/steps:2"]
SECTIONS = ["SpeedOfLight", "LaunchStats", "Occupancy", "WarpStateStats", "MemoryWorkloadAnalysis", "InstructionStats"]
NVIDIA_SMI = ["name", "driver_version", "compute_cap", "pci.bus_id", "memory.total", "clocks.sm", "clocks.mem", "clocks.max.sm",
              "clocks.max.mem", "power.limit", "temperature.gpu", "pstate", "persistence_mode", "ecc.mode.current"]


class Skipped(Exception):
    """The stage has nothing to run here, and this is why."""


class Machine:
    """The programs, how they are run, and how much time is left."""

    def __init__(self, arguments, scratch):
        self.scratch = pathlib.Path(scratch)
        path = arguments.programs
        if path.is_dir():
            path = unpacked(path, self.scratch)
        self.programs = json.loads(path.read_text())
        if "commit" not in self.programs:  # a build tree: of these sources
            done = subprocess.run(["git", "-C", str(HERE), "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True) if shutil.which("git") else None
            self.programs["commit"] = done.stdout.strip() if done and done.returncode == 0 else None
        self.folder = path.parent
        self.toy, self.jobs = arguments.toy, arguments.jobs
        self.keep = lambda part: None  # what the stage under way has so far
        self.environment = dict(os.environ)
        libraries = self.folder / "lib"
        if libraries.is_dir():  # after what is asked for, so that a simulated device's come first
            self.environment["LD_LIBRARY_PATH"] = ":".join(filter(None, [os.environ.get("LD_LIBRARY_PATH"), str(libraries)]))
        self.end = time.monotonic()

    def program(self, name):
        return str(self.folder / self.programs[name])

    def suites(self):
        return [(str(self.folder / s["program"]), s["filter"]) for s in self.programs["suites"]]

    def left(self):
        return max(1.0, self.end - time.monotonic())

    def run(self, command):
        """Within the stage's time; (exit status or None when it ran out, output)."""
        return gtest_runner.bounded(command, self.left(), self.environment)


def unpacked(bundle, scratch):
    """gpu_programs.json of a bundle; its archive is unpacked beside it, or for this once where that may not be written."""
    folder = (bundle if os.access(bundle, os.W_OK) else scratch) / "programs"
    if not (folder / "gpu_programs.json").exists():
        beside = folder.with_name("programs.part")
        shutil.rmtree(beside, ignore_errors=True)
        with tarfile.open(bundle / "programs.tar.xz") as archive:
            archive.extractall(beside, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        beside.rename(folder)
    return folder / "gpu_programs.json"


def device(machine):
    found = {"host": f"{os.cpu_count()} processors, {platform.platform()}", "python": platform.python_version()}
    status, text = machine.run([machine.program("ebm"), "info"])
    found["ebm info"] = text.splitlines()
    if status != 0 or "cuda:0" not in text:
        raise RuntimeError("this build finds no CUDA device here (architectures: "
                           f"{machine.programs['architectures']}):\n{text}")
    smi = shutil.which("nvidia-smi")
    if smi:
        status, text = machine.run([smi, f"--query-gpu={','.join(NVIDIA_SMI)}", "--format=csv,noheader"])
        if status == 0:
            found["gpus"] = [dict(zip(NVIDIA_SMI, [v.strip() for v in line.split(",")])) for line in text.splitlines()]
        status, text = machine.run([smi, "-q", "-d", "CLOCK,PERFORMANCE,TEMPERATURE,POWER"])
        found["nvidia-smi -q"] = text.splitlines()
    found["tools"] = {tool: path_of(tool) for tool in ("nvidia-smi", "compute-sanitizer", "ncu")}
    return found


def path_of(tool):
    """Where a tool is: in PATH, or where toolkits put it."""
    places = [shutil.which(tool)]
    for root in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda", "/opt/cuda"):
        places += [f"{root}/bin/{tool}", f"{root}/compute-sanitizer/{tool}"] if root else []
    places += sorted(map(str, pathlib.Path("/opt/nvidia/nsight-compute").glob(f"*/{tool}")), reverse=True)
    return next((p for p in places if p and os.access(p, os.X_OK)), None)


def outcome_of(outcome):
    if not gtest_runner.good(outcome):
        outcome["status"] = "incomplete" if outcome["counts"]["failed"] == 0 and outcome["counts"]["not run"] > 0 else "failed"
    return outcome


def announce(result):
    if result["status"] in ("failed", "not run"):
        print(f"  {result['status']}: {result['name']} {result.get('why', '')}", flush=True)


def suite(machine):
    suites = machine.suites()
    if machine.toy:
        suites = [(program, TOY[pattern]) for program, pattern in suites]
    return outcome_of(gtest_runner.run(suites, machine.jobs, 300, machine.left() - 2, machine.environment, report=announce))


def checks(machine):
    environment = {**machine.environment, "EBMCUDA_TEST_FULL_SIZE": "0" if machine.toy else "1"}
    program = machine.suites()[0][0]
    outcome = gtest_runner.run([(program, CHECKS)], min(4, machine.jobs), 300, machine.left() - 2, environment,
                               keep_output=True, report=announce)
    outcome["functions"] = {name.strip(): float(share) for case in outcome["cases"]
                            for name, share in re.findall(r"^(.+?) +error (\S+) of its bound$", case["output"], re.MULTILINE)}
    return outcome_of(outcome)


def throughput(machine):
    """A process a group: a group that fails or runs out of time loses itself alone."""
    found, problems = [], []
    for group in GROUPS:
        file = machine.scratch / f"{group}.json"
        command = [machine.program("regimes"), "--device=cuda", f"--benchmark_filter=^{group}/", f"--benchmark_out={file}",
                   "--benchmark_out_format=json"] + (["--toy"] if machine.toy else [])
        status, text = machine.run(command)
        try:
            document = json.loads(file.read_text())
        except (OSError, ValueError):
            if not (machine.toy and "Failed to match any benchmarks" in text):
                problems.append(f"{group}: {'no time left' if status is None else f'exit status {status}'}: {text[-500:]}")
            continue
        if status != 0:
            problems.append(f"{group}: exit status {status}")
        for run in document["benchmarks"]:
            name = re.sub(r"/iterations:\d+/manual_time$", "", run["name"])
            if run.get("error_occurred"):
                problems.append(f"{name}: {run.get('error_message')}")
                continue
            kept = {k: v for k, v in run.items() if isinstance(v, float) and k not in ("real_time", "cpu_time") or k == "label"}
            found.append({"name": name, **kept})
        machine.keep({"regimes": found, "problems": problems})
    result = {"regimes": found}
    if problems:
        result.update(status="incomplete" if found else "failed", problems=problems)
    return result


def rivals(machine):
    script = next(p for p in (HERE / "rivals" / "gpu.py", HERE.parent.parent / "bench" / "rivals" / "gpu.py") if p.exists())
    lines, workers = [], ["eager", "graph", "jax", "compile"]  # the compiler takes what time the others leave
    for i, worker in enumerate(workers):
        seconds = machine.left() / (len(workers) - i)
        command = [sys.executable, script, worker, "--seconds", f"{max(1.0, seconds - 12):.0f}"] + (["--toy"] if machine.toy else [])
        # Its lines go to a file as they come: those of a worker that has to be stopped count too.
        with open(machine.scratch / f"{worker}.jsonl", "w+") as file:
            status, errors = gtest_runner.bounded(command, seconds, stdout=file, stderr=subprocess.PIPE)
            file.seek(0)
            lines += [json.loads(line) for line in file if line.endswith("\n")]
        if status != 0:
            lines.append({"rival": worker, "error": "stopped: its time was over" if status is None else errors[-500:]})
        machine.keep({"measurements": lines})
    if not any("seconds" in line for line in lines):
        raise Skipped("; ".join(sorted({f"{line['rival']}: {line['error']}" for line in lines})))
    return {"measurements": lines}


def counters(machine):
    ncu = path_of("ncu")
    if ncu is None:
        raise Skipped("Nsight Compute (ncu) was not found")
    kernels = []
    for name in HEADLINES:
        if machine.left() < 5:
            kernels.append({"name": name, "error": "no time left"})
            continue
        sections = [word for section in SECTIONS for word in ("--section", section)]
        status, text = machine.run([ncu, "--csv", "--page", "details", "--clock-control", "none", "--kernel-name-base", "demangled",
                                    "--kernel-name", "regex:chains_kernel", "--launch-count", "1", *sections, machine.program("regimes"),
                                    "--device=cuda", "--only-once", f"--case={name}"])
        rows = list(csv.DictReader(io.StringIO("\n".join(line for line in text.splitlines() if line.startswith('"')))))
        if status != 0 or not rows:
            kernels.append({"name": name, "error": text[-800:] or f"exit status {status}"})
            continue
        metrics = {}
        for row in rows:
            if row.get("Metric Name"):  # some stand in two sections, in the first as a share
                metrics.setdefault(row["Metric Name"], f"{row['Metric Value']} {row['Metric Unit']}".strip())
        kernels.append({"name": name, "kernel": rows[0]["Kernel Name"][:200], "metrics": metrics})
    if not any("metrics" in kernel for kernel in kernels):
        raise Skipped(f"ncu counted nothing: {kernels[0]['error']}")
    return {"kernels": kernels}


def sanitizer(machine):
    program = path_of("compute-sanitizer")
    if program is None:
        raise Skipped("compute-sanitizer was not found")
    tools = {}
    for i, tool in enumerate(TOOLS):
        limit = machine.left() / (len(TOOLS) - i)
        environment = {**machine.environment, "EBMCUDA_TEST_FULL_SIZE": "0"}
        options = ["--report-api-errors", "no"] if tool == "memcheck" else []  # tests make some on purpose
        outcome = gtest_runner.run([(machine.suites()[0][0], QUICK)], machine.jobs, limit, limit, environment,
                                   prefix=[program, "--tool", tool, *options, "--error-exitcode", "86"], report=announce)
        tools[tool] = outcome_of(outcome)
        machine.keep({"tools": tools})
    statuses = [outcome.get("status") for outcome in tools.values()]
    result = {"tools": tools}
    if any(statuses):
        result["status"] = "failed" if "failed" in statuses else "incomplete"
    return result


STAGES = {"device": device, "suite": suite, "checks": checks, "throughput": throughput, "rivals": rivals, "counters": counters,
          "sanitizer": sanitizer}


def head_of(machine, name):
    return {"stage": name, "status": "stopped", "began": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "toy": machine.toy, "simulated": is_simulated(), "seconds": 0.0,
            "programs": {k: machine.programs.get(k) for k in ("version", "commit", "architectures", "compiler")}}


def run_stage(machine, name, keep):
    """The stage's result; `keep` gets it with what it has, whenever that is more."""
    began, result = time.monotonic(), head_of(machine, name)
    machine.keep = lambda part: keep({**result, **part, "seconds": round(time.monotonic() - began, 2)})
    try:
        found = {"status": "ok", **STAGES[name](machine)}
    except Skipped as reason:
        found = {"status": "skipped", "why": str(reason)}
    except Exception as error:  # the other stages go on
        found = {"status": "failed", "why": f"{type(error).__name__}: {error}"}
    result.update(found, seconds=round(time.monotonic() - began, 2))
    keep(result)
    return result


def is_simulated():
    """Without a driver, whatever runs is no GPU."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return True
    return False


class Results:
    """OUT/gpu.json: the stages that have a result, in order."""

    def __init__(self, out):
        self.path = out / "gpu.json"
        self.document = json.loads(self.path.read_text()) if self.path.exists() else {"stages": {}}

    def keep(self, stage):
        stages = {**self.document["stages"], stage["stage"]: stage}
        stages = {name: stages[name] for name in STAGES if name in stages}
        self.document = {"format": 1, "toy": any(s["toy"] for s in stages.values()),
                         "simulated": any(s["simulated"] for s in stages.values()), "stages": stages}
        beside = self.path.with_name(self.path.name + ".part")
        beside.write_text(json.dumps(self.document, indent=1))
        beside.rename(self.path)


def run_stages(machine, arguments, results):
    wanted = [name for name in STAGES if not arguments.stages or name in arguments.stages]
    scale = arguments.seconds / sum(SHARES[name] for name in wanted)
    good, end = True, time.monotonic()
    for name in wanted:
        end += scale * SHARES[name]
        machine.end = end
        print(f"=== {name}", flush=True)
        result = run_stage(machine, name, results.keep)
        print(f"{name}: {result['status']}, {result['seconds']:.1f} s {result.get('why', '')}".rstrip(), flush=True)
        for problem in result.get("problems", []):
            print(f"  {problem}", flush=True)
        good = good and result["status"] in ("ok", "skipped")
        if name == "device" and result["status"] == "failed":
            break  # nothing else can run
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu-results"))
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--seconds", type=float, default=sum(SHARES.values()))
    parser.add_argument("--jobs", type=int, default=min(8, os.cpu_count() or 1), help="tests at a time")
    parser.add_argument("stages", nargs="*", metavar="stage")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what runs is stopped, as by Ctrl-C
    unknown = [name for name in arguments.stages if name not in STAGES]
    if unknown:
        parser.error(f"no stage {unknown[0]}: must be {', '.join(STAGES)}")
    arguments.out = arguments.out.resolve()
    arguments.out.mkdir(parents=True, exist_ok=True)
    page_file = arguments.out / "performance-gpu.md"
    page_file.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        results = Results(arguments.out)
        good = run_stages(Machine(arguments, scratch), arguments, results)
    print(results.path)
    try:
        page_file.write_text(page.page(results.document, json.loads((HERE / "predictions.json").read_text())))
        print(page_file)
    except page.Refused as reason:
        print(f"no page: {reason}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
