#!/usr/bin/env python3
"""Every option of every command with values of every kind: each request is refused with exit 2 and a message that names
the option, or runs. Nothing is written by one that is refused, and nothing ends by a signal or runs out of memory.

usage: requests.py EBM [--all | --every N]     one request in N, spread over all (default: all of them)
"""
import os
import re
import resource
import subprocess
import sys
import tempfile

VALUES = ["0", "-1", "1", "0.5", "2", "nan", "inf", "-inf", "1e-40", "1e-60", "1e39", "-1e308", "1e5",
          "9223372036854775807", "9223372036854775808", "-9223372036854775808", "", "1,2", "1,,2", "3,1", "1,nan",
          "text", "0x10", " 1", "1 ", "--5"]

SMALL = "train x.csv --out m --hidden 4 --steps 2 --batch-size 4 --langevin-steps 1"
TRAIN = SMALL + " --buffer-size 8"
SAMPLE = "sample g --chains 2 --langevin-steps 4"
# Small requests that each option is put into, in place of the value that stands there.
BASES = {
    "data": ["data x.csv", "data x.csv --held-out h.csv --out o.csv --label-column 1 --labels-out l.npy",
             "data rings --n 5", "data funnel --n 5 --dim 3 --out o.csv --log-density l.csv"],
    "train": [TRAIN, TRAIN + " --sampler langevin", TRAIN + " --sampler hmc", TRAIN + " --sampler malt",
              TRAIN + " --sampler tempering --replicas 2",
              TRAIN + " --checkpoint c --checkpoint-every 1", SMALL + " --chain-start data",
              TRAIN + " --label-column 1 --head logits"],
    "sample": [SAMPLE + " --sampler " + name for name in ("langevin", "mala", "hmc", "malt", "tempering")]
              + [SAMPLE + " --out o.npy --trajectory t.npy --thin 1 --energy e.npy", "sample g --langevin-steps 4 --init x.csv"],
    "energy": ["energy g x.csv", "energy g x.csv --out e.npy --gradient d.npy"],
    "evaluate": ["evaluate g x.csv --no-baselines --quadrature-points 64",
                 "evaluate g x.csv --no-baselines --method ais --ais-chains 64 --ais-temperatures 10"],
    "score": ["score g x.csv --out s.csv", "score g x.csv --held-out x.csv --out s.csv",
              "score g y.csv --columns 0:2 --label-column 2 --picture p.png --out s.csv"],
    "predict": ["predict jem y.csv --columns 0:2 --out p.csv"],
    "export": ["export g --out m"],
    "info": ["info g", "info"],
    "plot": ["plot x.csv --out p.png", "plot g.safetensors --out p.png --chains 2 --langevin-steps 2",
             "plot jem.safetensors --reliability --data y.csv --columns 0:2 --label-column 2 --out p.png"],
}
# These say how much work there is, so a large value means what it says: it is stopped after a moment.
WORK = {"--steps", "--langevin-steps", "--leapfrog-steps", "--ais-temperatures", "--ais-chains", "--quadrature-points",
        "--swap-every", "--replicas", "--chains", "--n", "--batch-size", "--buffer-size", "--hidden"}
# What the message of a request may name instead of its option.
ALSO = {"--subtract": ["subtracting"], "--divide": ["dividing"], "--clamp": ["clamp"],
        "--columns": ["DATA", "--data"], "--chains": ["takes"], "--langevin-steps": ["takes"], "--n": ["takes"],
        "--label-column": ["label"], "--labels": ["label"], "--map-labels": ["label"]}
MEMORY = 6 << 30


def options_of(ebm, command):
    help_text = subprocess.run([ebm, command, "--help"], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^  (?:-\w,)?(--[a-z0-9-]+)(?:,--[a-z-]+)* ([A-Z][A-Z,:.a-zx]*)(?: |$)", help_text, re.M)
    return sorted({name for name, _ in found})


def request(base, option, value):
    """The words of `base` with `option value`, which replaces what is there."""
    words = base.split()
    if option in words:
        at = words.index(option)
        del words[at:at + 2]
    return words + ([f"{option}={value}"] if len(words) % 2 else [option, value])


def requests(ebm):
    for command, bases in BASES.items():
        for option in options_of(ebm, command):
            for base in bases:
                for value in VALUES:
                    yield option, value, request(base, option, value)


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def contents():
    return {entry.name: (entry.stat().st_mtime_ns, entry.stat().st_size) for entry in os.scandir(".")}


def judge(ebm, option, value, words):
    """What is wrong with the answer, or nothing; and its kind."""
    before = contents()
    try:
        done = subprocess.run([ebm] + words + ["--threads", "1"] * ("--threads" != option), capture_output=True,
                              timeout=2 if option in WORK else 60, preexec_fn=limit, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return (None, "runs") if option in WORK else ("takes longer than a minute", "")
    finally:
        written = {name for name, state in contents().items() if before.get(name) != state}
        for name in written:
            os.remove(name)
    message = done.stderr.decode(errors="replace")
    if done.returncode == 2:
        if written:
            return f"refused, but wrote {written}", ""
        named = any(name in message for name in [option, *ALSO.get(option, [])]) or (
            value.strip() and f" {value}" in message)
        return (None, "refused") if named else ("the message does not name the option", "")
    if done.returncode == 0:
        return None, "runs"
    # What only the work can find out.
    if done.returncode == 1 and re.search(r"diverged|no log-likelihood", message):
        return None, "runs"
    return f"exit {done.returncode}", ""


def main():
    ebm = os.path.abspath(sys.argv[1])
    every = int(sys.argv[3]) if sys.argv[2:3] == ["--every"] else 1
    counts = {"refused": 0, "runs": 0}
    wrong = []
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        with open("x.csv", "w") as file:
            file.writelines(f"{i % 7 / 3},{i % 2}\n" for i in range(40))
        with open("y.csv", "w") as file:
            file.writelines(f"{i % 7 / 3},{i % 3},{i % 2}\n" for i in range(40))
        small = ["--hidden", "4", "--steps", "20", "-q"]
        for ending in ("", ".safetensors"):
            subprocess.run([ebm, "train", "x.csv", "--out", "g" + ending] + small, check=True)
            subprocess.run([ebm, "train", "y.csv", "--label-column", "2", "--head", "logits", "--out", "jem" + ending]
                           + small, check=True)
        for number, (option, value, words) in enumerate(requests(ebm)):
            if number % every:
                continue
            what, kind = judge(ebm, option, value, words)
            if what:
                wrong.append(f"ebm {' '.join(words)}: {what}")
            else:
                counts[kind] += 1
        os.chdir("/")
    print(f"{sum(counts.values()) + len(wrong)} requests: {counts['refused']} refused, {counts['runs']} run, "
          f"{len(wrong)} wrong")
    print("\n".join(wrong))
    # A walk that refuses all or nothing has lost its way.
    return 1 if wrong or min(counts.values()) == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
