#!/usr/bin/env python3
"""Runs the benchmark programs and makes docs/performance-cpu.md from what they measured.

    cmake -S . -B BUILD_DIR && cmake --build BUILD_DIR
    scripts/performance.py BUILD_DIR [--repetitions 5] [--min-time 0.1] [--filter REGEX] [--tables-only]

Every program measures its benchmarks in random order, `--repetitions` times each, so that a slow moment of the machine
does not hit one of them alone; the FMA peak that shares refer to is measured in the same process. Raw results are kept
as BUILD_DIR/performance/NAME.json. With --device=cuda the tables go to docs/performance-cuda.md. A plot (PNG) is drawn
where matplotlib is installed. About ten minutes on two cores.
"""
import argparse
import datetime
import json
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = ["sampler", "gradient", "training", "ais", "replay"]
MEASURES = ["chain_steps_per_second", "gradients_per_second", "slots_per_second"]
NETWORKS = ["2-64-64-1", "2-128-128-1", "64-128-128-1", "64-256-256-1"]


def measure(build, folder, arguments):
    for program in PROGRAMS:
        command = [build / "bench" / f"bench_{program}", f"--device={arguments.device}",
                   "--benchmark_enable_random_interleaving=true", f"--benchmark_repetitions={arguments.repetitions}",
                   f"--benchmark_min_time={arguments.min_time}", f"--benchmark_out={folder / program}.json",
                   "--benchmark_out_format=json", "--benchmark_display_aggregates_only=true"]
        if arguments.clock == "cpu":
            command.append("--threads=1")
        if arguments.filter:
            command.append(f"--benchmark_filter={arguments.filter}")
        print(program, flush=True)
        subprocess.run([str(c) for c in command], check=True, stdout=sys.stderr)


def profile(build, folder):
    """Where the time of chains and of training goes: shares of samples by function, for one thread."""
    if shutil.which("perf") is None:
        print("perf is not installed: no profile", file=sys.stderr)
        return
    moons, model = folder / "moons.npy", folder / "moons.safetensors"
    ebm = build / "tools" / "ebm"
    quiet = ["--threads", "1", "-q"]
    subprocess.run([str(ebm), "data", "two_moons", "--n", "8192", "--out", str(moons), "-q"], check=True)
    found = {}
    for name, command in {
            "ebm train moons.npy --steps 1000": ["train", moons, "--steps", "1000", "--out", model],
            "ebm sample moons.safetensors --chains 10000 --langevin-steps 200 --sampler langevin":
                ["sample", model, "--chains", "10000", "--langevin-steps", "200", "--sampler", "langevin", "--out",
                 folder / "samples.npy"]}.items():
        record = ["perf", "record", "-q", "-F", "997", "-e", "cpu-clock", "-o", folder / "perf.data", ebm, *command, *quiet]
        report = ["perf", "report", "-i", folder / "perf.data", "--stdio", "--field-separator", "|", "--sort", "symbol"]
        if subprocess.run([str(c) for c in record], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
            print("perf may not record here: no profile", file=sys.stderr)
            return
        text = subprocess.run([str(c) for c in report], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=True).stdout
        lines = [line.split("|", 1) for line in text.splitlines() if "|" in line and not line.startswith("#")]
        found[name] = [(re.sub(r"^\[.\] ", "", symbol.split("|")[0].strip()), float(share.strip(" %"))) for share, symbol in lines]
    (folder / "profile.json").write_text(json.dumps(found, indent=1))


class Case:
    """The repetitions of one benchmark."""

    def __init__(self, name):
        self.name = name.removesuffix("/real_time").removesuffix("/manual_time")
        self.values = {}
        words = self.name.split("/")
        self.kind = words[0]
        self.network = words[1] if len(words) > 1 and "-" in words[1] else None
        self.activation = words[2] if self.network else None
        self.parameters = dict(w.split(":") for w in words if ":" in w)

    def number(self, key):
        return int(self.parameters[key]) if key in self.parameters else None

    def median(self, key):
        return statistics.median(self.values[key])

    def spread(self, key):
        return min(self.values[key]), max(self.values[key])

    @property
    def measure(self):
        return next(m for m in MEASURES if m in self.values)

    @property
    def rate(self):
        return self.median(self.measure)


def load(folder, clock):
    cases, contexts = {}, {}
    for program in PROGRAMS:
        path = folder / f"{program}.json"
        if not path.exists() or path.stat().st_size == 0:
            continue
        document = json.loads(path.read_text())
        contexts[program] = document["context"]
        for run in document["benchmarks"]:
            if run["run_type"] != "iteration" or run.get("error_occurred"):
                continue
            case = cases.setdefault(run["run_name"], Case(run["run_name"]))
            case.order = PROGRAMS.index(program), run["family_index"]
            # A manually timed benchmark does other work too, which the processor's clock can't tell apart.
            if clock == "cpu" and run["run_name"].endswith("manual_time"):
                continue
            for key, value in run.items():
                if clock == "cpu" and key in (*MEASURES, "GFLOP_per_second", "share_of_peak"):
                    value *= run["real_time"] / run["cpu_time"]
                if key in MEASURES or key in ("GFLOP_per_second", "share_of_peak", "parts_of_iteration"):
                    case.values.setdefault(key, []).append(value)
    return sorted((c for c in cases.values() if c.values), key=lambda case: case.order), contexts


def select(cases, **wanted):
    def fits(case):
        for key, value in wanted.items():
            have = getattr(case, key) if key in ("kind", "network", "activation") else case.number(key)
            if have != value:
                return False
        return True
    return [c for c in cases if fits(c)]


def only(cases, **wanted):
    found = select(cases, **wanted)
    return found[0] if len(found) == 1 else None


def short(value):
    for letter, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {letter}"
    return f"{value:.3g}"


def spread_of(case, key, form=short):
    low, high = case.spread(key)
    return f"{form(case.median(key))} ({form(low)} .. {form(high)})"


def percent(value):
    return f"{100 * value:.0f} %"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(r) + " |" for r in rows), ""]


