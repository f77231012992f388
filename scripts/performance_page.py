"""The tables and the plot of docs/performance-DEVICE.md, from the results of the benchmark programs."""
import datetime
import json
import pathlib
import platform
import re
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = ["sampler", "gradient", "training", "ais", "replay"]
# Some of the same cases on instruction sets below the machine's best, as PROGRAM-SET.json.
OTHER_SETS = {"AVX2": "Its own peak is the reference.",
              "SSSE3": "The oldest. Its own peak is the reference, multiplications and additions apart. There is no load that "
                       "broadcasts and no instruction with three operands, so every multiply-add takes a copy more and every "
                       "weight a shuffle."}
OTHER_SET_PROGRAMS = [f"{program}-{name}" for name in OTHER_SETS for program in ("sampler", "gradient")]
KINDS = ["multiply-add", "other vector arithmetic", "integer vector", "load, store, broadcast", "scalar"]
MEASURES = ["chain_steps_per_second", "gradients_per_second", "slots_per_second"]
NETWORKS = ["2-64-64-1", "2-128-128-1", "64-128-128-1", "64-256-256-1"]


class Case:
    """The repetitions of one benchmark."""

    def __init__(self, name, instruction_set):
        self.instruction_set = instruction_set  # None: the machine's best
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


def set_of(program):
    return program.partition("-")[2] or None


def load(folder, clock):
    cases, contexts = {}, {}
    for program in [*PROGRAMS, *OTHER_SET_PROGRAMS]:
        path = folder / f"{program}.json"
        if not path.exists() or path.stat().st_size == 0:
            continue
        document = json.loads(path.read_text())
        contexts[program] = document["context"]
        for run in document["benchmarks"]:
            if run["run_type"] != "iteration" or run.get("error_occurred"):
                continue
            case = cases.setdefault((program, run["run_name"]), Case(run["run_name"], set_of(program)))
            case.order = list(contexts).index(program), run["family_index"]
            # A manually timed benchmark does other work too, which the processor's clock can't tell apart.
            if clock == "cpu" and run["run_name"].endswith("manual_time"):
                continue
            for key, value in run.items():
                if clock == "cpu" and key in (*MEASURES, "GFLOP_per_second", "share_of_peak"):
                    value *= run["real_time"] / run["cpu_time"]
                if key in (*MEASURES, "GFLOP_per_second", "share_of_peak", "parts_of_iteration", "bytes_per_chain"):
                    case.values.setdefault(key, []).append(value)
    return sorted((c for c in cases.values() if c.values), key=lambda case: case.order), contexts


def select(cases, instruction_set=None, **wanted):
    def fits(case):
        if case.instruction_set != instruction_set:
            return False
        for key, value in wanted.items():
            have = getattr(case, key) if key in ("kind", "network", "activation") else case.number(key)
            if have != value:
                return False
        return True
    return [c for c in cases if fits(c)]


def only(cases, instruction_set=None, **wanted):
    found = select(cases, instruction_set, **wanted)
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
               ", ".join(f"{k} {v}" for k, v in case.parameters.items() if k not in ("threads", "iterations")),
               case.parameters.get("threads", ""), spread_of(case, case.measure)]
        row.append(f"{case.median('GFLOP_per_second'):.1f}" if "GFLOP_per_second" in case.values else "")
        row.append(spread_of(case, "share_of_peak", percent) if "share_of_peak" in case.values else "")
        yield row


HEAD = ["benchmark", "network", "activation", "sizes", "threads", "per second: median (min .. max)", "GFLOP/s",
        "share of FMA peak"]


