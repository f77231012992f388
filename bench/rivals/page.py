"""docs/rivals.md and its plot, from what rivals.py has measured."""
import json
import pathlib
import statistics

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OURS = "ebmcuda"
COMPILERS = ["torch.compile", "JAX jit", "JAX jit, rbg noise"]
SAME = "`ebm train`, ebmkit's setting"
RECOMMENDED = "`ebm train`, own defaults"
PLOT = ROOT / "docs" / "images" / "rivals_training.png"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(r) + " |" for r in rows), ""]


def command(document, part, options):
    words = []
    for option in options:
        value = document["settings"][option]
        words += ["--" + option.replace("_", "-"), *(map(str, value) if isinstance(value, list) else [str(value)])]
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    return ["Made by", "", f"    bench/rivals/rivals.py BUILD_DIR {part} {' '.join(words)}", "",
            f"on {document['date']}: {document['machine']}, {document['settings']['threads']} threads; {versions}.", ""]


def milliseconds(values):
    return f"{1e3 * statistics.median(values):.3g} ({1e3 * min(values):.3g} .. {1e3 * max(values):.3g})"


def flop(result):
    """Operations of the hidden matrices in a call, forward and backward, as bench/support.hpp counts them."""
    sizes = [result["dim"], *result["hidden"]]
    return 4 * sum(a * b for a, b in zip(sizes, sizes[1:])) * result["chains"] * result["steps"]


def sampling(document):
    results = sorted(document["results"], key=lambda r: (r["dim"], r["hidden"], r["chains"]))
    names = list(results[0]["seconds"])
    rivals = [n for n in names if n != OURS]
    median = [{name: statistics.median(values) for name, values in r["seconds"].items()} for r in results]
    heads = [[r["network"], f"{r['chains']:,}"] for r in results]
    lines = ["## Sampling", "", *command(document, "sampling", ["repeats", "min_seconds", "threads"]),
             f"(in parts, with `--networks` and `--chains`.) Langevin chains, {results[0]['steps']} steps; milliseconds for all of "
             "them: median of the repeats (smallest .. largest). In every repeat each was measured once, in random order, all "
             "warm, each in a process of its own. PyTorch and JAX loops are written for this: parameters need no gradient, "
             "`torch.compile` compiles a whole step with its noise, JAX the whole loop. ebmkit and torchebm are called as "
             "their documentation has it.", ""]
    lines += table(["network", "chains", *names],
                   [[*head, *(milliseconds(r["seconds"][n]) for n in names)] for head, r in zip(heads, results)])
    lines += ["How many times as long as ebmcuda each takes (below 1: it is faster):", ""]
    lines += table(["network", "chains", *rivals],
                   [[*head, *(f"{m[n] / m[OURS]:.1f}" for n in rivals)] for head, m in zip(heads, median)])
    lines += ["Share of the machine's limit that each reaches: operations of the hidden matrices, forward and backward, over the "
              "fused multiply-adds that the same cores do from registers alone, measured in the same run:", ""]
    lines += table(["network", "chains", *names],
                   [[*head, *(f"{100 * flop(r) / m[n] / r['peak']:.1f} %" for n in names)]
                    for head, r, m in zip(heads, results, median)])
    lines += ["Against what was set out:", ""]
    rows = []
    for head, r, m in zip(heads, results, median):
        few = r["chains"] == 64
        for label, others, target in (("PyTorch eager", ["PyTorch eager"], 15 if few else 3),
                                      ("the best of torch.compile and JAX", COMPILERS, 5 if few else 2)):
            ratio = min(m[n] for n in others if n in m) / m[OURS]
            rows.append([*head, label, f">= {target} x", f"{ratio:.1f} x", "met" if ratio >= target else "not met"])
    return lines + table(["network", "chains", "against", "target", "measured", ""], rows)


class Training:
    """Results of one (name, iterations), over the seeds."""

    def __init__(self, name, iterations, results):
        self.name, self.iterations = name, iterations
        self.seconds = statistics.median(r["seconds"] for r in results)
        self.refused = [r["refused"] for r in results if r["gap"] is None]
        self.gaps = [r["gap"] for r in results if r["gap"] is not None]
        self.seeds = len(results)
        self.range = min(r["seconds"] for r in results), max(r["seconds"] for r in results)

    @property
    def gap(self):
        return statistics.median(self.gaps) if self.gaps and not self.refused else None

    def row(self, rival):
        quality = (f"{self.gap:.4f} ({min(self.gaps):.4f} .. {max(self.gaps):.4f})" if self.gap is not None else
                   f"refused for {len(self.refused)} of {self.seeds} seeds: {self.refused[0]}")
        low, high = self.range
        return [self.name, f"{self.iterations:,}", f"{self.seconds:.2f} ({low:.2f} .. {high:.2f})", quality,
                f"{rival.seconds / self.seconds:.1f} x"]


