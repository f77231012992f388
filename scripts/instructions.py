"""Instructions per chain-step of the CPU engine's Langevin chains, by kind, as valgrind counts them.

Two runs of `ebm sample` that differ in nothing but the number of steps; their difference, address by address, is what the
steps cost and nothing else. The kinds come from the program's disassembly. Counts do not depend on the machine's load.
"""
import collections
import json
import re
import shutil
import subprocess
import sys

CHAINS, FEW, MANY = 64, 20, 60
NETWORKS = {"2-128-128-1": (2, "128,128"), "64-128-128-1": (64, "128,128"), "64-256-256-1": (64, "256,256")}
KINDS = [("multiply-add", r"vfn?m(add|sub)"), ("load, store, broadcast", r"v(mov|broadcast|insert|extract)"),
         ("integer vector", r"vp|vmpsadbw"), ("other vector arithmetic", r"v")]
SCALAR = "scalar"


def executed(command, path):
    """How often each address of the program was executed."""
    subprocess.run([str(c) for c in ["valgrind", "--tool=callgrind", "--dump-instr=yes", "--compress-pos=no", "--compress-strings=no",
                                     f"--callgrind-out-file={path}", *command]], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    counts, ours, inclusive = collections.Counter(), False, False
    for line in path.read_text().splitlines():
        if line.startswith("ob="):
            ours = line.endswith(str(command[0]))
        elif line.startswith("calls="):
            inclusive = True  # the next line is the callee's cost
        elif line.startswith("0x"):
            address, _, count = line.split()
            if ours and not inclusive:
                counts[int(address, 16)] += int(count)
            inclusive = False
    return counts


def mnemonics(program):
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(program)], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = re.findall(r"^\s*([0-9a-f]+):\t(\S+)", text, re.M)
    return {int(address, 16): name for address, name in found}


def kind(mnemonic):
    return next((name for name, pattern in KINDS if re.match(pattern, mnemonic)), SCALAR)


def count(build, folder):
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: no instruction counts", file=sys.stderr)
        return
    ebm = build / "tools" / "ebm"
    names, found = mnemonics(ebm), {}
    for network, (dim, hidden) in NETWORKS.items():
        points, model = folder / "points.csv", folder / "network.safetensors"
        points.write_text("\n".join(",".join(str((3 * i + 5 * d) % 7 - 3) for d in range(dim)) for i in range(256)) + "\n")
        subprocess.run([str(c) for c in [ebm, "train", points, "--out", model, "--hidden", hidden, "--steps", "1", "--threads", "1",
                                         "-q"]], check=True)
        few, many = (executed([ebm, "sample", model, "--out", folder / "counted.npy", "--sampler", "langevin", "--threads", "1", "-q",
                               "--chains", CHAINS, "--langevin-steps", steps], folder / "callgrind.out") for steps in (FEW, MANY))
        kinds = collections.Counter()
        for address, times in many.items():
            kinds[kind(names[address])] += (times - few[address]) / (CHAINS * (MANY - FEW))
        found[network] = dict(kinds)
    (folder / "instructions.json").write_text(json.dumps(found, indent=1))