def targets(cases, most, profiles, memory):
    """What the project set out to reach, against what was measured."""
    rows = []

    def row(claim, target, value, met):
        rows.append([claim, target, value, "met" if met else "not met"])

    def share(label, target, case):
        if case and "share_of_peak" in case.values:
            row(label, f">= {percent(target)} of the peak", spread_of(case, "share_of_peak", percent),
                case.median("share_of_peak") >= target)

    shares = [("64-256-256-1", 0.75, 0.65), ("64-128-128-1", 0.65, 0.55), ("2-128-128-1", None, 0.50)]
    for name in (None, "AVX2"):
        of = f", {name}" if name else ""
        for network, gradient_share, chain_share in shares:
            for threads in sorted({1, most}):
                if gradient_share:
                    share(f"gradient, {network}, 10,000 points, threads {threads}{of}", gradient_share,
                          only(cases, name, kind="gradient", network=network, points=10_000, threads=threads))
                share(f"chains, {network}, 10,000 chains, threads {threads}{of}", chain_share,
                      only(cases, name, kind="langevin", network=network, chains=10_000, steps=60, threads=threads))
    if most == 2:
        for network in NETWORKS:
            one, two = (only(cases, kind="langevin", network=network, chains=10_000, steps=60, threads=t) for t in (1, 2))
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
    for name, profile in profiles.items():
        if name.startswith("ebm train"):
            row(f"vector kernels (chains and parameter gradient) in `{name}`", ">= 90 % of its time",
                f"{kernel_share(profile):.1f} %", kernel_share(profile) >= 90)
    for network, chains in (("2-128-128-1", 1_000_000), ("64-128-128-1", 100_000)):
        case = only(cases, kind="langevin", network=network, chains=chains, steps=60, threads=most)
        if case and "bytes_per_chain" in case.values:
            bytes_per_chain, state = case.median("bytes_per_chain"), state_bytes(int(network.split("-")[0]))
            row(f"memory of the engine, {network}, {chains:,} chains", f"<= 2 x the state's {state} bytes a chain",
                f"{bytes_per_chain:.1f} bytes: {bytes_per_chain / state:.2f} x", bytes_per_chain <= 2 * state)
    for dim, bytes_per_chain in memory.items():
        state = state_bytes(int(dim))
        row(f"memory of the whole program, `ebm sample`, {dim} dimensions", f"<= 2 x the state's {state} bytes a chain",
            f"{bytes_per_chain:.1f} bytes: {bytes_per_chain / state:.2f} x", bytes_per_chain <= 2 * state)
    return rows


def state_bytes(dim):
    """Position, chain id and number of the next step."""
    return 4 * dim + 16


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


def counters_page(cases, contexts, counts):
    """How many cycles a chain-step takes, and what fills them."""
    lines = ["## What is left between the result and the limit", "",
             "The inner loop is 24 instructions for 12 multiply-adds with AVX2 (6 weights broadcast, 2 vectors of chains, 4 instructions of "
             "the loop) and 42 for 24 with AVX-512, as many as the units take in 6 or 12 cycles and fewer than the core can issue: it runs "
             "at the peak. Around it:", "",
             "- the activation and its derivative: for silu 11 multiply-adds, 5 additions, minima and maxima, 2 integer operations and a "
             "division for every vector, none of which the count of useful operations has (`activate` in the profiles below);",
             "- the noise, 10 rounds of Philox for 4 numbers and a logarithm, sine and cosine for 2 (`LangevinStrip` below): with the "
             "dimension, next to nothing in the plane and a tenth of the time in 64 dimensions;",
             "- beginning and end of every panel of 6 or 12 rows: sums that must come back before they are stored, and a loop's last branch "
             "that is predicted wrongly. In the first layer of a network of the plane a panel is two columns wide and is nothing else;",
             "- the head's product and the scaling of the backward pass, bound by loads and stores.", ""]
    if not counts:
        return lines + ["Instructions per chain-step: not counted yet.", ""]
    lines += ["Instructions per chain-step, Langevin chains with AVX2, by valgrind (`scripts/instructions.py`); cycles are the clock over the rate of "
              "10,000 chains on one thread. Two multiply-adds per cycle are the limit, so needed / 2 is what a perfect kernel would "
              "take. Needed: those of the hidden matrices, forward and backward. The others are the head, the activations' exponential "
              "and the noise.", ""]
    context = next((c for c in contexts.values() if "fma_peak_1_threads" in c and c["instruction_set"] == "AVX2"), None)
    if context is None:
        return lines
    chosen = None if "sampler-AVX2" not in contexts else "AVX2"
    words = context["fma_peak_1_threads"]
    lanes, hertz = int(re.search(r"(\d+) lanes", words).group(1)), 1e9 * float(re.search(r"at ([\d.]+) GHz", words).group(1))
    rows = []
    for network, kinds in counts.items():
        sizes = [int(n) for n in network.split("-")[:-1]]
        needed = 2 * sum(a * b for a, b in zip(sizes, sizes[1:])) / lanes
        case = only(cases, chosen, kind="langevin", network=network, chains=10_000, steps=60, threads=1)
        cycles = hertz / case.rate if case else float("nan")
        total = sum(kinds.values())
        rows.append([network, f"{needed:.0f}", *(f"{kinds.get(k, 0):.0f}" for k in KINDS), f"{total:.0f}", f"{needed / 2:.0f}",
                     f"{cycles:.0f}", f"{total / cycles:.2f}"])
    return lines + table(["network", "multiply-adds needed", *KINDS, "all", "cycles at the peak", "cycles measured",
                          "instructions per cycle"], rows)


