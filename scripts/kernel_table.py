#!/usr/bin/env python3
"""Prints the tables of docs/performance.md from what the compiler and a simulated device say.

  scripts/kernel_table.py registers             nvcc for each architecture and shape: registers, spills, warps, machine
                                                instructions per chain-step
  scripts/kernel_table.py variants              the same for every kind of kernel at sm_90
  scripts/kernel_table.py steps REGIMES RUN     memory traffic per chain-step, with RUN (the simulator's launcher) profiling
                                                the benchmark program REGIMES (build/bench/bench_regimes)
  scripts/kernel_table.py fp32                  registers, spills and instructions of the fp32 kernels' step loops
  scripts/kernel_table.py check                 exits 1 unless the headline kernels keep their budgets

Nothing here is measured on a GPU. Machine instructions are those of the step loop, which does nothing but steps, counted in
the cubin. Traffic per chain-step is the difference of two runs that differ in steps only, so that the start and the end of
a launch drop out.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import sass

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROWS = 16  # chains per warp
ARCHITECTURES = [80, 89, 90, 100, 120]
SHARED = {80: 163, 89: 99, 90: 227, 100: 227, 120: 99}  # KiB per block, opt-in
SHAPES = [(2, [128, 128]), (64, [128, 128]), (64, [128, 128, 128]), (64, [256, 256])]
# split, kind, limited of mma_variant()
VARIANTS = {"langevin fp16": (0, "langevin", 0), "langevin fp16, clipped or clamped": (0, "langevin", 1),
            "mala fp16": (0, "mala", 0), "langevin fp16x3": (1, "langevin", 0), "mala fp16x3": (1, "mala", 0)}
SOURCE = """#include <cstdio>
#include "kernels/chains/mma_chains.cuh"
struct Instance {{
  static constexpr ebm::MmaShape kShape{{{dim}, {exact}, {layers}, {{{widths}}}, ebm::ActivationKind::silu}};
  static constexpr ebm::MmaVariant kVariant = ebm::mma_variant({split}, ebm::SamplerKind::{kind}, {limited});
}};
template __global__ void ebm::mma_chains_kernel<Instance>(const __grid_constant__ ebm::MmaArguments);
int main() {{
  constexpr auto s = Instance::kShape;
  constexpr auto v = Instance::kVariant;
  std::printf("%d %d %d\\n", ebm::mma_shared_bytes(s, v, 0), ebm::mma_shared_bytes(s, v, 1) - ebm::mma_shared_bytes(s, v, 0),
              ebm::MmaState::of(s, v).most_warps);
}}
"""


# Of the fp32 kernels: tile and kernel. A step of Langevin dynamics has so many barriers, and every other loop fewer.
FP32 = {"2, compiled for 128-128": "chain_pairs_kernel<ebm::SamplerKind::langevin, 128, ebm::ActivationKind::silu>",
        "2": "chains_kernel<ebm::SamplerKind::langevin, 2, true, true>",
        "8": "chains_kernel<ebm::SamplerKind::langevin, 8, true, true>",
        "32": "chains_kernel<ebm::SamplerKind::langevin, 32, true, true>"}
STEP_BARRIERS = 5
FP32_SOURCE = """#include "kernels/chains/pairs_kernel.cuh"
template __global__ void ebm::{kernel}(const __grid_constant__ ebm::ChainArguments);
"""


def source_of(shape, variant):
    dim, widths = shape
    return SOURCE.format(dim=(dim + 15) // 16 * 16, exact=int(dim % 16 == 0), layers=len(widths),
                         widths=", ".join(map(str, widths)), split=variant[0], kind=variant[1], limited=variant[2])


def nvcc(folder, *options):
    return subprocess.run(["nvcc", "-std=c++20", "-O3", "-fmad=false", f"-I{ROOT}", f"-I{ROOT}/include", *options,
                           str(folder / "instance.cu")], check=True, capture_output=True, text=True).stderr


def layout(shape, variant):
    """Bytes of shared memory per block and per warp, and warps that have registers enough: the library's own formulas."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "instance.cu").write_text(source_of(shape, variant).replace("template __global__", "// "))
        nvcc(folder, "-arch=sm_90", "-o", str(folder / "layout"))
        return [int(n) for n in subprocess.run([str(folder / "layout")], check=True, capture_output=True,
                                               text=True).stdout.split()]


