#!/usr/bin/env python3
"""Runs the benchmark programs and makes docs/performance-cpu.md from what they measured.

    cmake -S . -B BUILD_DIR && cmake --build BUILD_DIR
    scripts/performance.py BUILD_DIR [--repetitions 5] [--min-time 0.1] [--parts sampler gradient ...]

Every program measures its benchmarks in random order, `--repetitions` times each, so that a slow moment of the machine
does not hit one of them alone; the FMA peak that shares refer to is measured in the same process. `--parts` measures some
of them and keeps the results of the others: sampler gradient training ais replay, the first two on other instruction sets
than the machine's best (sampler-AVX2, ...), `profile` (perf) and `instructions` (valgrind). Raw results are kept as
BUILD_DIR/performance/NAME.json. With --device=cuda the tables go to docs/performance-cuda.md. A plot (PNG) is drawn where
matplotlib is installed. About ten minutes on two cores.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import instructions
import performance_page
from performance_page import OTHER_SET_PROGRAMS, PROGRAMS, set_of


def measure(build, folder, arguments, part):
    program, other_set = part.partition("-")[0], set_of(part)
    command = [build / "bench" / f"bench_{program}", f"--device={arguments.device}", f"--clock={arguments.clock}",
               "--benchmark_enable_random_interleaving=true", f"--benchmark_repetitions={arguments.repetitions}",
               f"--benchmark_min_time={arguments.min_time}", f"--benchmark_out={folder / part}.json",
               "--benchmark_out_format=json", "--benchmark_display_aggregates_only=true"]
    if arguments.clock == "cpu":
        command.append("--threads=1")
    if other_set:
        command += [f"--instruction-set={other_set}", "--benchmark_filter=^(langevin|gradient)/.*:10000/"]
    subprocess.run([str(c) for c in command], check=True, stdout=sys.stderr)


def train_and_sample(build, folder, dim):
    """Commands of `ebm` that this part of the measurements run, on a small model."""
    ebm, model, data = build / "tools" / "ebm", folder / f"model-{dim}.safetensors", folder / "moons.npy"
    if dim == 2:
        subprocess.run([str(ebm), "data", "two_moons", "--n", "8192", "--out", str(data), "-q"], check=True)
    else:
        data = performance_page.ROOT / "data" / "digits.csv"
    train = [ebm, "train", data, "--out", model, "--threads", "1", "-q", "--steps"]
    sample = [ebm, "sample", model, "--out", folder / "samples.npy", "--sampler", "langevin", "--threads", "1", "-q"]
    return train, sample


def profile(build, folder):
    """Where the time of chains and of training goes: shares of samples by function, for one thread."""
    if shutil.which("perf") is None:
        print("perf is not installed: no profile", file=sys.stderr)
        return
    train, sample = train_and_sample(build, folder, 2)
    train_digits, sample_digits = train_and_sample(build, folder, 64)
    chains = ["--chains", "10000", "--langevin-steps", "200"]
    found = {}
    for name, command in {"ebm train moons.npy --steps 1000": [*train, "1000"],
                          "ebm sample moons.safetensors --sampler langevin " + " ".join(chains): [*sample, *chains],
                          "ebm train digits.csv --steps 500": [*train_digits, "500"],
                          "ebm sample digits.safetensors --sampler langevin " + " ".join(chains): [*sample_digits, *chains]}.items():
        record = ["perf", "record", "-q", "-F", "997", "-e", "cpu-clock", "-o", folder / "perf.data", *command]
        report = ["perf", "report", "-i", folder / "perf.data", "--stdio", "--field-separator", "|", "--sort", "symbol"]
        if subprocess.run([str(c) for c in record], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
            print("perf may not record here: no profile", file=sys.stderr)
            return
        text = subprocess.run([str(c) for c in report], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=True).stdout
        lines = [line.split("|", 1) for line in text.splitlines() if "|" in line and not line.startswith("#")]
        found[name] = [(re.sub(r"^\[.\] ", "", symbol.split("|")[0].strip()), float(share.strip(" %"))) for share, symbol in lines]
    (folder / "profile.json").write_text(json.dumps(found, indent=1))


def peak_memory(command):
    """Bytes that a program held at its peak."""
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(str(command[0]), [str(c) for c in command], os.environ, file_actions=silent)
    _, status, usage = os.wait4(child, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed")
    return usage.ru_maxrss * 1024


def memory(build, folder):
    """Bytes a chain of the whole program `ebm sample`: the slope of its peak from one to two million chains."""
    found = {}
    for dim, few in ((2, 1_000_000), (64, 200_000)):
        train, sample = train_and_sample(build, folder, dim)
        subprocess.run([str(c) for c in [*train, "1"]], check=True)
        small, large = (peak_memory([*sample, "--langevin-steps", "1", "--chains", n]) for n in (few, 2 * few))
        found[dim] = (large - small) / few
    (folder / "memory.json").write_text(json.dumps(found, indent=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--min-time", type=float, default=0.1, help="seconds of each repetition")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall",
                        help="cpu: rates per second of processor time, one thread; for a machine that does other work")
    parser.add_argument("--parts", nargs="*", choices=[*PROGRAMS, *OTHER_SET_PROGRAMS, "profile", "memory", "instructions"],
                        help="what to measure anew; none: only make the page again")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    folder = build / "performance"
    folder.mkdir(exist_ok=True)
    parts = arguments.parts
    if parts is None:
        parts = [*PROGRAMS] if arguments.device == "cuda" else \
            [*PROGRAMS, *OTHER_SET_PROGRAMS, "profile", "memory", "instructions"]
    settings = folder / "settings.json"
    if not parts and settings.exists():  # the page names the command that measured
        vars(arguments).update(json.loads(settings.read_text()))
    for part in parts:
        print(part, flush=True)
        if part == "profile":
            profile(build, folder)
        elif part == "memory":
            memory(build, folder)
        elif part == "instructions":
            instructions.count(build, folder)
        else:
            measure(build, folder, arguments, part)
            settings.write_text(json.dumps({k: getattr(arguments, k) for k in ("device", "clock", "repetitions", "min_time")}))
    performance_page.write(folder, arguments)


if __name__ == "__main__":
    main()
