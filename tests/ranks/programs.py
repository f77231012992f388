"""Starts `ebm` under mpirun with 1 to 4 ranks and compares what it leaves, bit for bit, with a run of one process.

programs.py EBM MPIRUN CASE [KILLS]: cases are the functions below that begin with case_.
"""
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

# What only says how long it took, and where.
TIMES = ("seconds", "chain_steps_per_second", "engine")
SMALL = ["--hidden", "16,16", "--batch-size", "300", "--langevin-steps", "3", "--threads", "1", "--log-every", "10"]


class Programs:
    def __init__(self, ebm, mpirun, folder):
        self.ebm, self.mpirun, self.folder = ebm, mpirun, pathlib.Path(folder)
        # Root and more ranks than cores are what containers have.
        self.environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")

    def alone(self, *arguments):
        return self.call([self.ebm, *arguments])

    def over(self, ranks, *arguments, expect=0, environment=None):
        return self.call(self.command(ranks, *arguments), expect, environment)

    def command(self, ranks, *arguments):
        return [self.mpirun, "--allow-run-as-root", "--oversubscribe", "-n", str(ranks), self.ebm, *arguments]

    def call(self, command, expect=0, environment=None):
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300,
                              env=dict(self.environment, **(environment or {})))
        if expect is not None:
            check(done.returncode == expect, f"exit {done.returncode}, not {expect}: {command}\n{done.stderr}")
        return done

    def same(self, one, other):
        check((self.folder / one).read_bytes() == (self.folder / other).read_bytes(), f"{one} and {other} differ")

    def log(self, name):
        lines = [json.loads(line) for line in (self.folder / name).read_text().splitlines()]
        return [without_times(line) for line in lines]

    def left(self):
        """Processes of ours that still run, and temporary files."""
        running = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if os.readlink(entry / "cwd") == str(self.folder):
                    running.append((entry / "cmdline").read_bytes().replace(b"\0", b" "))
            except OSError:
                pass
        return running


def check(good, what):
    if not good:
        raise SystemExit(f"FAILED: {what}")


def without_times(entry):
    return {key: value for key, value in entry.items() if key not in TIMES}


def case_sample(p):
    p.alone("data", "two_moons", "--n", "400", "--out", "x.npy")
    p.alone("train", "x.npy", "--out", "m.st", *SMALL, "--steps", "20", "--quiet")
    requests = {
        "plain": ["--chains", "130"],
        "few": ["--chains", "2"],
        "from": ["--init", "x.npy"],
        "tempering": ["--chains", "70", "--sampler", "tempering"],
    }
    for name, request in requests.items():
        def run(call, tag):
            outs = ["--out", f"x{tag}.npy", "--trajectory", f"t{tag}.npy", "--energy", f"e{tag}.npy"]
            done = call("sample", "m.st", *request, "--langevin-steps", "40", "--thin", "5", "--threads", "1", *outs)
            return without_times(json.loads(done.stdout))
        alone = run(p.alone, "0")
        for ranks in (1, 2, 3, 4):
            summary = run(lambda *a, ranks=ranks: p.over(ranks, *a), str(ranks))
            check(summary == alone, f"{name}, {ranks} ranks: {summary} is not {alone}")
            for file in "xte":
                p.same(f"{file}0.npy", f"{file}{ranks}.npy")
    rows = ["sample", "m.st", "--chains", "9", "--langevin-steps", "5", "--quiet"]
    check(p.over(3, *rows).stdout == p.alone(*rows).stdout, "rows on standard output differ")
    p.alone(*rows, "--out", "c0.csv")
    p.over(3, *rows, "--out", "c3.csv")
    p.same("c0.csv", "c3.csv")


def case_train(p):
    p.alone("data", "two_moons", "--n", "500", "--out", "x.npy")
    settings = ["train", "x.npy", *SMALL, "--steps", "60", "--held-out-share", "0.2"]

    def outputs(tag):
        return ["--out", f"m{tag}.st", "--checkpoint", f"c{tag}.st", "--log", f"l{tag}.jsonl"]
    p.alone(*settings, *outputs(0))
    for ranks in (1, 2, 3, 4):
        done = p.over(ranks, *settings, *outputs(ranks))
        p.same("m0.st", f"m{ranks}.st")
        p.same("c0.st", f"c{ranks}.st")
        check(p.log("l0.jsonl") == p.log(f"l{ranks}.jsonl"), f"the log of {ranks} ranks differs")
        check(done.stderr.count("wrote m") == 1, f"not one rank speaks: {done.stderr}")
    # A run that goes on with other numbers of ranks.
    p.over(3, *settings, *outputs("r"), "--stop-at", "17")
    p.over(2, *settings, *outputs("r"), "--resume", "--stop-at", "41")
    p.over(4, *settings, *outputs("r"), "--resume")
    for file in "mc":
        p.same(f"{file}0.st", f"{file}r.st")
    check(p.log("l0.jsonl") == p.log("lr.jsonl"), "the log of a run that went on differs")


