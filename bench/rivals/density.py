#!/usr/bin/env python3
"""Makes docs/density.md: how good a density `ebm train` learns from real data, beside strong rivals on the same split.

    bench/rivals/density.py BUILD_DIR [--sections digits tables plane targets] [--seeds 3] [--splits 5] [--flow-seconds 240]

Needs `ebm` in BUILD_DIR/tools, and numpy, scipy, scikit-learn, torch and zuko. One thread throughout; seconds are of one
core (processor time), so that a busy machine does not change them much. What has been measured lies in
BUILD_DIR/density/results.json, with the program's version, and is not measured again. The page has the sections asked for, and says which it lacks.
"""
import argparse
import datetime
import json
import pathlib
import platform
import resource
import subprocess
import sys
import time

import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine

from baselines import PLANE, mixture

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "density.md"
TARGETS = ["mixture", "twonorm", "ringnorm"]
LONG = ["--steps", "12000", "--weight-decay", "0.3"]


class Measurements:
    """Results by key, kept on disk as they come."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "results.json"
        self.results = json.loads(self.path.read_text()) if self.path.exists() else {}

    def get(self, key, measure):
        if key not in self.results:
            began = time.time()
            self.results[key] = measure()
            self.results[key]["date"] = datetime.date.today().isoformat()
            self.path.write_text(json.dumps(self.results, indent=1, sort_keys=True))
            print(f"{key}: {self.results[key]} ({time.time() - began:.0f} s)", flush=True)
        return self.results[key]

    def ebm(self, *arguments, may_fail=False):
        """Standard output and processor seconds of `ebm`."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([self.program, *map(str, arguments), "-q"], capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0 and not (may_fail and done.stdout):
            sys.exit(f"ebm {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)

    def split(self, name, seed, rows=8192):
        """Training rows, held-out rows, the options that they ask for."""
        train, test = (self.folder / f"{name}.{seed}.{part}.npy" for part in ("train", "test"))
        options = ["--dequantize", "1"] if name == "digits" else []
        if train.exists() and test.exists():
            return train, test, options
        if name in PLANE or name in TARGETS:
            dim = [] if name in PLANE else ["--dim", "20"]
            self.ebm("data", name, *dim, "--n", rows, "--seed", seed, "--out", train)
            self.ebm("data", name, *dim, "--n", 65536, "--first", rows, "--seed", seed, "--out", test)
            return train, test, options
        if name == "digits":
            source, columns = ROOT / "data" / "digits.csv", ["--columns", "0:64"]
        else:
            source, columns = self.folder / f"{name}.csv", []
            np.savetxt(source, (load_wine if name == "wine" else load_breast_cancer)().data, delimiter=",", fmt="%.9g")
        self.ebm("data", source, *columns, "--seed", seed, "--out", train, "--held-out", test)
        return train, test, options

    def model(self, name, split_seed, seed, options=(), tag=""):
        """A model trained with the defaults and `options`."""
        train, _, asked = self.split(name, split_seed)
        path = self.folder / f"{name}.{split_seed}.{seed}{tag}.safetensors"

        def measure():
            _, seconds = self.ebm("train", train, "--out", path, "--seed", seed, "--threads", 1, "--overwrite", *asked, *options)
            return {"seconds": seconds}

        return path, self.get(f"train/{path.stem}", measure)["seconds"]

    def judged(self, key, models, name, split_seed, baselines=False):
        """What `ebm evaluate` says of one model or of several."""
        train, test, options = self.split(name, split_seed)
        if baselines:
            options = [*options, "--train", train]
        else:
            options = [*options, "--no-baselines"]
        if name in PLANE or name in TARGETS:
            options += ["--density", name]

        def measure():
            text, seconds = self.ebm("evaluate", *models, test, "--threads", 1, *options, may_fail=True)
            answer = json.loads(text)
            kept = {k: answer.get(k) for k in ("mean_log_likelihood", "log_z_stderr", "effective_sample_size", "baselines")}
            return {**kept, "gap": answer.get("density", {}).get("gap"), "seconds": seconds}

        return self.get(f"evaluate/{key}", measure)

    def flow(self, kind, name, split_seed, seconds, seed=0):
        train, test, options = self.split(name, split_seed)

        def measure():
            command = [sys.executable, pathlib.Path(__file__).with_name("flows.py"), train, test, "--kind", kind, "--seconds",
                       str(seconds), "--seed", str(seed), *(["--whole"] if options else [])]
            return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

        return self.get(f"flow/{kind}/{name}.{split_seed}.{seed}", measure)

    def mixture(self, name, split_seed):
        """scikit-learn's mixture; components and reg_covar by validation."""
        train, test, _ = self.split(name, split_seed)

        def measure():
            x, y = np.load(train).astype(float), np.load(test).astype(float)
            mean, std = x.mean(0), x.std(0)
            began = time.process_time()
            value, components = mixture((x - mean) / std, (y - mean) / std)
            return {"mean_log_likelihood": value - np.log(std).sum(), "components": components,
                    "seconds": time.process_time() - began}

        return self.get(f"mixture/{name}.{split_seed}", measure)


def number(value, digits=2):
    return "refused" if value is None else f"{value:.{digits}f}"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(r) + " |" for r in rows), ""]