def speed_rows(cases):
    for case in cases:
        row = [case.kind, case.network or "", case.activation or "",
               ", ".join(f"{k} {v}" for k, v in case.parameters.items() if k != "threads"),
               case.parameters.get("threads", ""), spread_of(case, case.measure)]
        row.append(f"{case.median('GFLOP_per_second'):.1f}" if "GFLOP_per_second" in case.values else "")
        row.append(spread_of(case, "share_of_peak", percent) if "share_of_peak" in case.values else "")
        yield row


HEAD = ["benchmark", "network", "activation", "sizes", "threads", "per second: median (min .. max)", "GFLOP/s",
        "share of FMA peak"]


def targets(cases, most, profiles):
    """What the project set out to reach, against what was measured."""
    rows = []

    def row(claim, target, value, met):
        rows.append([claim, target, value, "met" if met else "not met"])

    shares = [("64-256-256-1", 0.75, 0.65), ("64-128-128-1", 0.65, 0.55), ("2-128-128-1", None, 0.50)]
    for network, gradient_share, chain_share in shares:
        for threads in sorted({1, most}):
            case = only(cases, kind="gradient", network=network, points=10_000, threads=threads)
            if gradient_share and case and "share_of_peak" in case.values:
                row(f"gradient, {network}, 10,000 points, threads {threads}", f">= {percent(gradient_share)} of the peak",
                    spread_of(case, "share_of_peak", percent), case.median("share_of_peak") >= gradient_share)
            case = only(cases, kind="langevin", network=network, chains=10_000, steps=60, threads=threads)
            if case and "share_of_peak" in case.values:
                row(f"chains, {network}, 10,000 chains, threads {threads}", f">= {percent(chain_share)} of the peak",
                    spread_of(case, "share_of_peak", percent), case.median("share_of_peak") >= chain_share)
    if most == 2:
        for network in NETWORKS:
            one = only(cases, kind="langevin", network=network, chains=10_000, steps=60, threads=1)
            two = only(cases, kind="langevin", network=network, chains=10_000, steps=60, threads=2)
            if one and two:
                row(f"2 cores against 1, {network}, 10,000 chains", ">= 1.9 x", f"{two.rate / one.rate:.2f} x",
                    two.rate >= 1.9 * one.rate)
    flat = [c for c in select(cases, kind="langevin", network="2-128-128-1", activation="silu", steps=60, threads=most)
            if c.number("chains") >= 1000]
    if len(flat) > 1:
        rates = [c.rate for c in flat]
        row(f"cost of a chain-step, 2-128-128-1, {min(c.number('chains') for c in flat):,} to "
            f"{max(c.number('chains') for c in flat):,} chains", "flat within 10 %",
            f"slowest {percent(1 - min(rates) / max(rates))} below fastest", min(rates) >= 0.9 * max(rates))
    for name, shares in profiles.items():
        if name.startswith("ebm train"):
            row("vector kernels (chains and parameter gradient) in a training run", ">= 90 % of its time",
                f"{kernel_share(shares):.1f} %", kernel_share(shares) >= 90)
    return rows


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return model.group(1) if model else platform.processor()


