"""Trains ebmkit's own two-moons setting and writes the network as safetensors, on the way and at the end.

    train_ebmkit.py DATA.npy OUT_PREFIX ITERATIONS THREADS SEED STOP

Prints a JSON list of {"iterations", "seconds" of fit() so far, "cpu_seconds" of all its threads, "model"}: after 1/16, 1/8, 1/4, 1/2 and all of the iterations.
Stops after STOP iterations and leaves everything in OUT_PREFIX-SEED.pickle, from where the next call goes on. ebmkit
centres the moons; the shift goes into the first bias, so that a file is the same function of the data's own coordinates.
"""
import json
import pathlib
import pickle
import sys
import time

import ebm
import numpy
import torch
from safetensors.torch import save_file

CENTRE = torch.tensor([0.5, 0.25])
WARM = 5  # iterations of each call before the clock starts; they count, at the rate of the others


def write(energy, path):
    tensors = {name: value.detach().clone().contiguous() for name, value in energy.net.state_dict().items()}
    tensors["0.bias"] -= tensors["0.weight"] @ CENTRE
    save_file(tensors, path)


def new_trainer():
    energy = ebm.nets.MLPEnergy(dim=2, hidden=(128, 128))
    sampler = ebm.LangevinDynamics(step_size=1e-2, steps=60)
    loss = ebm.ContrastiveDivergence(sampler, buffer=ebm.ReplayBuffer(8192, (2,)), energy_reg=0.1)
    return ebm.Trainer(energy, loss, lr=1e-3, device="cpu")


def main():
    data, prefix, iterations, threads, seed, stop = sys.argv[1:]
    iterations, stop = int(iterations), int(stop)
    torch.set_num_threads(int(threads))
    torch.manual_seed(int(seed))
    points = torch.from_numpy(numpy.load(data)) - CENTRE
    trainer, done, seconds, cpu_seconds, snapshots = new_trainer(), 0, 0.0, 0.0, []
    left = pathlib.Path(f"{prefix}-{seed}.pickle")
    if left.exists():
        trainer, done, seconds, cpu_seconds, snapshots, state = pickle.loads(left.read_bytes())
        torch.set_rng_state(state)
    for mark in sorted({iterations // 16, iterations // 8, iterations // 4, iterations // 2, iterations}):
        if mark <= done or mark > stop:
            continue
        trainer.fit(points, steps=WARM, batch_size=256, verbose=False)
        begin, cpu_begin = time.perf_counter(), time.process_time()
        trainer.fit(points, steps=mark - done - WARM, batch_size=256, verbose=False)
        share = (mark - done) / (mark - done - WARM)
        seconds += (time.perf_counter() - begin) * share
        cpu_seconds += (time.process_time() - cpu_begin) * share
        done = mark
        path = f"{prefix}-{seed}-{done}.safetensors"
        write(trainer.energy, path)
        snapshots.append({"iterations": done, "seconds": seconds, "cpu_seconds": cpu_seconds, "model": path})
    if done < iterations:
        left.write_bytes(pickle.dumps((trainer, done, seconds, cpu_seconds, snapshots, torch.get_rng_state())))
    else:
        left.unlink(missing_ok=True)
    print(json.dumps(snapshots))


if __name__ == "__main__":
    main()
