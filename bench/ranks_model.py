"""What a second GPU is predicted to bring in training: derived, not measured. Prints the tables of docs/ranks.md.

ranks_model.py [STEPS]: iterations of so many steps (20) of fp32 Langevin chains. An iteration takes

    on one GPU    K max(tau, B / r)
    on n          K max(tau, B / (n r)) + latency + (n - 1) S / bandwidth,  S bytes from each rank to each other

with tau the least time of a step and r the chain-steps a second of many chains, both as docs/performance.md predicts them
for an H100; the gradient, which is shared out too, is left out, so that what is said is rather too little. A rank that
has chunks of a power of two gives

    S = 80 + 8 P + (16 + 4 D) B / n

bytes: counts; a sum over the data and one over the samples of P parameters; of each of its rows two energies, the step
number and D coordinates of the chain. Links are assumptions: latency is that of an all-gather and of three small kernels.
"""
import sys

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
NETS = {"2-128-128-1": (2, 17025, 2.8e8, 1.85e-6), "64-128-128-1": (64, 24961, 2.3e8, 2.26e-6)}
LINKS = {"NVLink, 200 GB/s, 30 us": (30e-6, 200e9), "InfiniBand, 25 GB/s, 60 us": (60e-6, 25e9),
         "Ethernet, 1.25 GB/s, 210 us": (210e-6, 1.25e9)}
BATCHES = (1024, 4096, 16384, 65536)


def given(net, batch, ranks):
    dim, parameters, _, _ = NETS[net]
    return 80 + 8 * parameters + (16 + 4 * dim) * batch // ranks


def seconds(net, link, batch, ranks):
    _, _, rate, least = NETS[net]
    alone = STEPS * max(least, batch / ranks / rate)
    if ranks == 1:
        return alone
    latency, bandwidth = LINKS[link]
    return alone + latency + (ranks - 1) * given(net, batch, ranks) / bandwidth


def pays_from(net, link):
    for batch in range(256, 1 << 20, 256):
        if seconds(net, link, batch, 2) < seconds(net, link, batch, 1):
            return f"{batch:,}"
    return "never"


print("| | " + " | ".join(f"bytes at {b:,}" for b in BATCHES) + " |")
print("|---" * (len(BATCHES) + 1) + "|")
for net in NETS:
    print(f"| {net} | " + " | ".join(f"{given(net, b, 2):,}" for b in BATCHES) + " |")
print()
print("| | between the GPUs | a second pays from batch | " + " | ".join(f"gain at {b:,}" for b in BATCHES) + " |")
print("|---" * (len(BATCHES) + 3) + "|")
for net in NETS:
    for link in LINKS:
        gains = [seconds(net, link, b, 1) / seconds(net, link, b, 2) for b in BATCHES]
        print(f"| {net} | {link} | {pays_from(net, link)} | " + " | ".join(f"{g:.2f}" for g in gains) + " |")