def plot(cases, most, path):
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed: no plot", file=sys.stderr)
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    for network in NETWORKS:
        chosen = sorted(select(cases, kind="langevin", network=network, activation="silu", steps=60, threads=most),
                        key=lambda c: c.number("chains"))
        if not chosen:
            continue
        x = [c.number("chains") for c in chosen]
        left.plot(x, [c.rate for c in chosen], "o-", label=network)
        if all("share_of_peak" in c.values for c in chosen):
            right.plot(x, [100 * c.median("share_of_peak") for c in chosen], "o-", label=network)
    left.set(xscale="log", yscale="log", xlabel="chains", ylabel="chain-steps per second")
    right.set(xscale="log", ylim=(0, 100), xlabel="chains", ylabel="% of the measured FMA peak")
    for axis in (left, right):
        axis.grid(alpha=0.3)
    left.legend(title="network (silu)")
    figure.suptitle(f"Langevin chains, 60 steps, {most} thread{'s' if most > 1 else ''}")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return True


def kernel_share(shares):
    return sum(share for symbol, share in shares if "::N_" in symbol)


def profile_page(profiles):
    lines = ["## Where the time goes", "",
             "Shares of the samples of `perf record -e cpu-clock`, one thread; all above 1 %. The vector kernels (N_...) hold "
             "the chains and the parameter gradient and nothing else.", ""]
    for name, shares in profiles.items():
        lines += [f"`{name}`: {kernel_share(shares):.1f} % in the vector kernels", ""]
        lines += table(["function", "%"], [[f"`{symbol}`", f"{share:.1f}"] for symbol, share in shares if share >= 1])
    return lines


