#!/usr/bin/env python3
"""Makes docs/training-table.md: how far trained models are from the truth, by density and recipe.

    scripts/training_table.py BUILD_DIR [--density NAME ...]

Needs `ebm` and `exact_gradient` built in BUILD_DIR (cmake -S . -B BUILD_DIR && cmake --build BUILD_DIR). Every gap is
the mean over 65,536 fresh points of log p_true - log p_model, log Z by quadrature: nats per point, 0 is perfect.
Runs that are there already (BUILD_DIR/training_table) are not repeated. About half an hour on two cores.
"""
import argparse
import json
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DENSITIES = ["two_moons", "eight_gaussians", "twenty_five_gaussians", "rings", "spirals", "checkerboard"]

# ebmkit's published setting for two moons, the best documented of the literature's recipe.
LITERATURE = {
    "--sampler": "langevin", "--step-size": "0.01", "--langevin-steps": "60", "--steps": "6000",
    "--batch-size": "256", "--buffer-size": "8192", "--reinit-prob": "0.05", "--energy-reg": "0.1",
    "--learning-rate": "1e-3", "--decay": "constant", "--ema": "0", "--init-scale": "1",
}
BETTER_OPTIMISER = {**LITERATURE, "--learning-rate": "3e-3", "--decay": "cosine", "--init-scale": "12",
                    "--grad-norm-clip": "1"}
ADJUSTED = {**BETTER_OPTIMISER, "--sampler": "mala"}
for option in ("--jump-prob", "--difference-prob"):
    ADJUSTED[option] = "0"
NO_REG = {**ADJUSTED, "--energy-reg": "0"}

# What the literature's gap on two moons is made of: one thing is changed after another, at the same number of steps.
PARTS = [
    ("the literature's recipe", LITERATURE),
    ("+ wide first layer, learning rate 3e-3 with cosine decay", BETTER_OPTIMISER),
    ("+ Metropolis adjustment", ADJUSTED),
    ("+ no energy regularisation", NO_REG),
    ("`ebm train` without options (moves instead of restarts, a third of the steps)", {}),
]


def run(command, **kwargs):
    return subprocess.run([str(c) for c in command], check=True, **kwargs)


class Bench:
    def __init__(self, build):
        self.ebm = build / "tools" / "ebm"
        self.exact = build / "bench" / "exact_gradient"
        self.work = build / "training_table"
        self.work.mkdir(exist_ok=True)

    def data(self, density):
        train, fresh = self.work / f"{density}.npy", self.work / f"{density}_fresh.npy"
        if not fresh.exists():
            run([self.ebm, "data", density, "--n", 8192, "--out", train, "-q"])
            run([self.ebm, "data", density, "--n", 65536, "--first", 8192, "--out", fresh, "-q"])
        return train, fresh

    def measure(self, density, name, train_command):
        """Gap, seconds and share of the budget of one run; kept in a file."""
        result = self.work / f"{density}.{name}.json"
        if result.exists():
            return json.loads(result.read_text())
        train, fresh = self.data(density)
        model = self.work / f"{density}.{name}.safetensors"
        begin = time.monotonic()
        run(train_command(train, model))
        seconds = time.monotonic() - begin
        evaluate = subprocess.run([str(c) for c in (self.ebm, "evaluate", model, fresh, "--density", density, "--train",
                                                    train, "--no-baselines", "-q")], capture_output=True, text=True)
        report = json.loads(evaluate.stdout)
        found = {"gap": report.get("density", {}).get("gap"), "seconds": seconds, "refused": report.get("refused")}
        result.write_text(json.dumps(found))
        print(density, name, found, flush=True)
        return found

    def sampled(self, density, name, options):
        words = [w for pair in options.items() for w in pair]
        return self.measure(density, name, lambda data, out: [self.ebm, "train", data, "--out", out, "-q", *words])

    def exactly(self, density):
        return self.measure(density, "exact", lambda data, out: [self.exact, data, out])


def cell(found):
    return "refused" if found["gap"] is None else f"{found['gap']:.4f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--density", action="append", choices=DENSITIES)
    arguments = parser.parse_args()
    bench = Bench(arguments.build.resolve())

    lines = [
        "# How far from the truth: measured", "",
        "Made by `scripts/training_table.py BUILD_DIR`; do not edit. MLP 2-128-128-1 SiLU, 8192 training points, seed 0.",
        "Gap: mean over 65,536 fresh points of log p_true - log p_model, nats. Seconds: wall clock on two shared cores.", "",
        "| density | `ebm train` without options | s | exact gradient, same network and optimiser | sampled - exact "
        "| literature's Langevin recipe | s |", "|---|---|---|---|---|---|---|",
    ]
    for density in arguments.density or DENSITIES:
        default = bench.sampled(density, "default", {})
        exact = bench.exactly(density)
        literature = bench.sampled(density, "part0", LITERATURE)
        difference = "" if None in (default["gap"], exact["gap"]) else f"{default['gap'] - exact['gap']:+.4f}"
        lines.append(f"| {density} | {cell(default)} | {default['seconds']:.0f} | {cell(exact)} | {difference} "
                     f"| {cell(literature)} | {literature['seconds']:.0f} |")
    lines += ["", "What the literature's gap on two moons is made of (each row changes one thing more):", "",
              "| recipe | gap | s |", "|---|---|---|"]
    for i, (name, options) in enumerate(PARTS):
        found = bench.sampled("two_moons", "default" if not options else f"part{i}", options)
        lines.append(f"| {name} | {cell(found)} | {found['seconds']:.0f} |")
    (ROOT / "docs" / "training-table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