def compiled_source(source, arch, step_loop, unit=1):
    """`unit`: what the step loop's instructions are divided by."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "instance.cu").write_text(source)
        log = nvcc(folder, f"-arch=sm_{arch}", "-cubin", "-Xptxas", "-v", "-o", str(folder / "instance.cubin"))
        loop = step_loop((folder / "instance.cubin").read_bytes())
    spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)
    return {"registers": int(re.search(r"Used (\d+) registers", log).group(1)),
            "spills": int(spills.group(1)) + int(spills.group(2)), "loop": sum(loop.values()) / unit,
            "groups": {name: n / unit for name, n in sass.grouped(loop).items()}}


def compiled(shape, variant, arch):
    return compiled_source(source_of(shape, variant), arch, sass.step_loop, ROWS)


def compiled_fp32(kernel, arch):
    return compiled_source(FP32_SOURCE.format(kernel=kernel), arch,
                           lambda cubin: sass.loop_with(cubin, "BAR", STEP_BARRIERS))


def name_of(shape):
    return f"{shape[0]}; {', '.join(map(str, shape[1]))}"


def print_rows(rows):
    """rows: (first cells, shape, variant, arch)."""
    groups = [*sass.GROUPS, "other"]
    print("| spills, B | shared, KB | warps | instructions | " + " | ".join(groups) + " |")
    print("|---|---|---" + "|---" * (4 + len(groups)) + "|")
    layouts = {}
    for first, shape, variant, arch in rows:
        key = (str(shape), variant)
        if key not in layouts:
            layouts[key] = layout(shape, variant)
        fixed, per_warp, most = layouts[key]
        room = SHARED[arch] * 1024 - fixed
        warps = max(0, min(most, room // per_warp if per_warp else most if room >= 0 else 0))
        found = compiled(shape, variant, arch)
        shared = (fixed + max(warps, 1) * per_warp) / 1000
        print(f"| {first} | {found['registers']} | {found['spills']} | {shared:.1f} | {warps or 'does not fit'} | "
              f"{found['loop']:.0f} | " + " | ".join(f"{found['groups'][g]:.1f}" for g in groups) + " |", flush=True)


def registers():
    print("| dimensions; widths | sm | registers ", end="")
    print_rows([(f"{name_of(shape)} | {arch}", shape, VARIANTS["langevin fp16"], arch)
                for shape in SHAPES for arch in ARCHITECTURES])


def variants():
    print("| dimensions; widths | chains | registers ", end="")
    print_rows([(f"{name_of(shape)} | {kind}", shape, variant, 90)
                for shape in SHAPES[:3] for kind, variant in VARIANTS.items()])


def fp32():
    print("| chains a block | sm | registers | spills, B | instructions of the step loop |\n|---|---|---|---|---|")
    for tile, kernel in FP32.items():
        for arch in (80, 89, 90):
            found = compiled_fp32(kernel, arch)
            print(f"| {tile} | {arch} | {found['registers']} | {found['spills']} | {found['loop']} |", flush=True)


def profile(program, runner, arguments):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "profile.json"
        subprocess.run([runner, "run", "--profile", str(file), program, *arguments], check=True, capture_output=True)
        kernels = json.loads(file.read_text())
    kernels = kernels["kernels"] if isinstance(kernels, dict) else kernels
    names = ("chains", "chain_pairs")
    return next(k for k in kernels if any(n in k["kernel"] for n in names) and "fill" not in k["kernel"])


def steps(program, runner):
    kinds = ["langevin fp32", "mala fp32", "langevin fp16", "mala fp16", "langevin fp16x3", "mala fp16x3"]
    print("| dimensions; widths | chains | shared wavefronts | over the ideal | global bytes | local bytes |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES[:3]:
        for kind in kinds:
            sampler, precision = kind.split()
            network = "-".join(map(str, (shape[0], *shape[1], 1)))
            counts = [profile(program, runner, ["--device=cuda", "--only-once",
                                                f"--case=profile/{sampler}/{network}/silu/{precision}/chains:32/steps:{n}"])
                      for n in (2, 4)]
            per_step = {n: (counts[1][n] - counts[0][n]) / (32 * 2)
                        for n in ("shared_wavefronts", "shared_ideal_wavefronts", "global_load_bytes", "global_store_bytes",
                                  "local_bytes")}
            print(f"| {name_of(shape)} | {kind} | {per_step['shared_wavefronts']:.1f} | "
                  f"{per_step['shared_wavefronts'] / per_step['shared_ideal_wavefronts']:.2f} | "
                  f"{per_step['global_load_bytes'] + per_step['global_store_bytes']:.1f} | {per_step['local_bytes']:.1f} |",
                  flush=True)


def check():
    """The budgets at sm_90: of (64; 128, 128), fp16, SiLU, and of the fp32 kernels for few chains and for many."""
    found = compiled(SHAPES[1], VARIANTS["langevin fp16"], 90)
    local, in_all = found["groups"]["local"], found["loop"]
    limits = [("registers", found["registers"], 168), ("instructions per chain-step", in_all, 150),
              ("local memory, share of instructions", local / in_all, 0.02),
              ("global memory instructions per chain-step", found["groups"]["global"], 0),
              ("products per chain-step beyond 384 / 16", found["groups"]["MMA"] - 24, 0)]
    few = compiled_fp32(FP32["2, compiled for 128-128"], 90)
    many = compiled_fp32(FP32["32"], 90)
    limits += [("2 chains a block: registers", few["registers"], 255), ("bytes of spills", few["spills"], 0),
               ("instructions of the step loop", few["loop"], 2100), ("32 chains a block: bytes of spills", many["spills"], 0)]
    for name, value, limit in limits:
        print(f"{name}: {value:.4g}, at most {limit}{'' if value <= limit else '  EXCEEDED'}")
    sys.exit(any(value > limit for _, value, limit in limits))


COMMANDS = {"registers": registers, "variants": variants, "fp32": fp32, "check": check}
if len(sys.argv) == 2 and sys.argv[1] in COMMANDS:
    COMMANDS[sys.argv[1]]()
elif len(sys.argv) == 4 and sys.argv[1] == "steps":
    steps(sys.argv[2], sys.argv[3])
else:
    sys.exit(__doc__)
