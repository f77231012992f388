"""What ranks cost and gain on one machine: iterations a second of `ebm train` by threads of one process and by ranks.

ranks.py EBM [--repeats N] [--batch B ...]: each setting is run in turn, as often as asked for, so that whatever else
the machine does meets all of them. Prints the median and the range. Without mpirun its settings are left out.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile

# How many processes, threads of each, and what starts them.
SETTINGS = {"1 process, 1 thread": (1, 1, None), "1 process, 2 threads": (1, 2, None),
            "1 rank under mpirun, 1 thread": (1, 1, "mpirun"), "2 ranks of 1 thread, mpirun": (2, 1, "mpirun"),
            "2 ranks of 1 thread, by a file": (2, 1, "meet")}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("ebm")
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--batch", type=int, nargs="+", default=[1024])
    options.add_argument("--steps", type=int, default=150)
    options = options.parse_args()
    ebm = str(pathlib.Path(options.ebm).resolve())
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    settings = {name: s for name, s in SETTINGS.items() if s[2] != "mpirun" or shutil.which("mpirun")}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([ebm, "data", "two_moons", "--n", "8192", "--out", "x.npy", "--quiet"], cwd=folder, check=True)
        for batch in options.batch:
            rates = {name: [] for name in settings}
            for _ in range(options.repeats):
                for name, setting in settings.items():
                    rates[name].append(rate(ebm, folder, environment, batch, options.steps, *setting))
            print(f"batch {batch}, 2-128-128-1, 20 steps of mala; iterations a second: median (smallest .. largest)")
            for name, values in rates.items():
                print(f"  {name:30} {statistics.median(values):7.1f} ({min(values):.1f} .. {max(values):.1f})")


def rate(ebm, folder, environment, batch, steps, ranks, threads, how):
    command = [ebm, "train", "x.npy", "--out", "m.st", "--hidden", "128,128", "--batch-size", str(batch), "--device", "cpu",
               "--steps", str(steps), "--threads", str(threads), "--log", "l.jsonl", "--log-every", "10", "--quiet"]
    each = [environment]
    if how == "mpirun":
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), *command]
    elif how == "meet":
        each = [dict(environment, EBMCUDA_RANK=str(r), EBMCUDA_WORLD=str(ranks), EBMCUDA_RENDEZVOUS=folder)
                for r in range(ranks)]
    processes = [subprocess.Popen(command, cwd=folder, env=own) for own in each]
    if any([process.wait() for process in processes]):
        raise SystemExit(f"failed: {command}")
    lines = [json.loads(line) for line in (pathlib.Path(folder) / "l.jsonl").read_text().splitlines()]
    # Between the first line and the last: neither start-up nor end.
    return (lines[-1]["iteration"] - lines[0]["iteration"]) / (lines[-1]["seconds"] - lines[0]["seconds"])


if __name__ == "__main__":
    main()
