"""Trains ebmkit's own two-moons setting and writes the network as safetensors, on the way and at the end.

    train_ebmkit.py DATA.npy OUT_PREFIX ITERATIONS THREADS SEED

Prints a JSON list of {"iterations", "seconds" of fit() so far, "model"}: after 1/16, 1/8, 1/4, 1/2 and all of the iterations.
ebmkit centres the moons; the shift goes into the first bias, so that a file is the same function of the data's own
coordinates.
"""
import json
import sys
import time

import ebm
import numpy
import torch
from safetensors.torch import save_file

CENTRE = torch.tensor([0.5, 0.25])
WARM = 5  # iterations before the clock starts; they count, at the rate of the others


def write(energy, path):
    tensors = {name: value.detach().clone().contiguous() for name, value in energy.net.state_dict().items()}
    tensors["0.bias"] -= tensors["0.weight"] @ CENTRE
    save_file(tensors, path)


def main():
    data, prefix, iterations, threads, seed = sys.argv[1:]
    iterations = int(iterations)
    torch.set_num_threads(int(threads))
    torch.manual_seed(int(seed))
    points = torch.from_numpy(numpy.load(data)) - CENTRE
    energy = ebm.nets.MLPEnergy(dim=2, hidden=(128, 128))
    sampler = ebm.LangevinDynamics(step_size=1e-2, steps=60)
    loss = ebm.ContrastiveDivergence(sampler, buffer=ebm.ReplayBuffer(8192, (2,)), energy_reg=0.1)
    trainer = ebm.Trainer(energy, loss, lr=1e-3, device="cpu")
    trainer.fit(points, steps=WARM, batch_size=256, verbose=False)
    done, seconds, snapshots = WARM, 0.0, []
    for stop in sorted({iterations // 16, iterations // 8, iterations // 4, iterations // 2, iterations}):
        if stop <= done:
            continue
        begin = time.perf_counter()
        trainer.fit(points, steps=stop - done, batch_size=256, verbose=False)
        seconds += time.perf_counter() - begin
        done = stop
        path = f"{prefix}-{done}.safetensors"
        write(energy, path)
        snapshots.append({"iterations": done, "seconds": seconds * done / (done - WARM), "model": path})
    print(json.dumps(snapshots))


if __name__ == "__main__":
    main()