def grouped(results):
    keys = sorted({(r["name"], r["iterations"]) for r in results}, key=lambda k: (k[0].lower(), k[1]))
    return [Training(*k, [r for r in results if (r["name"], r["iterations"]) == k]) for k in keys]


def training_plot(groups, density):
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axis = pyplot.subplots(figsize=(7, 4), constrained_layout=True)
    for name in dict.fromkeys(g.name for g in groups):
        points = sorted((g.seconds, g.gap, min(g.gaps), max(g.gaps)) for g in groups if g.name == name and g.gap is not None)
        if points:
            x, y, low, high = zip(*points)
            axis.errorbar(x, y, yerr=[[a - b for a, b in zip(y, low)], [b - a for a, b in zip(y, high)]], fmt="o-", capsize=3,
                          label=name.replace("`", ""))
    axis.set(xscale="log", yscale="log", xlabel="seconds of training", ylabel="gap, nats per fresh point",
             title=f"{density}: how soon a gap to the truth is reached")
    axis.grid(alpha=0.3, which="both")
    axis.legend()
    figure.savefig(PLOT, dpi=100, metadata={"Software": None})
    return True


def training(document):
    groups = grouped(document["results"])
    last = {name: max((g for g in groups if g.name == name), key=lambda g: g.iterations) for name in {g.name for g in groups}}
    if "ebmkit" not in last:
        return []
    rival = last["ebmkit"]
    lines = ["## Training on two moons", "", *command(document, "training", ["iterations", "seeds", "threads"]),
             f"(in parts, with `--parts`.) ebmkit's own setting: 2-128-128-1 SiLU, {rival.iterations} iterations of 256 points and chains, "
             "60 Langevin steps of 0.01, Adam 1e-3, replay buffer 8192, energy regularisation 0.1. The same 8192 points for all. "
             "`ebm train` standardises the data and confines the energy, ebmkit does neither. Gap: mean over 65,536 fresh points "
             "of log p_true - log p_model, log Z by quadrature: nats per point, 0 is perfect. Medians over the seeds (smallest .. "
             "largest). ebmkit's seconds are those of its fit(), ours those of the whole command.", ""]
    lines += table(["who", "iterations", "seconds", "gap", f"ebmkit's {rival.iterations} iterations / this"],
                   [g.row(rival) for g in groups])
    if training_plot(groups, "two moons"):
        lines += ["![Gap by seconds of training](images/rivals_training.png)", ""]
    rows = []
    if SAME in last:
        same = last[SAME]
        rows.append(["same setting, wall clock", ">= 3 x faster", f"{rival.seconds / same.seconds:.1f} x",
                     "met" if rival.seconds >= 3 * same.seconds else "not met"])
        if same.gap is not None and rival.gap is not None:
            rows.append(["same setting, gap", "smaller than ebmkit's", f"{same.gap:.4f} against {rival.gap:.4f}",
                         "met" if same.gap < rival.gap else "not met"])
    if rival.gap is not None:
        reached = [g for g in groups if g.name != "ebmkit" and g.gap is not None and g.gap <= rival.gap]
        if reached:
            first = min(reached, key=lambda g: g.seconds)
            ratio = rival.seconds / first.seconds
            rows.append([f"to ebmkit's gap ({first.name}, {first.iterations} iterations: {first.gap:.4f})", ">= 10 x faster",
                         f"{first.seconds:.2f} s against {rival.seconds:.0f} s: {ratio:.0f} x", "met" if ratio >= 10 else "not met"])
    return lines + ["Against what was set out:", ""] + table(["claim", "target", "measured", ""], rows)


def write(folder):
    lines = ["# Beside other software", "",
             "Made by bench/rivals/rivals.py; do not edit. Same machine, same threads, same work, interleaved.", ""]
    for name, make in (("sampling", sampling), ("training", training)):
        path = folder / f"{name}.json"
        if path.exists():
            lines += make(json.loads(path.read_text()))
    (ROOT / "docs" / "rivals.md").write_text("\n".join(lines).rstrip() + "\n")
