#!/usr/bin/env python3
"""Langevin chains on a GPU: this library's precisions, a plain PyTorch loop and torch.compile, on the same work.

    python3 bench/rivals/gpu.py BUILD_DIR [--chains 131072] [--steps 500] [--repeats 5]

Prints a table: chain-steps per second, TFLOP/s, and times as long as the fastest. PyTorch is measured when it is installed
with CUDA; torch.compile compiles a whole step with its noise. Each is warm; the best of `repeats` counts.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import time

import samplers

SHAPES = [(2, [64, 64]), (2, [128, 128]), (64, [128, 128]), (64, [128, 128, 128]), (64, [256, 256])]


def ours(build, shape, precision, arguments):
    answer = json.loads(subprocess.run(
        [build / "bench" / "gpu_chains", "--dim", str(shape[0]), "--hidden", ",".join(map(str, shape[1])), "--precision",
         precision, "--chains", str(arguments.chains), "--steps", str(arguments.steps), "--repeats",
         str(arguments.repeats + 1)], check=True, stdout=subprocess.PIPE, text=True).stdout)
    return answer["chain_steps_per_second"], answer["path"]


def torch_loop(make, shape, arguments):
    import torch
    torch.set_default_device("cuda")
    # A tenth of the steps: an eager loop's time is proportional to them, and it is slow.
    steps = max(1, arguments.steps // 10)
    x, run = make(*shape, arguments.chains, steps)
    run(x)
    best = float("inf")
    for _ in range(arguments.repeats):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        run(x)
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return arguments.chains * steps / best, f"PyTorch {torch.__version__}, fp32, TF32 off"


def rivals():
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: this library alone.", file=sys.stderr)
        return {}
    if not torch.cuda.is_available():
        print("This PyTorch has no CUDA device: this library alone.", file=sys.stderr)
        return {}
    return {"PyTorch eager": samplers.torch_eager, "torch.compile": samplers.torch_compiled}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--chains", type=int, default=131072)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print("| network | sampler | chain-steps/s | TFLOP/s | times as long as the fastest | how |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        found = {f"ebmcuda {p}": ours(arguments.build, shape, p, arguments) for p in ("fp32", "fp16", "fp16x3")}
        for name, make in rivals().items():
            found[name] = torch_loop(make, shape, arguments)
        sizes = [shape[0], *shape[1]]
        flop = 4 * sum(a * b for a, b in zip(sizes, sizes[1:]))
        fastest = max(rate for rate, _ in found.values())
        for name, (rate, how) in found.items():
            print(f"| {'-'.join(map(str, sizes))}-1 | {name} | {rate:.3g} | {rate * flop * 1e-12:.3g} | "
                  f"{fastest / rate:.1f} | {how} |", flush=True)


if __name__ == "__main__":
    main()
