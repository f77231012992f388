"""Starts `ebm` as 1 to 4 ranks and compares what it leaves, bit for bit, with a run of one process.

programs.py EBM MPIRUN CASE [KILLS]: cases are the functions below that begin with case_. MPIRUN is the launcher's path, or
`meet`: then the ranks are started one by one and meet by a file.
"""
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# What only says how long it took, and where.
TIMES = ("seconds", "chain_steps_per_second", "engine")
SMALL = ["--hidden", "16,16", "--batch-size", "300", "--langevin-steps", "3", "--threads", "1", "--log-every", "10"]


class MpiRun:
    """Ranks that mpirun starts."""

    def __init__(self, mpirun, ebm, folder, environment, commands, **pipes):
        # Root and more ranks than cores are what containers have.
        command = [mpirun, "--allow-run-as-root", "--oversubscribe"]
        for i, (ranks, arguments) in enumerate(commands):
            command += [":"] * (i > 0) + ["-n", str(ranks), ebm, *arguments]
        self.process = subprocess.Popen(command, cwd=folder, text=True, env=environment, **pipes)

    def pids(self):
        """Children that have become the program: before that they are the launcher's own."""
        found = []
        try:
            children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        except OSError:  # it has ended
            children = []
        for child in map(int, children):
            try:
                if os.readlink(f"/proc/{child}/exe").endswith("/ebm"):
                    found.append(child)
            except OSError:
                pass
        return sorted(found)

    def running(self):
        return self.process.poll() is None

    def give_up(self):
        """Open MPI's launcher may hang for good where a rank is killed while MPI begins, though no rank is left."""
        self.process.kill()

    def finish(self, timeout):
        out, err = self.process.communicate(timeout=timeout)
        return Done(self.process.returncode, out or "", err or "", [self.process.returncode])


class Meeting:
    """Ranks that this program starts one by one, and that meet by a file."""

    def __init__(self, _, ebm, folder, environment, commands, **pipes):
        place = tempfile.mkdtemp(prefix="meeting-", dir=folder.parent)
        each = [arguments for ranks, arguments in commands for _ in range(ranks)]
        self.place = place
        self.processes = []
        for rank, arguments in enumerate(each):
            own = dict(environment, EBMCUDA_RANK=str(rank), EBMCUDA_WORLD=str(len(each)), EBMCUDA_RENDEZVOUS=place)
            self.processes.append(subprocess.Popen([ebm, *arguments], cwd=folder, text=True, env=own, **pipes))

    def pids(self):
        return [p.pid for p in self.processes if p.poll() is None]

    def running(self):
        return any(p.poll() is None for p in self.processes)

    def give_up(self):
        for process in self.processes:
            process.kill()

    def finish(self, timeout):
        # All at once, since each may fill its pipe.
        with concurrent.futures.ThreadPoolExecutor(len(self.processes)) as pool:
            texts = list(pool.map(lambda p: p.communicate(timeout=timeout), self.processes))
        shutil.rmtree(self.place)
        status = [p.returncode for p in self.processes]
        return Done(max(status, key=abs), "".join(t[0] or "" for t in texts), "".join(t[1] or "" for t in texts), status)


Done = collections.namedtuple("Done", "returncode stdout stderr status")


