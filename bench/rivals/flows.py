"""Normalizing flows (zuko) on the splits of density.py: fitted on rows, stopped by validation, judged on held-out rows.

    flows.py TRAIN.npy TEST.npy --kind nsf|maf [--whole] [--seconds 240] [--seed 0]

Prints one JSON object: the mean log-likelihood of TEST in data units (nats), CPU seconds, iterations. Standardised
columns; with --whole the data are whole numbers with uniform noise in [0, 1), and columns are first mapped to Gaussians by
their histogram, which is what `ebm train` does too: in raw coordinates the same flow loses 7 nats on the digits.
Needs torch, zuko and scipy.
"""
import argparse
import copy
import json
import time

import numpy as np
import torch
import zuko
from scipy.special import ndtri


class Histogram:
    """u = Phi^-1(F_d(x + noise)), F_d piecewise linear: the histogram of column d of the rows, plus one count spread over the cells."""

    def __init__(self, rows):
        cells = int(rows.max()) + 2
        counts = np.stack([np.bincount(column.astype(int), minlength=cells) for column in rows.T]) + 1.0 / cells
        self.share = counts / counts.sum(1, keepdims=True)
        self.below = np.concatenate([np.zeros((rows.shape[1], 1)), np.cumsum(self.share, 1)], 1)

    def __call__(self, rows, noise):
        """Coordinates, and log |du/dx| summed over a row."""
        column, cell = np.arange(rows.shape[1]), rows.astype(int)
        share = self.share[column, cell]
        u = ndtri(np.clip(self.below[column, cell] + share * noise, 1e-12, 1 - 1e-9))
        return u, (np.log(share) + u * u / 2 + np.log(2 * np.pi) / 2).sum(1)


class Standard:
    def __init__(self, rows):
        self.mean, self.std = rows.mean(0), rows.std(0)

    def __call__(self, rows, _):
        return (rows - self.mean) / self.std, np.full(len(rows), -np.log(self.std).sum())


def add_dropout(flow, share):
    for module in flow.modules():
        if type(module).__name__ == "MaskedMLP":
            for i, layer in enumerate(module):
                if isinstance(layer, torch.nn.SiLU):
                    module[i] = torch.nn.Sequential(torch.nn.SiLU(), torch.nn.Dropout(share))


def build(kind, dim, rows):
    shape = {"hidden_features": (128, 128), "activation": torch.nn.SiLU, "randperm": dim > 2}
    if kind == "maf":
        flow = zuko.flows.MAF(dim, transforms=5, **shape)
    else:
        flow = zuko.flows.NSF(dim, transforms=3, bins=8, **shape)
    if rows < 5000:
        add_dropout(flow, 0.2)
    return flow


def fit(arguments):
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    random = np.random.default_rng(arguments.seed)
    rows, judged = np.load(arguments.train).astype(float), np.load(arguments.test).astype(float)
    order = np.random.default_rng(0).permutation(len(rows))
    left_out, kept = rows[order[:len(rows) // 5]], rows[order[len(rows) // 5:]]
    coordinates = (Histogram if arguments.whole else Standard)(rows)

    def mapped(x, generator):
        u, volume = coordinates(x, generator.random(x.shape))
        return torch.tensor(u, dtype=torch.float32), volume.mean()

    def score(flow, parts):
        flow.eval()
        with torch.no_grad():
            return float(np.mean([torch.cat([flow().log_prob(c) for c in u.split(512)]).mean().item() + volume
                                  for u, volume in parts]))

    copies = 3 if arguments.whole else 1
    validation = [mapped(left_out, np.random.default_rng(100 + i)) for i in range(copies)]
    held_out = [mapped(judged, np.random.default_rng(200 + i)) for i in range(copies)]

    flow = build(arguments.kind, rows.shape[1], len(rows))
    average = copy.deepcopy(flow)
    optimizer = torch.optim.AdamW(flow.parameters(), lr=1e-3, weight_decay=0.1 if len(rows) < 5000 else 1e-3)
    best, best_flow, stale, iteration = -np.inf, copy.deepcopy(flow), 0, 0
    batch = min(128, len(kept))
    begin = time.process_time()
    for epoch in range(1, 100_000):
        flow.train()
        shuffled = random.permutation(len(kept))
        for i in range(0, len(kept) - batch + 1, batch):
            points, _ = mapped(kept[shuffled[i:i + batch]], random)
            loss = -flow().log_prob(points).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
            optimizer.step()
            iteration += 1
            with torch.no_grad():
                for a, b in zip(average.parameters(), flow.parameters()):
                    a.lerp_(b, 1 - min(0.99, (iteration + 1) / (iteration + 10)))
        if epoch % 5 == 0:
            value = score(average, validation)
            stale = 0 if value > best else stale + 1
            if value > best:
                best, best_flow = value, copy.deepcopy(average)
        if stale >= 8 or time.process_time() - begin > arguments.seconds:
            break
    return {"mean_log_likelihood": score(best_flow, held_out), "validation": best, "iterations": iteration,
            "seconds": time.process_time() - begin, "torch": torch.__version__, "zuko": zuko.__version__}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--kind", choices=["nsf", "maf"], required=True)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(fit(parser.parse_args())))


if __name__ == "__main__":
    main()