def case_evaluate(p):
    p.alone("data", "two_moons", "--n", "300", "--out", "x.npy")
    p.alone("train", "x.npy", "--out", "m.st", *SMALL, "--steps", "40", "--quiet")
    ais = ["--method", "ais", "--ais-chains", "150", "--ais-temperatures", "40"]
    for more in ([], ais):
        call = ["evaluate", "m.st", "x.npy", "--threads", "1", "--quiet", *more]
        alone = p.call([p.ebm, *call], None)
        for ranks in (2, 3):
            shared = p.over(ranks, *call, expect=None)
            check(shared.stdout == alone.stdout and alone.stdout, f"{call} over {ranks} ranks: {shared.stdout}")
            check(shared.returncode == alone.returncode, f"exit {shared.returncode}, not {alone.returncode}")


def case_commands(p):
    """What is not shared out is done once; who works together is told."""
    ranks = json.loads(p.over(3, "info", "--ranks", "--json").stdout)
    check([r["rank"] for r in ranks["ranks"]] == [0, 1, 2] and len({r["process"] for r in ranks["ranks"]}) == 3,
          f"info --ranks: {ranks}")
    one = json.loads(p.alone("info", "--ranks", "--json").stdout)
    check(one["carrier"] == "one process" and len(one["ranks"]) == 1, f"info --ranks alone: {one}")
    done = p.over(3, "data", "two_moons", "--n", "50", "--out", "x.npy")
    check(done.stderr.count("wrote") == 1, f"not one rank speaks: {done.stderr}")
    version = p.over(2, "--version")
    check(version.stdout == p.alone("--version").stdout, f"--version: {version.stdout}")


def case_mismatch(p):
    """Ranks that were given other things end, all of them, and say which rank and what; nothing is written."""
    for n, name in ((300, "x.npy"), (301, "y.npy")):
        p.alone("data", "two_moons", "--n", str(n), "--out", name)
    before = sorted(file.name for file in p.folder.iterdir())

    def refused(*commands, parts, status=2):
        command = [p.mpirun, "--allow-run-as-root", "--oversubscribe"]
        for ranks, arguments in commands:
            command += [":"] * (len(command) > 3) + ["-n", str(ranks), p.ebm, *arguments]
        done = p.call(command, status)
        for part in parts:
            check(part in done.stderr, f"{command}: the message lacks '{part}': {done.stderr}")
        check(sorted(file.name for file in p.folder.iterdir()) == before, f"{command}: a file was written")

    train = ["train", "x.npy", "--out", "m.st", *SMALL, "--steps", "20", "--quiet"]
    refused((2, train), (1, [*train, "--seed", "5"]), parts=["--seed = 5 on rank 2", "rank 0 has 0"])
    refused((1, train), (1, ["train", "y.npy", *train[2:]]), parts=["DATA", "on rank 1"])
    refused((1, train), (1, [*train, "--learning-rate", "0.5"]), parts=["--learning-rate = 0.5 on rank 1"])
    refused((1, train), (1, ["train", "nothing.npy", *train[2:]]), parts=["rank 1: ", "nothing.npy"], status=None)
    refused((2, ["train", "nothing.npy", *train[2:]]), parts=["rank 0: ", "nothing.npy"])
    refused((3, [*train, "--steps", "0"]), parts=["rank 0: ", "more than once"])
    refused((1, train), (1, ["info"]), parts=["rank 1: has ended"], status=1)


def case_silent(p):
    """A rank that hangs: the others end when its time is up, and mpirun ends the rest."""
    p.alone("data", "two_moons", "--n", "300", "--out", "x.npy")
    settings = ["train", "x.npy", "--out", "m.st", *SMALL, "--steps", "1000000", "--quiet", "--checkpoint", "c.st",
                "--checkpoint-every", "1"]
    process = subprocess.Popen(p.command(3, *settings), cwd=p.folder, stderr=subprocess.PIPE, text=True,
                               env=dict(p.environment, EBMCUDA_RANK_TIMEOUT="3"))
    wait_for(p.folder / "c.st", process)
    victim = ranks_of(process.pid)[1]
    os.kill(victim, signal.SIGSTOP)
    began = time.time()
    _, errors = process.communicate(timeout=120)
    check(process.returncode != 0 and "has given no sign of life for 3 s" in errors, errors)
    check(time.time() - began < 60, f"it took {time.time() - began:.0f} s")
    gone(p)
    p.alone("info", "c.st")


