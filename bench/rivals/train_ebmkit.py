"""Trains ebmkit's own two-moons setting and writes the network as safetensors.

    train_ebmkit.py DATA.npy OUT.safetensors ITERATIONS THREADS

Prints the seconds of fit() as JSON. ebmkit centres the moons; the shift goes into the first bias, so that the file is the
same function of the data's own coordinates.
"""
import json
import sys
import time

import ebm
import numpy
import torch
from safetensors.torch import save_file

CENTRE = torch.tensor([0.5, 0.25])


def main():
    data, out, iterations, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    points = torch.from_numpy(numpy.load(data)) - CENTRE
    energy = ebm.nets.MLPEnergy(dim=2, hidden=(128, 128))
    sampler = ebm.LangevinDynamics(step_size=1e-2, steps=60)
    loss = ebm.ContrastiveDivergence(sampler, buffer=ebm.ReplayBuffer(8192, (2,)), energy_reg=0.1)
    trainer = ebm.Trainer(energy, loss, lr=1e-3, device="cpu")
    trainer.fit(points, steps=5, batch_size=256, verbose=False)  # warm
    begin = time.perf_counter()
    trainer.fit(points, steps=int(iterations) - 5, batch_size=256, verbose=False)
    seconds = (time.perf_counter() - begin) * int(iterations) / (int(iterations) - 5)
    tensors = {name: value.detach().clone().contiguous() for name, value in energy.net.state_dict().items()}
    tensors["0.bias"] -= tensors["0.weight"] @ CENTRE
    save_file(tensors, out)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
