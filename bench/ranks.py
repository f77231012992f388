"""What ranks cost and gain on one machine: iterations a second of `ebm train` by threads of one process and by ranks.

ranks.py EBM [--repeats N] [--batch B ...]: each setting is run in turn, as often as asked for, so that whatever else
the machine does meets all of them. Prints the median and the range. Needs mpirun.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

SETTINGS = {"1 process, 1 thread": (0, 1), "1 rank under mpirun, 1 thread": (1, 1), "1 process, 2 threads": (0, 2),
            "2 ranks of 1 thread": (2, 1)}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("ebm")
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--batch", type=int, nargs="+", default=[1024])
    options.add_argument("--steps", type=int, default=150)
    options = options.parse_args()
    ebm = str(pathlib.Path(options.ebm).resolve())
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([ebm, "data", "two_moons", "--n", "8192", "--out", "x.npy", "--quiet"], cwd=folder, check=True)
        for batch in options.batch:
            rates = {name: [] for name in SETTINGS}
            for _ in range(options.repeats):
                for name, (ranks, threads) in SETTINGS.items():
                    rates[name].append(rate(ebm, folder, environment, batch, options.steps, ranks, threads))
            print(f"batch {batch}, 2-128-128-1, 20 steps of mala; iterations a second: median (smallest .. largest)")
            for name, values in rates.items():
                print(f"  {name:30} {statistics.median(values):7.1f} ({min(values):.1f} .. {max(values):.1f})")


def rate(ebm, folder, environment, batch, steps, ranks, threads):
    launcher = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks else []
    every = 10
    subprocess.run([*launcher, ebm, "train", "x.npy", "--out", "m.st", "--hidden", "128,128", "--batch-size", str(batch),
                    "--steps", str(steps), "--threads", str(threads), "--log", "l.jsonl", "--log-every", str(every),
                    "--quiet"], cwd=folder, env=environment, check=True)
    lines = [json.loads(line) for line in (pathlib.Path(folder) / "l.jsonl").read_text().splitlines()]
    # Between the first line and the last: neither start-up nor end.
    return (lines[-1]["iteration"] - lines[0]["iteration"]) / (lines[-1]["seconds"] - lines[0]["seconds"])


if __name__ == "__main__":
    main()
