"""Trains for a while and compares the end with the start: soak.py EBM [SECONDS].

Resident memory (from /proc, every second) must not grow by 1 % from the tenth of the run's samples on, nor the rate of
the log drift by 3 % between the medians of its second and last tenth. Prints a line of figures; exit status 1 when it
does.
"""
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def main():
    ebm = pathlib.Path(sys.argv[1]).resolve()
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3600
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([ebm, "data", "two_moons", "--n", "8192", "--out", "x.npy"], cwd=folder, check=True,
                       capture_output=True)
        process = subprocess.Popen([ebm, "train", "x.npy", "--out", "m.st", "--log", "l.jsonl", "--checkpoint", "c.st",
                                    "--checkpoint-every", "1000", "--steps", "100000000", "--quiet"], cwd=folder,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        memory, began = [], time.monotonic()
        while time.monotonic() - began < seconds and process.poll() is None:
            time.sleep(1)
            memory.append(resident_kib(process.pid))
        process.send_signal(signal.SIGTERM)
        process.wait()
        rows = [json.loads(line) for line in (pathlib.Path(folder) / "l.jsonl").read_text().splitlines()]
    tenth = max(1, len(memory) // 10)
    growth = statistics.median(memory[-tenth:]) / statistics.median(memory[tenth:2 * tenth]) - 1
    rates = [row["chain_steps_per_second"] for row in rows if "chain_steps_per_second" in row]
    part = max(1, len(rates) // 10)
    drift = statistics.median(rates[-part:]) / statistics.median(rates[part:2 * part]) - 1
    restarts = sum(row.get("restarts", 0) for row in rows)
    print(f"{seconds:.0f} s, {rows[-1]['iteration']} iterations: memory {growth:+.2%} (1 %), rate {drift:+.2%} (3 %; "
          f"the machine's own noise is in it), {restarts} restarts")
    return 0 if growth < 0.01 and abs(drift) < 0.03 and restarts == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