def document(cases, contexts, arguments, folder):
    most = max(c.number("threads") for c in cases)
    context = next(iter(contexts.values()))
    profiles = json.loads((folder / "profile.json").read_text()) if (folder / "profile.json").exists() else {}
    measured = datetime.datetime.fromisoformat(context["date"]).date()
    path = ROOT / "docs" / f"performance-{arguments.device}.md"
    lines = [
        f"# Speed on one machine: {arguments.device}", "", "Made by", "",
        f"    scripts/performance.py BUILD_DIR --device {arguments.device} --repetitions {arguments.repetitions} "
        f"--min-time {arguments.min_time} --clock {arguments.clock}" + (f" --filter='{arguments.filter}'" if arguments.filter else ""), "",
        f"on {measured}: {machine()}, {context['num_cpus']} cores. Do not edit. A step is all of it: gradient, noise and "
        "update, for mala the accept rule. GFLOP/s counts the hidden matrices only, 4 operations an element and step, "
        "not activations, noise or the head. Medians of repetitions in random order, smallest and largest in brackets. "
        "The machine is virtual: other guests take time from it, which shows in the spread.", ""]
    if arguments.clock == "cpu":
        lines += ["**Other work was running on the machine. Rates are per second of processor time of the one thread that "
                  "does the work, so that they are what an idle core would give but for its caches.**", ""]
    if arguments.device == "cpu":
        lines += ["The FMA peak is that of a loop on registers with the engine's own instruction set "
                  f"({context.get('instruction_set', '?')}), best of 30 runs of 5 ms in the same process:", ""]
        lines += table(["program", "threads", "peak"],
                       [[program, re.sub(r"\D", "", key), value] for program, c in contexts.items()
                        for key, value in c.items() if key.startswith("fma_peak")])
        rates = [float(re.search(r"([\d.]+) FMA per cycle", value).group(1)) for c in contexts.values()
                 for key, value in c.items() if key.startswith("fma_peak")]
        if min(rates) < 1.8:
            lines += ["**Fewer than 1.8 FMA per cycle: unless this core has one unit only, other work was running and the "
                      "figures below are too low.**", ""]
    lines += ["## Against what was set out", ""] + table(["claim", "target", "measured", ""], targets(cases, most, profiles))
    if plot(cases, most, path.with_suffix(".png")):
        lines += [f"![Chain-steps per second and share of the peak by number of chains]({path.stem}.png)", ""]
    plain = dict(activation="silu", steps=60)
    main = [c for c in select(cases, kind="langevin", **plain) if c.network in NETWORKS]
    lines += ["## Chains", ""] + table(HEAD, speed_rows(main + select(cases, kind="mala")))
    others = [c for c in select(cases, kind="langevin") if c not in main]
    lines += ["Depth, dimension, activation and steps per call:", ""] + table(HEAD, speed_rows(others))
    lines += ["## Energy and gradient alone", ""] + table(HEAD, speed_rows(select(cases, kind="gradient")))
    training = [[c.network, c.name.split("/")[5], ", ".join(f"{k} {v}" for k, v in c.parameters.items()),
                 spread_of(c, c.measure), spread_of(c, "parts_of_iteration", percent)]
                for c in select(cases, kind="training")]
    lines += ["## Training", "",
              "The last column: chains and parameter gradient timed alone, right after each iteration, over the iteration's "
              "time. It can pass 100 %: alone, the gradient prepares its memory each time.", ""]
    lines += table(["network", "sampler", "sizes", "chain-steps per second", "chains + gradient"], training)
    ais = select(cases, kind="annealed_steps") + select(cases, kind="ais")
    lines += ["## Annealed importance sampling", ""] + table(HEAD, speed_rows(ais))
    replay = [c for c in cases if c.kind in ("draw", "draw_and_write_back", "run")]
    lines += ["## Replay buffer", "", "Slots per second; ReplayBuffer::run opens the engine on every call.", ""]
    lines += table(HEAD[:1] + HEAD[3:6], [[r[0], *r[3:6]] for r in speed_rows(replay)])
    if profiles:
        lines += profile_page(profiles)
    path.write_text("\n".join(lines).rstrip() + "\n")
    print(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--min-time", type=float, default=0.1, help="seconds of each repetition")
    parser.add_argument("--filter", help="only benchmarks whose name matches")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall",
                        help="cpu: rates per second of processor time, one thread; for a machine that does other work")
    parser.add_argument("--tables-only", action="store_true", help="make the page from the last run's results")
    arguments = parser.parse_args()
    folder = arguments.build.resolve() / "performance"
    settings = folder / "settings.json"
    if arguments.tables_only:  # the page names the command that measured
        vars(arguments).update(json.loads(settings.read_text()))
    else:
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.json"):
            old.unlink()
        measure(arguments.build.resolve(), folder, arguments)
        if arguments.device == "cpu":
            profile(arguments.build.resolve(), folder)
        settings.write_text(json.dumps({k: getattr(arguments, k) for k in ("device", "clock", "repetitions", "min_time", "filter")}))
    cases, contexts = load(folder, arguments.clock)
    if not cases:
        sys.exit("performance.py: no benchmark was run")
    document(cases, contexts, arguments, folder)


if __name__ == "__main__":
    main()