def digits(m, arguments):
    """Rows of the table of the digits: what, nats, seconds."""
    seeds = range(arguments.seeds)
    rows = []
    for label, options, tag in (("`ebm train`, defaults", [], ""), (f"`ebm train {' '.join(LONG)}`", LONG, ".long")):
        models = [m.model("digits", 0, seed, options, tag) for seed in seeds]
        answers = [m.judged(path.stem, [path], "digits", 0) for path, _ in models]
        values = [a["mean_log_likelihood"] for a in answers]
        rows.append([label + f", seeds 0 .. {seeds[-1]}", " / ".join(map(number, values)),
                     " / ".join(f"{s:.0f}" for _, s in models),
                     " / ".join(f"{a['log_z_stderr']:.3f}" for a in answers)])
        together = m.judged(f"digits.0{tag}.ensemble", [path for path, _ in models], "digits", 0)
        rows.append([f"the densities of these {len(models)} averaged", number(together["mean_log_likelihood"]),
                     f"{sum(s for _, s in models):.0f}", ""])
    for kind, label in (("nsf", "neural spline flow"), ("maf", "masked autoregressive flow")):
        answer = m.flow(kind, "digits", 0, arguments.flow_seconds)
        rows.append([f"{label} (zuko), columns mapped to Gaussians", number(answer["mean_log_likelihood"]),
                     f"{answer['seconds']:.0f}", ""])
    answer = m.mixture("digits", 0)
    rows.append([f"mixture of {answer['components']} Gaussians (scikit-learn)", number(answer["mean_log_likelihood"]),
                 f"{answer['seconds']:.0f}", ""])
    own = m.judged("digits.0.baselines", [m.model("digits", 0, 0)[0]], "digits", 0, baselines=True)["baselines"]
    for key in ("gaussian_copula", "factor_mixture", "gaussian_mixture", "marginals", "gaussian", "kernel_density"):
        if own.get(key) is not None:
            rows.append([f"{key.replace('_', ' ')} (`ebm evaluate --train`)", number(own[key]), "", ""])
    return ["## Digits", "",
            "1,797 images of 8 x 8 whole numbers, four fifths to train on; mean log-likelihood of the held-out fifth with uniform noise "
            "in [0, 1).", "", *table(["", "nats", "s", "standard error of log Z"], rows)]