def document(cases, contexts, arguments, folder):
    def kept(name):
        path = folder / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else {}

    most = max(c.number("threads") for c in cases)
    context = next(iter(contexts.values()))
    profiles, memory, counts = kept("profile"), kept("memory"), kept("instructions")
    measured = datetime.datetime.fromisoformat(context["date"]).date()
    path = ROOT / "docs" / f"performance-{arguments.device}.md"
    picture = ROOT / "docs" / "images" / f"performance-{arguments.device}.png"
    lines = [
        f"# Speed on one machine: {arguments.device}", "", "Made by", "",
        f"    scripts/performance.py BUILD_DIR --device {arguments.device} --repetitions {arguments.repetitions} "
        f"--min-time {arguments.min_time} --clock {arguments.clock}", "",
        f"on {measured}: {machine()}, {context['num_cpus']} cores. Do not edit. A step is all of it: gradient, noise and "
        "update, for mala the accept rule. GFLOP/s counts the hidden matrices only, 4 operations an element and step, "
        "not activations, noise or the head. Medians of repetitions in random order, smallest and largest in brackets. "
        "The machine is virtual: other guests take time from it, which shows in the spread.", ""]
    if arguments.clock == "cpu":
        lines += ["**Other work was running on the machine. Rates are per second of processor time of the one thread that "
                  "does the work, so that they are what an idle core would give but for its caches.**", ""]
    if arguments.device == "cpu":
        lines += ["The FMA peak is that of a loop on registers with the engine's own instruction set "
                  f"({context.get('instruction_set', '?')}), best of 30 runs of 5 ms at the program's start, in this table. Programs whose "
                  "peaks differ were measured while the host had different other work, so every share below is of the same loop's median of 7 "
                  "runs right after the benchmark's own:", ""]
        lines += table(["program", "threads", "peak"],
                       [[program, re.sub(r"\D", "", key), value] for program, c in contexts.items()
                        for key, value in c.items() if key.startswith("fma_peak")])
        rates = [float(re.search(r"([\d.]+) FMA per cycle", value).group(1)) for c in contexts.values()
                 for key, value in c.items() if key.startswith("fma_peak") and c["instruction_set"] != "SSSE3"]
        if min(rates) < 1.8:
            lines += ["**Fewer than 1.8 FMA per cycle: unless this core has one unit only, other work was running and the "
                      "figures below are too low.**", ""]
    lines += ["## Against what was set out", ""] + table(["claim", "target", "measured", ""], targets(cases, most, profiles, memory))
    if plot(cases, most, picture):
        lines += [f"![Chain-steps per second and share of the peak by number of chains](images/{picture.name})", ""]
    if arguments.device == "cpu":
        lines += counters_page(cases, contexts, counts)
    plain = dict(activation="silu", steps=60)
    main = [c for c in select(cases, kind="langevin", **plain) if c.network in NETWORKS]
    lines += ["## Chains", ""] + table(HEAD, speed_rows(main + select(cases, kind="mala")))
    others = [c for c in select(cases, kind="langevin") if c not in main]
    lines += ["Depth, dimension, activation and steps per call:", ""] + table(HEAD, speed_rows(others))
    lines += ["## Energy and gradient alone", ""] + table(HEAD, speed_rows(select(cases, kind="gradient")))
    training = [[c.network, c.name.split("/")[5], ", ".join(f"{k} {v}" for k, v in c.parameters.items()),
                 spread_of(c, c.measure), spread_of(c, "parts_of_iteration", percent)]
                for c in select(cases, kind="training")]
    lines += ["## Training", ""]
    if training:
        lines += ["The last column: chains and parameter gradient timed alone, right after each iteration, over the iteration's time. It "
                  "can pass 100 %: alone, the gradient prepares its memory each time.", ""]
        lines += table(["network", "sampler", "sizes", "chain-steps per second", "chains + gradient"], training)
    else:
        lines += ["Rates not measured yet; shares of a training run are in the profiles below.", ""]
    for name, words in OTHER_SETS.items():
        chosen = [c for c in cases if c.instruction_set == name]
        if chosen:
            lines += [f"## With {name} only", "", words, ""] + table(HEAD, speed_rows(chosen))
    ais = select(cases, kind="annealed_steps") + select(cases, kind="ais")
    lines += ["## Annealed importance sampling", ""] + (table(HEAD, speed_rows(ais)) if ais else ["Not measured yet.", ""])
    replay = [c for c in cases if c.kind in ("draw", "draw_and_write_back", "run")]
    lines += ["## Replay buffer", "", "Slots per second; ReplayBuffer::run opens the engine on every call.", ""]
    lines += table(HEAD[:1] + HEAD[3:6], [[r[0], *r[3:6]] for r in speed_rows(replay)])
    if profiles:
        lines += profile_page(profiles)
    path.write_text("\n".join(lines).rstrip() + "\n")
    print(path)


def write(folder, arguments):
    cases, contexts = load(folder, arguments.clock)
    if not cases:
        sys.exit("performance.py: no benchmark was run")
    document(cases, contexts, arguments, folder)
