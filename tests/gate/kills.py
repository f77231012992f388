"""Kills a training at random moments while it writes a checkpoint every iteration, and sees that nothing is lost.

kills.py EBM [KILLS [SEED]]: after every kill (SIGKILL) the checkpoint has to load, at the iteration that the last
one had or a later one, and the training goes on from it. In the end the model has to be bit for bit that of a run that
was never killed. Prints a line of figures; exit status 1 when anything was lost.
"""
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time


def main():
    ebm = pathlib.Path(sys.argv[1]).resolve()
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    moments = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    with tempfile.TemporaryDirectory() as folder:
        return run(ebm, kills, moments, pathlib.Path(folder))


def run(ebm, kills, moments, folder):
    def call(*arguments, **options):
        return subprocess.run([ebm, *arguments], cwd=folder, check=True, capture_output=True, text=True, **options)

    call("data", "two_moons", "--n", "512", "--out", "x.npy")
    # Long enough for the kills that are asked for; each call of ours gets a few iterations further.
    settings = ["x.npy", "--hidden", "16", "--batch-size", "32", "--langevin-steps", "2", "--threads", "1",
                "--steps", str(20 * kills), "--quiet"]
    victim = ["train", *settings, "--out", "killed.st", "--checkpoint", "c.st", "--checkpoint-every", "1"]
    iteration, lost, done = 0, 0, 0
    for kill in range(kills):
        resume = ["--resume"] if (folder / "c.st").exists() else []
        process = subprocess.Popen([ebm, *victim, *resume], cwd=folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.005, 0.08))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        done += 1
        if not (folder / "c.st").exists():
            continue
        found = iteration_of(ebm, folder)
        if found is None or found < iteration:
            lost += 1
            print(f"kill {kill}: iteration {found} after {iteration}")
        else:
            iteration = found
    call(*victim, "--resume", *(["--stop-at", str(iteration + 5)]))
    last = iteration_of(ebm, folder)
    call("train", *settings, "--out", "whole.st", "--checkpoint", "w.st", "--stop-at", str(last))
    same = (folder / "c.st").read_bytes() == (folder / "w.st").read_bytes()
    left = [p.name for p in folder.iterdir() if p.name not in ("x.npy", "c.st", "w.st", "killed.st", "whole.st")]
    print(f"{done} kills, {iteration} iterations, {lost} lost; checkpoint {'equal to' if same else 'NOT THAT OF'} a run "
          f"that was never killed; {len(left)} temporary files left by the killed")
    return 0 if lost == 0 and same and done > 0 else 1


def iteration_of(ebm, folder):
    found = subprocess.run([ebm, "info", "c.st"], cwd=folder, capture_output=True, text=True)
    for line in found.stdout.splitlines():
        if "iteration" in line:
            digits = [w for w in line.replace(",", " ").split() if w.isdigit()]
            if digits:
                return int(digits[0])
    return None


if __name__ == "__main__":
    sys.exit(main())