class Programs:
    def __init__(self, ebm, launcher, folder):
        self.ebm, self.folder = ebm, folder
        self.mpirun, self.kind = launcher, Meeting if launcher == "meet" else MpiRun
        self.environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")

    def alone(self, *arguments, expect=0):
        done = subprocess.run([self.ebm, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=600,
                              env=self.environment)
        if expect is not None:
            check(done.returncode == expect, f"exit {done.returncode}, not {expect}: {arguments}\n{done.stderr}")
        return done

    def over(self, ranks, *arguments, expect=0, environment=None):
        return self.over_each((ranks, arguments), expect=expect, environment=environment)

    def over_each(self, *commands, expect=0, environment=None):
        """Ranks with different arguments."""
        done = self.start(*commands, environment=environment).finish(600)
        if expect is not None:
            check(done.returncode == expect, f"exit {done.status}, not {expect}: {commands}\n{done.stderr}")
        return done

    def start(self, *commands, environment=None):
        return self.kind(self.mpirun, self.ebm, self.folder, dict(self.environment, **(environment or {})), commands,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)

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
        alone = p.alone(*call, expect=None)
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
        done = p.over_each(*commands, expect=status)
        for part in parts:
            check(part in done.stderr, f"{commands}: the message lacks '{part}': {done.stderr}")
        check(sorted(file.name for file in p.folder.iterdir()) == before, f"{commands}: a file was written")

    train = ["train", "x.npy", "--out", "m.st", *SMALL, "--steps", "20", "--quiet"]
    refused((2, train), (1, [*train, "--seed", "5"]), parts=["--seed = 5 on rank 2", "rank 0 has 0"])
    refused((1, train), (1, ["train", "y.npy", *train[2:]]), parts=["DATA", "on rank 1"])
    refused((1, train), (1, [*train, "--learning-rate", "0.5"]), parts=["--learning-rate = 0.5 on rank 1"])
    refused((1, train), (1, ["train", "nothing.npy", *train[2:]]), parts=["rank 1: ", "nothing.npy"], status=None)
    refused((2, ["train", "nothing.npy", *train[2:]]), parts=["rank 0: ", "nothing.npy"])
    refused((3, [*train, "--steps", "0"]), parts=["rank 0: ", "more than once"])
    refused((1, train), (1, ["info"]), parts=["rank 1: has ended"], status=1)


def case_silent(p):
    """A rank that hangs: the others end when its time is up. mpirun then ends it; without one it finds them gone."""
    p.alone("data", "two_moons", "--n", "300", "--out", "x.npy")
    settings = ["train", "x.npy", "--out", "m.st", *SMALL, "--steps", "1000000", "--quiet", "--checkpoint", "c.st",
                "--checkpoint-every", "1"]
    run = p.start((3, settings), environment={"EBMCUDA_RANK_TIMEOUT": "3"})
    wait_for(p.folder / "c.st", run)
    victim = run.pids()[1]
    os.kill(victim, signal.SIGSTOP)
    began = time.time()
    while run.running() and set(run.pids()) - {victim}:
        check(time.time() - began < 60, f"it takes {time.time() - began:.0f} s")
        time.sleep(0.02)
    try:
        os.kill(victim, signal.SIGCONT)
    except ProcessLookupError:
        pass
    done = run.finish(120)
    check(done.returncode != 0 and "has given no sign of life for 3 s" in done.stderr, done.stderr)
    gone(p)
    p.alone("info", "c.st")


def case_missing(p):
    """A rank that does not come is named when its time is up."""
    run = Meeting(None, p.ebm, p.folder, dict(p.environment, EBMCUDA_RANK_TIMEOUT="1"), [(3, ["info", "--ranks"])],
                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run.processes[1].kill()
    done = run.finish(60)
    check(done.status[0] == 1 and done.status[2] == 1, f"exit {done.status}")
    check("rank 1: has " in done.stderr, done.stderr)
    for variables, part in (({"EBMCUDA_RANK": "0"}, "EBMCUDA_RANK = 0: needs EBMCUDA_RENDEZVOUS"),
                            ({"EBMCUDA_RANK": "2", "EBMCUDA_WORLD": "2", "EBMCUDA_RENDEZVOUS": "."}, "EBMCUDA_RANK = 2")):
        done = subprocess.run([p.ebm, "info"], cwd=p.folder, capture_output=True, text=True, timeout=60,
                              env=dict(p.environment, **variables))
        check(done.returncode == 2 and part in done.stderr, f"{variables}: {done}")
    # One rank of one needs nobody.
    done = subprocess.run([p.ebm, "info", "--ranks"], cwd=p.folder, capture_output=True, text=True, timeout=60,
                          env=dict(p.environment, RANK="0", WORLD_SIZE="1", EBMCUDA_RENDEZVOUS="."))
    check(done.returncode == 0 and "carrier one process" in done.stdout, f"{done}")


def case_gpus(p):
    """Ranks with a GPU each, by default; exit status 77 where there are not three."""
    devices = json.loads(p.alone("info", "--json").stdout)["devices"]
    if len(devices) < 4:
        print("not three GPUs: skipped")
        raise SystemExit(77)
    p.alone("data", "two_moons", "--n", "400", "--out", "x.npy")
    settings = ["train", "x.npy", "--hidden", "16", "--batch-size", "300", "--langevin-steps", "2", "--log-every", "2",
                "--steps", "6"]

    def outputs(tag):
        return ["--out", f"m{tag}.st", "--checkpoint", f"c{tag}.st", "--log", f"l{tag}.jsonl"]

    def sample(call, tag):
        done = call("sample", "m0.st", "--chains", "130", "--langevin-steps", "4", "--device", "cuda", "--out",
                    f"x{tag}.npy", "--energy", f"e{tag}.npy")
        return without_times(json.loads(done.stdout))
    p.alone(*settings, *outputs(0), "--device", "cuda")
    summary = sample(p.alone, "0")
    for ranks in (2, 3):
        p.over(ranks, *settings, *outputs(ranks))
        for file in "mc":
            p.same(f"{file}0.st", f"{file}{ranks}.st")
        check(p.log("l0.jsonl") == p.log(f"l{ranks}.jsonl"), f"the log of {ranks} ranks differs")
        shared = sample(lambda *a, ranks=ranks: p.over(ranks, *a), str(ranks))
        check(shared == summary, f"{ranks} ranks: {shared} is not {summary}")
        for file in "xe":
            p.same(f"{file}0.npy", f"{file}{ranks}.npy")
    p.over(3, *settings, *outputs("r"), "--stop-at", "2")
    p.over(2, *settings, *outputs("r"), "--resume")
    for file in "mc":
        p.same(f"{file}0.st", f"{file}r.st")
    # Two on one, no NCCL, and one that is killed while the rest wait in their devices.
    done = p.over(2, *settings, *outputs("x"), "--device", "cuda:1", expect=2)
    check("--device = cuda:1 of rank 1 (local rank 1 on " in done.stderr, done.stderr)
    done = p.over(2, *settings, *outputs("x"), expect=2, environment={"EBMCUDA_NCCL": "nowhere"})
    check("needs NCCL" in done.stderr, done.stderr)
    long = [*settings[:-1], "1000000", "--out", "k.st", "--checkpoint", "k.ck", "--checkpoint-every", "1", "--quiet"]
    run = p.start((3, long), environment={"EBMCUDA_RANK_TIMEOUT": "60"})
    wait_for(p.folder / "k.ck", run)
    os.kill(run.pids()[1], signal.SIGKILL)
    done = run.finish(60)
    check(done.returncode != 0, f"exit {done.status}")
    check("rank 1" in done.stderr, done.stderr)
    gone(p)
    p.alone("info", "k.ck")


def case_kills(p, kills):
    """kill -9 of a rank at random moments, on 1 to 4 ranks: the checkpoint always loads, nothing is lost, nobody is left.
    In the end the run has the bits of one that was never killed."""
    moments = random.Random(1)
    p.alone("data", "two_moons", "--n", "300", "--out", "x.npy")
    settings = ["train", "x.npy", *SMALL, "--steps", "1000000", "--quiet"]
    victim = [*settings, "--out", "m.st", "--checkpoint", "c.st", "--checkpoint-every", "1"]
    # Without a launcher a rank that is killed before it has met the others is missed when the time is up.
    environment = {"EBMCUDA_RANK_TIMEOUT": "10"} if p.kind is Meeting else {}
    iteration, killed, hung, longest = 0, 0, 0, 0.0
    for kill in range(kills):
        ranks = 2 + kill % 3
        resume = ["--resume"] if (p.folder / "c.st").exists() else []
        written = time_of(p.folder / "c.st")
        run = p.start((ranks, [*victim, *resume]), environment=environment)
        found = []
        while len(found) < ranks and run.running():
            time.sleep(0.01)
            found = run.pids()
        # Every other one at work, the rest while they begin.
        if kill % 2 == 0:
            wait_for_change(p.folder / "c.st", written, run)
        time.sleep(moments.uniform(0, 0.4))
        target = moments.randrange(len(found)) if found else None
        began = time.time()
        try:
            if target is not None:
                os.kill(found[target], signal.SIGKILL)
                killed += 1
        except ProcessLookupError:
            pass
        if ended_with_its_ranks(run):
            longest = max(longest, time.time() - began)
            done = run.finish(120)
            check(done.returncode != 0, f"kill {kill}: it ended as if nothing had been")
            named = f"rank {target}: " if p.kind is Meeting else "rank"
            check(named in done.stderr, f"kill {kill}: the message does not name {named}: {done.stderr}")
        else:
            run.give_up()
            run.finish(120)
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
    print(f"{killed} kills, {iteration} iterations, nothing lost; left behind: {left}; launchers that hung: {hung}; "
          f"longest until all had ended: {longest:.1f} s")
    check(killed > 0 and iteration > 0, "nothing was tried")


def ended_with_its_ranks(run):
    """False where ranks have ended and what started them has not."""
    deadline = time.time() + 60
    alone = None
    while run.running():
        check(time.time() < deadline, "ranks go on without the one that was killed")
        alone = None if run.pids() else alone or time.time()
        if alone and time.time() - alone > 10:
            return False
        time.sleep(0.02)
    return True


def wait_for(file, run):
    for _ in range(6000):
        if file.exists() or not run.running():
            break
        time.sleep(0.01)
    check(run.running(), f"it ended before {file} was there")


def time_of(file):
    return file.stat().st_mtime_ns if file.exists() else 0


def wait_for_change(file, written, run):
    while time_of(file) == written and run.running():
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
    ebm, launcher, case = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
    with tempfile.TemporaryDirectory() as base:
        folder = pathlib.Path(base).resolve() / "work"  # meetings are beside it
        folder.mkdir()
        globals()[f"case_{case}"](Programs(str(ebm), launcher, folder), *map(int, sys.argv[4:]))


if __name__ == "__main__":
    main()
