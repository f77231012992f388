#!/usr/bin/env python3
"""The baselines of `ebm evaluate` beside scikit-learn's mixture of Gaussians, on the same splits.

    python3 bench/rivals/baselines.py BUILD_DIR [--seeds 3] [--only wine]

Prints a table of mean log-likelihoods of held-out points, nats. scikit-learn gets standardised columns, the number of
components and reg_covar by validation (five folds below 1,000 rows, one fifth above), and the best of 5 starts at the end.
Needs numpy and scikit-learn.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile
import time
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.mixture import GaussianMixture

PLANE = ["two_moons", "eight_gaussians", "twenty_five_gaussians", "rings", "spirals", "checkerboard"]
OURS = ["marginals", "gaussian", "gaussian_copula", "gaussian_mixture", "factor_mixture", "kernel_density"]
COMPONENTS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]


def ebm(program, *arguments):
    return subprocess.run([program, *map(str, arguments), "-q"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=False).stdout


def split(program, name, seed, folder):
    """Files of training and held-out rows, and the options that they ask for."""
    train, test = folder / "train.npy", folder / "test.npy"
    if name in PLANE:
        ebm(program, "data", name, "--n", 8192, "--seed", seed, "--out", train)
        ebm(program, "data", name, "--n", 20000, "--first", 8192, "--seed", seed, "--out", test)
        return train, test, []
    if name == "digits":
        source, columns = pathlib.Path(__file__).parents[2] / "data" / "digits.csv", ["--columns", "0:64"]
    else:
        source, columns = folder / "x.csv", []
        data = (load_wine if name == "wine" else load_breast_cancer)().data
        np.savetxt(source, data, delimiter=",", fmt="%.9g")
    ebm(program, "data", source, *columns, "--seed", seed, "--out", train, "--held-out", test)
    return train, test, ["--dequantize", 1] if name == "digits" else []


def ours(program, train, test, options, folder):
    model = folder / "m.safetensors"  # any: the baselines are not its
    ebm(program, "train", train, "--hidden", 4, "--steps", 2, "--langevin-steps", 1, "--transform", "standardize", "--out",
        model)
    begin = time.perf_counter()
    answer = json.loads(ebm(program, "evaluate", model, test, "--train", train, "--ais-chains", 32, "--ais-temperatures", 2,
                            "--threads", 1, *options))
    return answer["baselines"], time.perf_counter() - begin


def mixture(z, judged):
    rows, columns = z.shape
    order = np.random.default_rng(0).permutation(rows)
    best = (-np.inf, 1, 1e-6)
    for reg in (1e-6, 1e-3, 1e-2, 1e-1, 0.3) if columns > 2 else (1e-6, 1e-3):
        previous = -np.inf
        for k in COMPONENTS:
            if 5 * k > rows or (columns > 20 and k > 16):
                break
            scores = []
            for fold in range(5 if rows < 1000 else 1):
                left_out = order[rows * fold // 5:rows * (fold + 1) // 5]
                kept = np.setdiff1d(order, left_out)
                fit = GaussianMixture(k, reg_covar=reg, n_init=2, max_iter=200, random_state=0).fit(z[kept])
                scores.append(fit.score(z[left_out]))
            value = np.mean(scores)
            if value > best[0]:
                best = (value, k, reg)
            if value < previous - 0.5:
                break
            previous = value
    fit = GaussianMixture(best[1], reg_covar=best[2], n_init=5, max_iter=200, random_state=0).fit(z)
    return fit.score(judged), best[1]


def theirs(train, test, options):
    x, y = np.load(train).astype(float), np.load(test).astype(float)
    if options:
        noise = np.random.default_rng(0)
        x, y = x + noise.random(x.shape), y + noise.random(y.shape)
    mean, std = x.mean(0), x.std(0)
    volume = np.log(std).sum()
    z, judged = (x - mean) / std, (y - mean) / std
    begin = time.perf_counter()
    value, components = mixture(z, judged)
    return value - volume, components, time.perf_counter() - begin


def shown(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def main():
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3, help="splits of the tables; the others have one")
    parser.add_argument("--only")
    arguments = parser.parse_args()
    program = arguments.build / "tools" / "ebm"
    print("| data, seed | " + " | ".join(OURS) + " | components | seconds | scikit-learn mixture | components | "
          "seconds |")
    print("|" + "---|" * (len(OURS) + 6))
    for name in ["wine", "breast_cancer", "digits", *PLANE]:
        if arguments.only not in (None, name):
            continue
        for seed in range(arguments.seeds if name in ("wine", "breast_cancer") else 1):
            with tempfile.TemporaryDirectory() as directory:
                folder = pathlib.Path(directory)
                train, test, options = split(program, name, seed, folder)
                found, seconds = ours(program, train, test, options, folder)
                value, components, their_seconds = theirs(train, test, options)
            digits = 4 if name in PLANE else 2
            cells = [shown(found.get(key), digits) for key in OURS]
            cells += [str(found["gaussian_mixture_components"]), f"{seconds:.0f}", shown(value, digits), str(components),
                      f"{their_seconds:.0f}"]
            print(f"| {name}, {seed} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
