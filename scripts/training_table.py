#!/usr/bin/env python3
"""Makes docs/training-table.md: how far trained models are from the truth, by density and recipe.

    scripts/training_table.py BUILD_DIR [--section densities|parts|scales|digits ...]

Needs `ebm` and `exact_gradient` built in BUILD_DIR (cmake -S . -B BUILD_DIR && cmake --build BUILD_DIR). Every gap is
the mean over 65,536 fresh points of log p_true - log p_model, log Z by quadrature: nats per point, 0 is perfect.
Runs that are there already (BUILD_DIR/training_table) are not repeated. All sections: about half an hour on two cores.
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

# How the width of the first layer's initial weights trades coarse structure against fine.
INIT_SCALES = [1, 6, 12, 16]
SCALED_DENSITIES = ["two_moons", "rings", "twenty_five_gaussians"]

# The handwritten digits, 64 dimensions, standardised: one thing changed from the defaults at a time.
DIGITS = [
    ("`ebm train --dequantize 1 --transform standardize`", {}),
    ("seed 1", {"--seed": "1"}),
    ("--init-scale 1", {"--init-scale": "1"}),
    ("--init-scale 4", {"--init-scale": "4"}),
    ("--learning-rate 1e-3", {"--learning-rate": "1e-3"}),
    ("--learning-rate 5e-3", {"--learning-rate": "5e-3"}),
    ("--langevin-steps 20 --steps 2000", {"--langevin-steps": "20", "--steps": "2000"}),
    ("--langevin-steps 40 --steps 1000", {"--langevin-steps": "40", "--steps": "1000"}),
    ("--confinement 0.1", {"--confinement": "0.1"}),
    ("--buffer-size 1024", {"--buffer-size": "1024"}),
    ("--hidden 256,256", {"--hidden": "256,256"}),
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

    def digits(self, name, options):
        result = self.work / f"digits.{name}.json"
        if result.exists():
            return json.loads(result.read_text())
        train, held_out = self.work / "digits.npy", self.work / "digits_held_out.npy"
        if not held_out.exists():
            run([self.ebm, "data", ROOT / "data" / "digits.csv", "--columns", "0:64", "--out", train,
                 "--held-out", held_out, "--held-out-share", "0.2", "-q"])
        model = self.work / f"digits.{name}.safetensors"
        words = [w for pair in options.items() for w in pair]
        begin = time.monotonic()
        run([self.ebm, "train", train, "--dequantize", "1", "--transform", "standardize", "--out", model, "-q", *words])
        seconds = time.monotonic() - begin
        evaluate = subprocess.run([str(c) for c in (self.ebm, "evaluate", model, held_out, "--train", train,
                                                    "--dequantize", "1", "-q")], capture_output=True, text=True)
        found = {"seconds": seconds, **json.loads(evaluate.stdout)}
        result.write_text(json.dumps(found))
        print("digits", name, found["mean_log_likelihood"], found["log_z_stderr"], flush=True)
        return found

    def exactly(self, density):
        return self.measure(density, "exact", lambda data, out: [self.exact, data, out])


def cell(found):
    return "refused" if found["gap"] is None else f"{found['gap']:.4f}"


def densities(bench):
    lines = ["| density | `ebm train` without options | s | exact gradient, same network and optimiser | sampled - exact |",
             "|---|---|---|---|---|"]
    for density in DENSITIES:
        default = bench.sampled(density, "default", {})
        exact = bench.exactly(density)
        difference = "" if None in (default["gap"], exact["gap"]) else f"{default['gap'] - exact['gap']:+.4f}"
        lines.append(f"| {density} | {cell(default)} | {default['seconds']:.0f} | {cell(exact)} | {difference} |")
    return lines


def parts(bench):
    lines = ["What the gap of the literature's recipe on two moons is made of; each row changes one thing more.", "",
             "| recipe | gap | s |", "|---|---|---|"]
    for i, (name, options) in enumerate(PARTS):
        found = bench.sampled("two_moons", f"part{i}" if options else "default", options)
        lines.append(f"| {name} | {cell(found)} | {found['seconds']:.0f} |")
    lines += ["", "The literature's recipe on the others.", "", "| density | gap | s |", "|---|---|---|"]
    for density in DENSITIES[1:]:
        found = bench.sampled(density, "part0", LITERATURE)
        lines.append(f"| {density} | {cell(found)} | {found['seconds']:.0f} |")
    return lines


def scales(bench):
    lines = ["First layer's initial weights, `--init-scale`: gap.", "",
             "| density | " + " | ".join(str(s) for s in INIT_SCALES) + " |", "|---|" + "---|" * len(INIT_SCALES)]
    for density in SCALED_DENSITIES:
        cells = [cell(bench.sampled(density, f"scale{s}", {"--init-scale": str(s)})) for s in INIT_SCALES]
        lines.append(f"| {density} | " + " | ".join(cells) + " |")
    return lines


def digits(bench):
    lines = ["Digits: held-out log-likelihood, nats, by annealed importance sampling (`ebm evaluate --dequantize 1`).", "",
             "| options | log-likelihood | standard error of log Z | effective sample size | s |", "|---|---|---|---|---|"]
    for i, (name, options) in enumerate(DIGITS):
        found = bench.digits(str(i), options)
        value = "refused" if found["mean_log_likelihood"] is None else f"{found['mean_log_likelihood']:.2f}"
        lines.append(f"| {name} | {value} | {found['log_z_stderr']:.2f} | {found['effective_sample_size']:.0f} of "
                     f"{found['ais_chains']} | {found['seconds']:.0f} |")
    baselines = bench.digits("0", {})["baselines"]
    lines.append(f"| Gaussian, full covariance | {baselines['gaussian']:.2f} | | | |")
    lines.append(f"| mixture of {baselines['gaussian_mixture_components']} Gaussians | "
                 f"{baselines['gaussian_mixture']:.2f} | | | |")
    return lines


SECTIONS = {"densities": densities, "parts": parts, "scales": scales, "digits": digits}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--section", action="append", choices=SECTIONS)
    arguments = parser.parse_args()
    bench = Bench(arguments.build.resolve())
    chosen = arguments.section or list(SECTIONS)
    command = "scripts/training_table.py BUILD_DIR" + "".join(f" --section {s}" for s in arguments.section or [])
    lines = [
        "# How far from the truth: measured", "",
        f"Made by `{command}`; do not edit. MLP 2-128-128-1 SiLU, 8192 training points, seed 0. Gap: mean over 65,536",
        "fresh points of log p_true - log p_model, nats. Seconds: wall clock of the whole run on two shared cores.",
    ]
    for section in chosen:
        lines += ["", *SECTIONS[section](bench)]
    (ROOT / "docs" / "training-table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
