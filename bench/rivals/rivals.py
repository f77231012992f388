#!/usr/bin/env python3
"""Measures ebmcuda beside other software on the same work, and makes docs/rivals.md.

    python3 -m venv BUILD_DIR/venv && BUILD_DIR/venv/bin/pip install -r bench/rivals/requirements.txt
    BUILD_DIR/venv/bin/python bench/rivals/rivals.py BUILD_DIR sampling [--repeats 5] [--networks ...] [--chains ...]
    BUILD_DIR/venv/bin/python bench/rivals/rivals.py BUILD_DIR training [--seeds 0 1 2]

sampling: Langevin chains on the same network shapes, 60 steps, same threads, all warm; each rival in a process of its own,
and in every repeat all are measured one after another in random order. training: ebmkit's own two-moons setting, by
ebmkit and by `ebm train`, and how soon each reaches a gap; one round of all of them for each seed. Gaps are exact: log Z
by quadrature. Results are kept in BUILD_DIR/rivals, a new measurement in the place of the old one of the same case, so
that the whole can be measured in parts; the page is made from what is there.
"""
import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time

import page

HERE = pathlib.Path(__file__).resolve().parent
OURS = "ebmcuda"
RIVALS = ["PyTorch eager", "torch.compile", "JAX jit", "JAX jit, rbg noise", "ebmkit", "torchebm"]
NETWORKS = ["2-64-64-1", "2-128-128-1", "64-128-128-1"]
STEPS = 60
SETTLE_SECONDS = 0.2  # thread pools of the process before spin for a while after their last work
# ebmkit's setting, as options of `ebm train`.
EBMKIT_SETTING = ["--sampler", "langevin", "--step-size", "0.01", "--langevin-steps", "60", "--batch-size", "256",
                  "--buffer-size", "8192", "--reinit-prob", "0.05", "--energy-reg", "0.1", "--learning-rate", "1e-3",
                  "--decay", "constant", "--ema", "0", "--init-scale", "1", "--hidden", "128,128"]
SHORTER = [50, 100, 200, 400, 800, 1600, 3200]


def output_of(command):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout


