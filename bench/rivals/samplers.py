"""The rivals' samplers, each in a process of its own: Langevin chains on an MLP energy, x <- x - h grad E + sqrt(2 h) n.

    samplers.py RIVAL THREADS    reads one JSON case a line, answers with one JSON line

A case is {"dim", "hidden", "chains", "steps", "min_seconds"}. The first call of a case builds and warms it (for
compilers: compiles it); then calls are repeated for at least min_seconds and the mean time of one is the answer.
"""
import json
import math
import os
import sys
import time

STEP = 0.01
NOISE = math.sqrt(2 * STEP)


def torch_network(dim, hidden):
    import torch
    layers, width = [], dim
    for h in hidden:
        layers += [torch.nn.Linear(width, h), torch.nn.SiLU()]
        width = h
    return torch.nn.Sequential(*layers, torch.nn.Linear(width, 1)).requires_grad_(False)


def torch_eager(dim, hidden, chains, steps):
    import torch
    net = torch_network(dim, hidden)

    def run(x):
        for _ in range(steps):
            x = x.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(net(x).sum(), x)
            x = x.detach() - STEP * gradient + NOISE * torch.randn_like(x)
        return x
    return torch.randn(chains, dim), run


def torch_compiled(dim, hidden, chains, steps):
    """One step is compiled whole: energy, gradient, noise and update."""
    import torch
    net = torch_network(dim, hidden)

    @torch.compile(dynamic=False)
    def step(x):
        gradient = torch.func.grad(lambda y: net(y).sum())(x)
        return x - STEP * gradient + NOISE * torch.randn_like(x)

    def run(x):
        for _ in range(steps):
            x = step(x)
        return x
    return torch.randn(chains, dim), run


def jax_jit(dim, hidden, chains, steps, generator="threefry2x32"):
    """All steps are one compiled loop."""
    import jax
    from jax import numpy as jnp
    sizes = [dim, *hidden, 1]
    keys = jax.random.split(jax.random.key(0), len(sizes))
    net = [(jax.random.uniform(k, (a, b), minval=-1, maxval=1) / math.sqrt(a), jnp.zeros(b))
           for k, a, b in zip(keys, sizes, sizes[1:])]

    def energy(x):
        for w, b in net[:-1]:
            x = jax.nn.silu(x @ w + b)
        return jnp.sum(x @ net[-1][0] + net[-1][1])

    def step(_, carry):
        x, key = carry
        key, now = jax.random.split(key)
        return x - STEP * jax.grad(energy)(x) + NOISE * jax.random.normal(now, x.shape), key

    loop = jax.jit(lambda carry: jax.lax.fori_loop(0, steps, step, carry))
    start = jax.random.normal(keys[-1], (chains, dim)), jax.random.key(1, impl=generator)
    return start, lambda carry: jax.block_until_ready(loop(carry))


def jax_jit_fast_noise(dim, hidden, chains, steps):
    """As above with XLA's own generator, which JAX offers where speed matters more than reproducible splits."""
    return jax_jit(dim, hidden, chains, steps, generator="unsafe_rbg")


def ebmkit(dim, hidden, chains, steps):
    import ebm
    import torch
    energy = ebm.nets.MLPEnergy(dim=dim, hidden=tuple(hidden))
    sampler = ebm.LangevinDynamics(step_size=STEP, steps=steps)
    return torch.randn(chains, dim), lambda x: sampler.sample(energy, x)


def torchebm(dim, hidden, chains, steps):
    import torch
    from torchebm.core import BaseModel
    from torchebm.samplers import LangevinDynamics

    class Energy(BaseModel):
        def __init__(self):
            super().__init__()
            self.net = torch_network(dim, hidden)

        def forward(self, x):
            return self.net(x).squeeze(-1)

    sampler = LangevinDynamics(Energy(), step_size=STEP, noise_scale=1.0)  # times sqrt(2 h) inside
    return torch.randn(chains, dim), lambda x: sampler.sample(x=x, n_steps=steps)


RIVALS = {"PyTorch eager": torch_eager, "torch.compile": torch_compiled, "JAX jit": jax_jit,
          "JAX jit, rbg noise": jax_jit_fast_noise, "ebmkit": ebmkit, "torchebm": torchebm}


def all_finite(state):
    import numpy
    x = state[0] if isinstance(state, tuple) else state
    return bool(numpy.isfinite(numpy.asarray(x)).all())


def main():
    rival, threads = sys.argv[1], int(sys.argv[2])
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if not rival.startswith("JAX"):
        import torch
        torch.set_num_threads(threads)
        torch.manual_seed(0)
    known = {}
    for line in sys.stdin:
        case = json.loads(line)
        min_seconds = case.pop("min_seconds")
        key = json.dumps(case)
        if key not in known:
            state, run = RIVALS[rival](**case)
            known[key] = [run(state), run]
        state, run = known[key]
        calls, begin = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - begin < min_seconds:
            state = run(state)
            calls += 1
        seconds = (time.perf_counter() - begin) / calls
        if not all_finite(state):
            sys.exit(f"{rival}: chains left the finite numbers")
        known[key][0] = state
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
