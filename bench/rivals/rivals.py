#!/usr/bin/env python3
"""Measures ebmcuda beside other software on the same work, and makes docs/rivals.md.

    python3 -m venv BUILD_DIR/venv && BUILD_DIR/venv/bin/pip install -r bench/rivals/requirements.txt
    BUILD_DIR/venv/bin/python bench/rivals/rivals.py BUILD_DIR sampling [--repeats 5] [--chains 64 1000 100000]
    BUILD_DIR/venv/bin/python bench/rivals/rivals.py BUILD_DIR training [--iterations 6000]

sampling: Langevin chains on the same network shapes, 60 steps, same threads, all warm; each rival in a process of its own,
and in every repeat all are measured one after another in random order. training: ebmkit's own two-moons setting, by
ebmkit and by `ebm train`, and how soon `ebm train` reaches ebmkit's gap. Gaps are exact: log Z by quadrature. Results are
kept in BUILD_DIR/rivals; the page is made from what is there.
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

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OURS = "ebmcuda"
RIVALS = ["PyTorch eager", "torch.compile", "JAX jit", "JAX jit, rbg noise", "ebmkit", "torchebm"]
COMPILERS = ["torch.compile", "JAX jit", "JAX jit, rbg noise"]
NETWORKS = [(2, [64, 64]), (2, [128, 128]), (64, [128, 128])]
STEPS = 60
# ebmkit's setting, as options of `ebm train`.
EBMKIT_SETTING = ["--sampler", "langevin", "--step-size", "0.01", "--langevin-steps", "60", "--batch-size", "256",
                  "--buffer-size", "8192", "--reinit-prob", "0.05", "--energy-reg", "0.1", "--learning-rate", "1e-3",
                  "--decay", "constant", "--ema", "0", "--init-scale", "1", "--hidden", "128,128"]
SHORTER = [50, 100, 200, 400, 800, 1600, 3200]


def output_of(command):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def network_name(dim, hidden):
    return "-".join(str(n) for n in (dim, *hidden, 1))


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

    def seconds(self, case, min_seconds):
        name = (f"langevin/{network_name(case['dim'], case['hidden'])}/silu/chains:{case['chains']}/steps:{case['steps']}"
                f"/threads:{self.threads}/real_time")
        report = json.loads(output_of([self.program, f"--threads={self.threads}", f"--benchmark_filter=^{name}$",
                                       f"--benchmark_min_time={min_seconds}", "--benchmark_format=json"]))
        rate = report["benchmarks"][0]["chain_steps_per_second"]
        return case["chains"] * case["steps"] / rate

    def close(self):
        pass


def sampling(build, folder, arguments):
    competitors = {OURS: Ours(build, arguments.threads)}
    competitors |= {name: Rival(name, arguments.threads) for name in arguments.rivals}
    results = []
    for chains in arguments.chains:
        for dim, hidden in NETWORKS:
            case = {"dim": dim, "hidden": hidden, "chains": chains, "steps": STEPS}
            times = {name: [] for name in competitors}
            large = chains >= 100_000  # seconds a call: fewer repeats, and the call that warms is enough
            first, last = (1, min(arguments.repeats, 2)) if large else (0, arguments.repeats)
            for repeat in range(first, last + 1):  # round 0 warms and is not counted
                order = list(competitors)
                random.shuffle(order)
                for name in order:
                    seconds = competitors[name].seconds(case, arguments.min_seconds if repeat > 0 else 0.01)
                    if repeat > 0:
                        times[name].append(seconds)
            results.append({**case, "seconds": times})
            ours = statistics.median(times[OURS])
            best = min((n for n in times if n != OURS), key=lambda n: statistics.median(times[n]))
            ratio = statistics.median(times[best]) / ours
            winner = f"{OURS} is {ratio:.1f} x faster than {best}, the next" if ratio >= 1 else \
                f"{best} is {1 / ratio:.1f} x faster than {OURS}"
            print(f"{network_name(dim, hidden)}, {chains} chains: {winner}", flush=True)
    for competitor in competitors.values():
        competitor.close()
    keep(folder / "sampling.json", arguments, results)


def gap(ebm, model, fresh, extra=()):
    command = [ebm, "evaluate", model, fresh, "--density", "two_moons", "--no-baselines", "-q", *extra]
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, check=False)
    report = json.loads(done.stdout)
    return {"gap": report.get("density", {}).get("gap"), "refused": report.get("refused")}


def training(build, folder, arguments):
    ebm = build / "tools" / "ebm"
    data, fresh = folder / "moons.npy", folder / "fresh.npy"
    output_of([ebm, "data", "two_moons", "--n", 8192, "--out", data, "-q"])
    output_of([ebm, "data", "two_moons", "--n", 65536, "--first", 8192, "--out", fresh, "-q"])
    results = []

    def ours(name, options):
        model = folder / "ours.safetensors"
        begin = time.perf_counter()
        output_of([ebm, "train", data, "--out", model, "--threads", arguments.threads, "-q", *options])
        results.append({"name": name, "seconds": time.perf_counter() - begin, **gap(ebm, model, fresh)})
        print(results[-1], flush=True)

    model = folder / "ebmkit.safetensors"
    report = json.loads(output_of([sys.executable, HERE / "train_ebmkit.py", data, model, arguments.iterations,
                                   arguments.threads]))
    results.append({"name": "ebmkit", **report,
                    **gap(ebm, model, fresh, ["--activation", "silu", "--head", "scalar"])})
    print(results[-1], flush=True)
    ours("same setting", [*EBMKIT_SETTING, "--steps", arguments.iterations])
    ours("without options", [])
    for iterations in SHORTER:
        ours(f"--steps {iterations}", ["--steps", iterations])
    keep(folder / "training.json", arguments, results)


def keep(path, arguments, results):
    versions = {name: importlib.metadata.version(name) for name in ("torch", "jax", "ebmkit", "torchebm")}
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    settings = {k: v for k, v in vars(arguments).items() if k != "build"}
    path.write_text(json.dumps({"date": str(datetime.date.today()), "machine": model.group(1) if model else "?",
                                "versions": versions, "settings": settings, "results": results}, indent=1))


def milliseconds(values):
    return f"{1e3 * statistics.median(values):.3g} ({1e3 * min(values):.3g} .. {1e3 * max(values):.3g})"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(r) + " |" for r in rows), ""]


def about(document, part, options):
    settings = document["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    words = []
    for option in options:
        value = settings[option]
        words += ["--" + option.replace("_", "-"), *(map(str, value) if isinstance(value, list) else [str(value)])]
    return ["Made by", "", f"    bench/rivals/rivals.py BUILD_DIR {part} {' '.join(words)}", "",
            f"on {document['date']}: {document['machine']}, {settings['threads']} threads; {versions}.", ""]


def sampling_page(document):
    results, lines = document["results"], []
    names = list(results[0]["seconds"])
    median = [{name: statistics.median(r["seconds"][name]) for name in names} for r in results]
    lines += ["## Sampling", "", *about(document, "sampling", ["repeats", "min_seconds", "chains", "threads"]),
              f"Langevin chains, {STEPS} steps; milliseconds for all of them: median of the repeats, two for 100,000 chains and more "
              "(smallest .. largest).",
              "In every repeat each was measured once, in random order, all warm, each in a process of its own. PyTorch "
              "and JAX loops are written for this: parameters need no gradient, `torch.compile` compiles a whole step with "
              "its noise, JAX the whole loop.", ""]
    lines += table(["network", "chains", *names], [
        [network_name(r["dim"], r["hidden"]), f"{r['chains']:,}", *(milliseconds(r["seconds"][n]) for n in names)]
        for r in results])
    lines += ["How many times as long as ebmcuda each takes (below 1: it is faster):", ""]
    lines += table(["network", "chains", *names[1:]], [
        [network_name(r["dim"], r["hidden"]), f"{r['chains']:,}", *(f"{m[n] / m[OURS]:.1f}" for n in names[1:])]
        for r, m in zip(results, median)])
    lines += ["Against what was set out:", ""]
    rows = []
    for r, m in zip(results, median):
        for label, rivals, target in (("PyTorch eager", ["PyTorch eager"], 15 if r["chains"] == 64 else 3),
                                      ("the best of torch.compile and JAX", COMPILERS, 5 if r["chains"] == 64 else 2)):
            rivals = [n for n in rivals if n in m]
            if rivals:
                ratio = min(m[n] for n in rivals) / m[OURS]
                rows.append([network_name(r["dim"], r["hidden"]), f"{r['chains']:,}", label, f">= {target} x",
                             f"{ratio:.1f} x", "met" if ratio >= target else "not met"])
    return lines + table(["network", "chains", "against", "target", "measured", ""], rows)


def training_page(document):
    def cell(result):
        return f"refused: {result['refused']}" if result["gap"] is None else f"{result['gap']:.4f}"
    iterations, results = document["settings"]["iterations"], document["results"]
    rival = results[0]
    lines = ["## Training on two moons", "", *about(document, "training", ["iterations", "threads"]),
             f"ebmkit's own setting: 2-128-128-1 SiLU, {iterations} iterations of 256 points and chains, 60 Langevin steps of "
             "0.01, Adam 1e-3, replay buffer 8192, energy regularisation 0.1. The same 8192 points for all. `ebm train` "
             "standardises the data and confines the energy, ebmkit does neither. Gap: mean over 65,536 fresh points of "
             "log p_true - log p_model, log Z by quadrature: nats per point, 0 is perfect. ebmkit's seconds are those of "
             "its fit(), ours those of the whole command.", ""]
    lines += table(["who", "seconds", "gap", "ebmkit's time / this"], [
        [r["name"] if r["name"] == "ebmkit" else f"`ebm train`, {r['name']}", f"{r['seconds']:.2f}", cell(r),
         f"{rival['seconds'] / r['seconds']:.1f} x"] for r in results])
    if rival["gap"] is not None:
        reached = [r for r in results[2:] if r["gap"] is not None and r["gap"] <= rival["gap"]]
        if reached:
            first = min(reached, key=lambda r: r["seconds"])
            lines += [f"ebmkit's gap is reached in {first['seconds']:.2f} s (`ebm train`, {first['name']}): "
                      f"{rival['seconds'] / first['seconds']:.0f} times sooner.", ""]
    return lines


def page(folder):
    lines = ["# Beside other software", "",
             "Made by bench/rivals/rivals.py; do not edit. Same machine, same threads, same work, interleaved.", ""]
    for name, make in (("sampling", sampling_page), ("training", training_page)):
        path = folder / f"{name}.json"
        if path.exists():
            lines += make(json.loads(path.read_text()))
    (ROOT / "docs" / "rivals.md").write_text("\n".join(lines).rstrip() + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("part", choices=["sampling", "training", "page"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--min-seconds", type=float, default=0.3, dest="min_seconds", help="of each measurement")
    parser.add_argument("--chains", type=int, nargs="+", default=[64, 1000, 100_000])
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=RIVALS)
    parser.add_argument("--iterations", type=int, default=6000, help="of the training at ebmkit's setting")
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
    page(folder)


if __name__ == "__main__":
    main()