class Rival:
    """A worker process of samplers.py."""

    def __init__(self, name, threads):
        self.process = subprocess.Popen([sys.executable, str(HERE / "samplers.py"), name, str(threads)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def seconds(self, case, min_seconds):
        self.process.stdin.write(json.dumps({**case, "min_seconds": min_seconds}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["seconds"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    """The benchmark program, warm as the others: it runs the chains once before it measures."""

    def __init__(self, build, threads):
        self.program, self.threads = build / "bench" / "bench_sampler", threads
        self.peaks = []  # FLOP/s by fused multiply-adds from registers, measured in each of its runs

    def seconds(self, case, min_seconds):
        network = "-".join(str(n) for n in (case["dim"], *case["hidden"], 1))
        name = f"langevin/{network}/silu/chains:{case['chains']}/steps:{case['steps']}/threads:{self.threads}"
        report = json.loads(output_of([self.program, f"--threads={self.threads}", f"--benchmark_filter=^{name}(/|$)",
                                       f"--benchmark_min_time={min_seconds}", "--benchmark_format=json"]))
        peak = report["context"][f"fma_peak_{self.threads}_threads"]
        self.peaks.append(1e9 * float(re.match(r"[\d.]+", peak).group()))
        rate = report["benchmarks"][0]["chain_steps_per_second"]
        return case["chains"] * case["steps"] / rate

    def close(self):
        pass


def sampling(build, folder, arguments):
    ours = Ours(build, arguments.threads)
    competitors = {OURS: ours} | {name: Rival(name, arguments.threads) for name in arguments.rivals}
    for chains in arguments.chains:
        for network in arguments.networks:
            dim, *hidden = [int(n) for n in network.split("-")[:-1]]
            case = {"dim": dim, "hidden": hidden, "chains": chains, "steps": STEPS}
            times = {name: [] for name in competitors}
            large = chains >= 100_000  # seconds a call: fewer repeats, and the call that warms is enough
            first, last = (1, min(arguments.repeats, 3)) if large else (0, arguments.repeats)
            for repeat in range(first, last + 1):  # round 0 warms and is not counted
                order = list(competitors)
                random.shuffle(order)
                for name in order:
                    time.sleep(SETTLE_SECONDS)
                    seconds = competitors[name].seconds(case, arguments.min_seconds if repeat > 0 else 0.01)
                    if repeat > 0:
                        times[name].append(seconds)
            median = {name: statistics.median(values) for name, values in times.items()}
            best = min((n for n in median if n != OURS), key=median.get)
            ratio = median[best] / median[OURS]
            print(f"{network}, {chains} chains: " +
                  (f"{OURS} is {ratio:.1f} x faster than {best}, the next" if ratio >= 1 else
                   f"{best} is {1 / ratio:.1f} x faster than {OURS}"), flush=True)
            keep(folder / "sampling.json", arguments, ["network", "chains"],
                 [{"network": network, **case, "peak": max(ours.peaks), "seconds": times}])
    for competitor in competitors.values():
        competitor.close()


def gap(ebm, model, fresh, extra=()):
    command = [ebm, "evaluate", model, fresh, "--density", "two_moons", "--no-baselines", "-q", *extra]
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, check=False)
    report = json.loads(done.stdout)
    return {"gap": report.get("density", {}).get("gap"), "refused": report.get("refused")}


def training(build, folder, arguments):
    ebm = build / "tools" / "ebm"
    data, fresh, model = folder / "moons.npy", folder / "fresh.npy", folder / "model.safetensors"
    output_of([ebm, "data", "two_moons", "--n", 8192, "--out", data, "-q"])
    output_of([ebm, "data", "two_moons", "--n", 65536, "--first", 8192, "--out", fresh, "-q"])

    def record(name, iterations, seed, seconds, quality):
        result = {"name": name, "iterations": iterations, "seed": seed, "seconds": seconds, **quality}
        print(result, flush=True)
        keep(folder / "training.json", arguments, ["name", "iterations", "seed"], [result])

    def ours(name, iterations, seed, options):
        time.sleep(SETTLE_SECONDS)
        begin = time.perf_counter()
        output_of([ebm, "train", data, "--out", model, "--threads", arguments.threads, "--seed", seed, "--steps", iterations,
                   "-q", *options])
        record(name, iterations, seed, time.perf_counter() - begin, gap(ebm, model, fresh))

    def ebmkit(seed):
        snapshots = json.loads(output_of([sys.executable, HERE / "train_ebmkit.py", data, folder / "ebmkit", arguments.iterations,
                                          arguments.threads, seed]))
        for s in snapshots:
            record("ebmkit", s["iterations"], seed, s["seconds"],
                   gap(ebm, s["model"], fresh, ["--activation", "silu", "--head", "scalar"]))

    def recommended(seed):
        for iterations in SHORTER:
            ours(page.RECOMMENDED, iterations, seed, [])

    parts = {"ebmkit": ebmkit, "same": lambda seed: ours(page.SAME, arguments.iterations, seed, EBMKIT_SETTING),
             "recommended": recommended}
    for seed in arguments.seeds:
        for part in arguments.parts:
            parts[part](seed)


def keep(path, arguments, key, results):
    """Adds `results` to the file; one with the same `key` as an older one replaces it."""
    old = json.loads(path.read_text())["results"] if path.exists() else []
    known = {json.dumps([r[k] for k in key]): r for r in old + results}
    versions = {name: importlib.metadata.version(name) for name in ("torch", "jax", "ebmkit", "torchebm")}
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    settings = {k: v for k, v in vars(arguments).items() if k != "build"}
    path.write_text(json.dumps({"date": str(datetime.date.today()), "machine": model.group(1) if model else "?",
                                "versions": versions, "settings": settings, "results": list(known.values())}, indent=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("part", choices=["sampling", "training", "page"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=5, help="of each sampling case; 100,000 chains: at most 3")
    parser.add_argument("--min-seconds", type=float, default=0.3, dest="min_seconds", help="of each measurement")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--chains", type=int, nargs="+", default=[64, 1000, 100_000])
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=RIVALS)
    parser.add_argument("--iterations", type=int, default=6000, help="of the training at ebmkit's setting")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", choices=["ebmkit", "same", "recommended"],
                        default=["ebmkit", "same", "recommended"], help="of a training round")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:arguments.threads]))  # XLA takes every core it may
    build = arguments.build.resolve()
    folder = build / "rivals"
    folder.mkdir(exist_ok=True)
    random.seed(0)
    if arguments.part == "sampling":
        sampling(build, folder, arguments)
    elif arguments.part == "training":
        training(build, folder, arguments)
    page.write(folder)


if __name__ == "__main__":
    main()
