#!/usr/bin/env python3
"""The same work as bench/regimes.cpp in PyTorch and JAX on a GPU: one JSON line per measurement.

    gpu.py WORKER [--seconds S] [--filter REGEX] [--toy] [--device cuda]

WORKER is a way to run it: `eager`, `graph` (CUDA graphs) or `compile` (torch.compile), each in fp32, TF32 and bf16, or `jax` (jit,
fp32, and bf16 where XLA likes). Cases: small batches, large ones and wide networks by Langevin and MALA steps; a training
iteration (persistent contrastive divergence, MALA, Adam); annealing. Times are of CUDA events (JAX: the host's clock around
a call that ends when its result is there), warm, the median of at least 20 calls or as many as 1.5 seconds hold. After
--seconds no further case is begun; what was not reached is said. A line is {"rival", "version", "case", "chains", "steps",
"chain_steps_per_second", "seconds" (median of one call), "samples"}, or {"rival", "case", "error"}.

Not a timing of the frameworks at their best by an expert, but what a user gets who writes the sampler as their tutorials
do and turns on what the manuals offer.
"""
import argparse
import json
import math
import re
import statistics
import sys
import time

import samplers

STEP = 0.01
PRECISIONS = ["fp32", "tf32", "bf16"]


def cases(toy):
    """(name as bench_regimes has it up to the precision, kind, sizes): the headline cases first."""
    plane, wide = (2, (128, 128)), (64, (128, 128))
    few, many, steps = (8, 40, 2) if toy else (256, 1_000_000, 20)
    found = [("small", "langevin", wide, few, steps), ("large", "langevin", wide, many, 2), ("training", "mala", plane, few, steps),
             ("training", "mala", wide, few, max(1, steps // 2)), ("small", "mala", wide, few, steps), ("large", "mala", wide, many, 2),
             ("annealed", "mala", wide, few if toy else 1000, 3 if toy else 1000), ("small", "langevin", plane, few, steps),
             ("large", "langevin", plane, many, 2), ("small", "mala", plane, few, steps), ("large", "mala", plane, many, 2)]
    shapes = [(784, (512, 512), 32768), (3072, (1024, 1024), 8192)]
    found += [("wide", "langevin", (dim, hidden), 8 if toy else n, 2 if toy else 4) for dim, hidden, n in (shapes[:1] if toy else shapes)]
    return [{"name": f"{group}/{kind}/{'-'.join(map(str, (dim, *hidden, 1)))}/silu", "group": group, "kind": kind, "dim": dim,
             "hidden": hidden, "chains": chains, "steps": n} for group, kind, (dim, hidden), chains, n in found]


# PyTorch


class Torch:
    """Chains and a training step, as functions on static tensors, so that they can be captured and compiled."""

    def __init__(self, case, precision, device):
        import torch
        self.torch, self.case, self.device = torch, case, device
        torch.manual_seed(0)
        torch.compiler.reset()  # else one function's many shapes fall back to eager after the eighth
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.net = samplers.torch_network(case["dim"], case["hidden"]).to(device)
        if case["group"] != "training":
            self.net = self.net.to(self.dtype)
        self.beta = torch.ones((), device=device)  # of annealed chains
        self.x = torch.randn(case["chains"], case["dim"], device=device)

    def energy(self, x):
        if self.case["group"] == "training" and self.dtype != self.torch.float32:
            with self.torch.autocast(self.device, self.dtype):
                e = self.net(x)
        else:
            e = self.net(x.to(self.dtype))
        e = e.squeeze(-1).float() + 0.05 * x.square().sum(-1)
        if self.case["group"] == "annealed":
            e = self.beta * e + (1 - self.beta) * 0.5 * x.square().sum(-1)
        return e

    def evaluate(self, x):
        torch = self.torch
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            e = self.energy(x)
            (g,) = torch.autograd.grad(e.sum(), x)
        return e.detach(), g

    def functional(self, x):
        """The same for torch.compile, which takes torch.func's derivatives whole."""
        def total(y):
            e = self.energy(y)
            return e.sum(), e
        g, e = self.torch.func.grad(total, has_aux=True)(x)
        return e, g

    def langevin(self, x, evaluate):
        _, g = evaluate(x)
        return x - STEP * g + math.sqrt(2 * STEP) * self.torch.randn_like(x)

    def mala(self, x, e, g, evaluate):
        torch = self.torch
        y = x - STEP * g + math.sqrt(2 * STEP) * torch.randn_like(x)
        e_y, g_y = evaluate(y)
        there, back = (y - x + STEP * g).square().sum(-1), (x - y + STEP * g_y).square().sum(-1)
        accept = torch.rand_like(e).log() < e - e_y + (there - back) / (4 * STEP)
        return (torch.where(accept[:, None], y, x), torch.where(accept, e_y, e), torch.where(accept[:, None], g_y, g))

    def step_function(self, compiled):
        """state -> state of one step."""
        evaluate = self.functional if compiled else self.evaluate
        if self.case["kind"] == "langevin":
            def step(state):
                return (self.langevin(state[0], evaluate),)
        else:
            def step(state):
                return self.mala(*state, evaluate)
        return self.torch.compile(step, dynamic=False) if compiled else step

    def start(self, x):
        return (x,) if self.case["kind"] == "langevin" else (x, *self.evaluate(x))

    def captured(self, run):
        """`run` as a CUDA graph, warmed up beside it first, as PyTorch's manual has it."""
        torch = self.torch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return graph.replay

    def sampling(self, way):
        step, steps = self.step_function(way == "compile"), self.case["steps"]
        state = tuple(t.clone() for t in self.start(self.x))

        def run():
            now = state
            for _ in range(steps):
                now = step(now)
            for old, new in zip(state, now):
                old.copy_(new)
        return self.captured(run) if way == "graph" else run

    def annealing(self, way):
        """Every rung at its own beta; the energies of the new density need one evaluation more."""
        torch, rungs = self.torch, self.case["steps"]
        step, x = self.step_function(way == "compile"), self.x

        def rung():
            x.copy_(step(self.start(x))[0])
        once = self.captured(rung) if way == "graph" else rung
        betas = torch.linspace(1 / rungs, 1, rungs, device=self.device)

        def run():
            for k in range(rungs):
                self.beta.copy_(betas[k])
                once()
        return run

    def training(self, way):
        torch, case = self.torch, self.case
        data = torch.randn(8192, case["dim"], device=self.device)
        buffer = torch.randn(10000, case["dim"], device=self.device)
        self.net.requires_grad_(True)
        # An optimiser that is captured keeps its step number on the device.
        adam = torch.optim.Adam(self.net.parameters(), lr=1e-4, capturable=way == "graph" and self.device == "cuda")
        step = self.step_function(way == "compile")

        def run():
            slots = torch.randint(len(buffer), (case["chains"],), device=self.device)
            state = self.start(buffer[slots])
            for _ in range(case["steps"]):
                state = step(state)
            x = state[0].detach()
            buffer[slots] = x
            rows = data[torch.randint(len(data), (case["chains"],), device=self.device)]
            loss = self.energy(rows).mean() - self.energy(x).mean()
            adam.zero_grad(set_to_none=way != "graph")
            loss.backward()
            adam.step()
        return self.captured(run) if way == "graph" else run

    def build(self, way):
        run = {"training": self.training, "annealed": self.annealing}.get(self.case["group"], self.sampling)(way)
        return run, self.clock

    def clock(self, run):
        if self.device == "cpu":
            begin = time.perf_counter()
            run()
            return time.perf_counter() - begin
        torch = self.torch
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        return 1e-3 * begin.elapsed_time(end)


# JAX


class Jax:
    def __init__(self, case, precision):
        import jax
        from jax import numpy as jnp
        self.jax, self.jnp, self.case = jax, jnp, case
        jax.config.update("jax_default_matmul_precision", {"fp32": "highest", "tf32": "tensorfloat32", "bf16": "bfloat16"}[precision])
        sizes = [case["dim"], *case["hidden"], 1]
        keys = jax.random.split(jax.random.key(0), len(sizes))
        self.net = [(jax.random.uniform(k, (a, b), minval=-1, maxval=1) / math.sqrt(a), jnp.zeros(b))
                    for k, a, b in zip(keys, sizes, sizes[1:])]
        self.key = jax.random.key(1)
        self.x = jax.random.normal(keys[-1], (case["chains"], case["dim"]))

    def energy(self, x):
        a = x
        for w, b in self.net[:-1]:
            a = self.jax.nn.silu(a @ w + b)
        return (a @ self.net[-1][0] + self.net[-1][1])[:, 0] + 0.05 * (x * x).sum(-1)

    def evaluate(self, x):
        e, pull = self.jax.vjp(self.energy, x)
        return e, pull(self.jnp.ones_like(e))[0]

    def step(self, _, carry):
        random, jnp = self.jax.random, self.jnp
        key, noise, accept = random.split(carry[-1], 3)
        if self.case["kind"] == "langevin":
            x = carry[0]
            return x - STEP * self.evaluate(x)[1] + math.sqrt(2 * STEP) * random.normal(noise, x.shape), key
        x, e, g, _ = carry
        y = x - STEP * g + math.sqrt(2 * STEP) * random.normal(noise, x.shape)
        e_y, g_y = self.evaluate(y)
        there, back = ((y - x + STEP * g) ** 2).sum(-1), ((x - y + STEP * g_y) ** 2).sum(-1)
        yes = jnp.log(random.uniform(accept, e.shape)) < e - e_y + (there - back) / (4 * STEP)
        return jnp.where(yes[:, None], y, x), jnp.where(yes, e_y, e), jnp.where(yes[:, None], g_y, g), key

    def build(self):
        jax, steps = self.jax, self.case["steps"]
        loop = jax.jit(lambda carry: jax.lax.fori_loop(0, steps, self.step, carry))
        state = [(self.x, self.key) if self.case["kind"] == "langevin" else (self.x, *self.evaluate(self.x), self.key)]

        def run():
            state[0] = jax.block_until_ready(loop(state[0]))

        def clock(run):
            begin = time.perf_counter()
            run()
            return time.perf_counter() - begin
        return run, clock


def measure(run, clock, toy):
    for _ in range(1 if toy else 3):
        clock(run)
    samples, begin = [], time.perf_counter()
    while len(samples) < (2 if toy else 20) and (len(samples) < 3 or time.perf_counter() - begin < 1.5):
        samples.append(clock(run))
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worker", choices=["eager", "graph", "compile", "jax"])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--filter", default="", help="of a case's name")
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    arguments = parser.parse_args()
    began = time.monotonic()

    def say(**line):
        print(json.dumps(line), flush=True)

    try:
        if arguments.worker == "jax":
            import jax
            version, here = f"JAX {jax.__version__}", jax.default_backend()
            usable = here == ("gpu" if arguments.device == "cuda" else "cpu")
        else:
            import torch
            version, here = f"PyTorch {torch.__version__}", "cuda" if torch.cuda.is_available() else "cpu"
            usable = arguments.device == "cpu" or here == "cuda"
    except ImportError as error:
        say(rival=arguments.worker, error=f"not installed: {error}")
        return
    if not usable:
        say(rival=arguments.worker, error=f"{version} has no {arguments.device} device (it has {here})")
        return
    # Each precision of the first cases before the last cases of any.
    for case in cases(arguments.toy):
        for precision in PRECISIONS:
            rival, name = f"{arguments.worker} {precision}", case["name"]
            if not re.search(arguments.filter, name) or arguments.worker == "jax" and case["group"] in ("training", "annealed"):
                continue
            if time.monotonic() - began > arguments.seconds:
                say(rival=rival, case=name, error="not reached in time")
                continue
            try:
                if arguments.worker == "jax":
                    run, clock = Jax(case, precision).build()
                else:
                    run, clock = Torch(case, precision, arguments.device).build(arguments.worker)
                samples = measure(run, clock, arguments.toy)
            except Exception as error:  # one case that a framework cannot do must not end the others
                say(rival=rival, case=name, error=f"{type(error).__name__}: {str(error)[:300]}")
                continue
            say(rival=rival, version=version, case=name, chains=case["chains"], steps=case["steps"],
                chain_steps_per_second=case["chains"] * case["steps"] / statistics.median(samples),
                seconds=statistics.median(samples), samples=len(samples))


if __name__ == "__main__":
    sys.exit(main())