def tables(m, arguments):
    lines = ["## Small tables", "", "Four fifths to train on, `ebm data --held-out-share 0.2 --seed` 0, 1, ...; nats per held-out row.", ""]
    for name, shape in (("wine", "142 x 13"), ("breast_cancer", "455 x 30")):
        splits = range(arguments.splits)
        columns = {"`ebm train`, defaults": [], "mixture by validation (scikit-learn)": [], "neural spline flow (zuko)": [],
                   "masked autoregressive flow (zuko)": []}
        for split in splits:
            path, _ = m.model(name, split, 0)
            columns["`ebm train`, defaults"].append(m.judged(path.stem, [path], name, split)["mean_log_likelihood"])
            columns["mixture by validation (scikit-learn)"].append(m.mixture(name, split)["mean_log_likelihood"])
            for kind, label in (("nsf", "neural spline flow (zuko)"), ("maf", "masked autoregressive flow (zuko)")):
                columns[label].append(m.flow(kind, name, split, arguments.flow_seconds)["mean_log_likelihood"])
        lines += table([f"{name.replace('_', ' ')}, {shape}", *map(str, splits), "mean"],
                       [[label, *map(number, values), number(None if None in values else float(np.mean(values)))]
                        for label, values in columns.items()])
    return lines


def plane(m, arguments):
    """Gaps to the truth: nats by which the model's mean log density of fresh points is below the true one."""
    rows = []
    for name in PLANE:
        models = [m.model(name, 0, seed)[0] for seed in range(arguments.seeds)]
        gaps = [m.judged(path.stem, [path], name, 0)["gap"] for path in models]
        _, test, _ = m.split(name, 0)
        best = m.judged(models[0].stem, [models[0]], name, 0)
        truth = best["mean_log_likelihood"] + best["gap"]
        together = m.judged(f"{name}.0.ensemble", models, name, 0)["gap"]
        flow = m.flow("nsf", name, 0, arguments.plane_flow_seconds)
        rows.append([name, " / ".join(number(g, 4) for g in gaps), number(together, 4),
                     number(truth - m.mixture(name, 0)["mean_log_likelihood"], 4),
                     number(truth - flow["mean_log_likelihood"], 4)])
    return ["## In the plane", "", "8,192 points to train on; gap to the truth over 65,536 fresh points, nats: 0 is perfect.", "",
            *table(["", f"`ebm train`, seeds 0 .. {arguments.seeds - 1}", f"these {arguments.seeds} averaged",
                    "mixture by validation (scikit-learn)", f"neural spline flow (zuko, {arguments.plane_flow_seconds:.0f} s)"], rows)]


def targets(m, _):
    rows = []
    for name in TARGETS:
        _, test, _ = m.split(name, 0, 10000)
        path, seconds = m.model(name, 0, 0)
        answer = m.judged(path.stem, [path], name, 0)
        truth = answer["mean_log_likelihood"] + answer["gap"]
        rows.append([name, number(answer["gap"], 4), f"{seconds:.0f}",
                     number(truth - m.mixture(name, 0)["mean_log_likelihood"], 4)])
    return ["## Twenty dimensions, density known", "", "`ebm data NAME --dim 20`, 10,000 rows; gap to the truth over 65,536 fresh points, nats.", "",
            *table(["", "`ebm train`, defaults", "s", "mixture by validation (scikit-learn)"], rows)]


SECTIONS = {"digits": digits, "tables": tables, "plane": plane, "targets": targets}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--flow-seconds", type=float, default=240)
    parser.add_argument("--plane-flow-seconds", type=float, default=60)
    arguments = parser.parse_args()
    m = Measurements(arguments.build / "tools" / "ebm", arguments.build / "density")
    version = subprocess.run([m.program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    lines = ["# How good a density: measured", "",
             f"Made by `bench/rivals/density.py BUILD_DIR`; do not edit. {version}; {platform.machine()}, one thread, seconds of one core; "
             f"{datetime.date.today().isoformat()}. \"refused\": no value is given, because log Z is not known well enough ([evaluation.md](evaluation.md)).", ""]
    for section in arguments.sections:
        lines += SECTIONS[section](m, arguments)
    missing = [section for section in SECTIONS if section not in arguments.sections]
    if missing:
        lines += [f"Not measured yet: {', '.join(missing)}.", ""]
    PAGE.write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