def case_kills(p, kills):
    """kill -9 of a rank at random moments, on 1 to 4 ranks: the checkpoint always loads, nothing is lost, nobody is left.
    In the end the run has the bits of one that was never killed."""
    moments = random.Random(1)
    p.alone("data", "two_moons", "--n", "300", "--out", "x.npy")
    settings = ["train", "x.npy", *SMALL, "--steps", "1000000", "--quiet"]
    victim = [*settings, "--out", "m.st", "--checkpoint", "c.st", "--checkpoint-every", "1"]
    iteration, killed, hung = 0, 0, 0
    for kill in range(kills):
        ranks = 2 + kill % 3
        resume = ["--resume"] if (p.folder / "c.st").exists() else []
        written = time_of(p.folder / "c.st")
        process = subprocess.Popen(p.command(ranks, *victim, *resume), cwd=p.folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, env=p.environment)
        found = []
        while len(found) < ranks and process.poll() is None:
            time.sleep(0.01)
            found = ranks_of(process.pid)
        # Every other one at work, the rest while they begin.
        if kill % 2 == 0:
            wait_for_change(p.folder / "c.st", written, process)
        time.sleep(moments.uniform(0, 0.4))
        for target in [moments.choice(found)] if found else []:
            try:
                os.kill(target, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
        if ended_with_its_ranks(process):
            _, errors = process.communicate(timeout=120)
            check(process.returncode != 0, f"kill {kill}: mpirun ended as if nothing had been")
            check("rank" in errors and "9" in errors, f"kill {kill}: the message names no rank: {errors}")
        else:
            process.kill()
            process.communicate()
            hung += 1
        gone(p)
        if not (p.folder / "c.st").exists():
            continue
        now = iteration_of(p)
        check(now >= iteration, f"kill {kill}: iteration {now} after {iteration}")
        iteration = now
    end = ["--stop-at", str(iteration + 3)]
    p.over(2, *victim, "--resume", *end)
    p.alone(*settings, "--out", "whole.st", "--checkpoint", "w.st", *end)
    p.same("c.st", "w.st")
    left = sorted(f.name for f in p.folder.iterdir() if f.name not in ("x.npy", "c.st", "w.st"))
    print(f"{killed} kills, {iteration} iterations, nothing lost; left behind: {left}; launchers that hung: {hung}")
    check(killed > 0 and iteration > 0, "nothing was tried")


def ended_with_its_ranks(process):
    """Open MPI's launcher may hang for good where a rank is killed while MPI begins, though no rank is left."""
    deadline = time.time() + 60
    alone = None
    while process.poll() is None:
        check(time.time() < deadline, "ranks go on without the one that was killed")
        alone = None if ranks_of(process.pid) else alone or time.time()
        if alone and time.time() - alone > 10:
            return False
        time.sleep(0.02)
    return True


def ranks_of(launcher):
    """Children that have become the program: before that they are the launcher's own."""
    found = []
    try:
        children = pathlib.Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    except OSError:  # it has ended
        children = []
    for child in map(int, children):
        try:
            if os.readlink(f"/proc/{child}/exe").endswith("/ebm"):
                found.append(child)
        except OSError:
            pass
    return sorted(found)


def wait_for(file, process):
    for _ in range(6000):
        if file.exists() or process.poll() is not None:
            break
        time.sleep(0.01)
    check(process.poll() is None, f"it ended before {file} was there")


def time_of(file):
    return file.stat().st_mtime_ns if file.exists() else 0


def wait_for_change(file, written, process):
    while time_of(file) == written and process.poll() is None:
        time.sleep(0.01)


def gone(p):
    for _ in range(500):
        left = p.left()
        if not left:
            return
        time.sleep(0.02)
    check(False, f"processes are left: {left}")


def iteration_of(p):
    return json.loads(p.alone("info", "c.st", "--json").stdout)["checkpoint"]["iteration"]


def main():
    ebm, mpirun, case = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
    with tempfile.TemporaryDirectory() as folder:
        more = [int(sys.argv[4])] if len(sys.argv) > 4 else []
        globals()[f"case_{case}"](Programs(str(ebm), mpirun, pathlib.Path(folder).resolve()), *more)


if __name__ == "__main__":
    main()
