#!/usr/bin/env python3
"""Prints the tables of docs/performance.md from what the compiler and a simulated device say.

  scripts/kernel_table.py registers             nvcc for each architecture and shape: registers, spills, warps per SM
                                                (60 compilations, several minutes)
  scripts/kernel_table.py steps GPU_CHAINS RUN  instructions per chain-step, with RUN (the simulator's launcher) profiling
                                                the benchmark program GPU_CHAINS

Nothing here is measured on a GPU. Counts per chain-step are the difference of two runs that differ in steps only, so that
the start and the end of a launch drop out; they are of PTX, which ptxas turns into somewhat different machine code.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
ARCHITECTURES = [80, 89, 90, 100, 120]
SHARED = {80: 163, 89: 99, 90: 227, 100: 227, 120: 99}  # KiB per block, opt-in
SHAPES = [(16, 128, 2), (64, 128, 2), (64, 128, 3)]
KINDS = {"langevin fp16": (1, 1, "false"), "mala fp16": (3, 1, "true"), "langevin fp16x3": (3, 3, "false"),
         "mala fp16x3": (3, 3, "true")}


def registers():
    print("| instance | sm | registers | spill stores, B | shared, KB for one warp | warps per SM |")
    print("|---|---|---|---|---|---|")
    for dim, width, layers in SHAPES:
        for kind, (forward, backward, mala) in KINDS.items():
            for arch in ARCHITECTURES:
                config = f"ebm::MmaConfig<{dim}, {width}, {layers}, {forward}, {backward}, {mala}>"
                text = ('#include "kernels/mma_chains.cuh"\n'
                        f"template __global__ void ebm::mma_chains_kernel<{config}>(ebm::MmaArguments);\n")
                with tempfile.TemporaryDirectory() as folder:
                    source = pathlib.Path(folder) / "instance.cu"
                    source.write_text(text)
                    log = subprocess.run(
                        ["nvcc", "-std=c++20", "-O3", f"-I{ROOT}", f"-arch=sm_{arch}", "-cubin", "-Xptxas", "-v", "-o",
                         str(pathlib.Path(folder) / "instance.cubin"), str(source)],
                        check=True, capture_output=True, text=True).stderr
                used = int(re.search(r"Used (\d+) registers", log).group(1))
                spill = int(re.search(r"(\d+) bytes spill stores", log).group(1))
                hidden = 2 * width * (dim + 8) + 2 * (layers - 1) * width * (width + 8)
                fixed = hidden * (1 if kind == "langevin fp16" else 2) + (layers + 1) * width * 4 + 16
                warp = 128 * ((layers - 1) * width // 2 * (backward == 3) + dim * (mala == "true"))
                most = 12 if kind == "langevin fp16" else 8
                fits = most if warp == 0 else min(most, (SHARED[arch] * 1024 - fixed) // warp)
                if fixed + warp > SHARED[arch] * 1024:
                    fits = 0
                print(f"| {dim}; {'x'.join([str(width)] * layers)} {kind} | {arch} | {used} | {spill} | "
                      f"{(fixed + warp) / 1000:.1f} | {fits or 'does not fit: fp32 kernel'} |", flush=True)


def profile(program, runner, arguments):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "profile.json"
        subprocess.run([runner, "run", "--profile", str(file), program, *arguments], check=True, capture_output=True)
        kernels = json.loads(file.read_text())
    kernels = kernels["kernels"] if isinstance(kernels, dict) else kernels
    return next(k for k in kernels if "chains_kernel" in k["kernel"])


def steps(program, runner):
    names = ["warp_instructions", "mma_instructions", "mufu_warp", "fp32_warp", "half_warp", "int_warp", "convert_warp",
             "shared_load_warp", "shared_store_warp", "control_warp"]
    print("| shape, kind | " + " | ".join(n.removesuffix("_warp") for n in names)
          + " | shared wavefronts / ideal | global bytes | local bytes |")
    print("|---|" + "---|" * (len(names) + 3))
    for dim, width, layers in SHAPES:
        for kind in ("langevin fp32", *KINDS):
            sampler, precision = kind.split()
            counts = []
            for n in (2, 4):
                counts.append(profile(program, runner, [
                    "--dim", str(dim), "--hidden", ",".join([str(width)] * layers), "--sampler", sampler, "--precision",
                    precision, "--chains", "32", "--steps", str(n), "--repeats", "1"]))
            chain_steps = 32 * 2
            values = [(counts[1][n] - counts[0][n]) / chain_steps for n in names]
            waves = counts[1]["shared_wavefronts"] / max(1, counts[1]["shared_ideal_wavefronts"])
            moved = [counts[1][n] - counts[0][n] for n in ("global_load_bytes", "global_store_bytes", "local_bytes")]
            print(f"| {dim}; {'x'.join([str(width)] * layers)} {kind} | " + " | ".join(f"{v:.1f}" for v in values)
                  + f" | {waves:.2f} | {(moved[0] + moved[1]) / chain_steps:.1f} | {moved[2] / chain_steps:.1f} |",
                  flush=True)


if sys.argv[1:] == ["registers"]:
    registers()
elif len(sys.argv) == 4 and sys.argv[1] == "steps":
    steps(sys.argv[2], sys.argv[3])
else:
    sys.exit(__doc__)
