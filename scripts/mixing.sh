#!/usr/bin/env bash
# Writes docs/mixing.md: how well the samplers mix, per gradient evaluation, which is the same on every machine.
# Usage: scripts/mixing.sh BUILD_DIR   (a build with bench/ and tools/; some ten minutes on two cores)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:?usage: scripts/mixing.sh BUILD_DIR}
work=$build/mixing   # the networks stay there, for another run
mkdir -p "$work"
ebm=$build/tools/ebm

if [ ! -e "$work/digits.safetensors" ]; then
  "$ebm" data data/digits.csv --columns 0:64 --out "$work/train.npy" --held-out "$work/held_out.npy" --held-out-share 0.2 >&2
  "$ebm" train "$work/train.npy" --dequantize 1 --transform standardize --out "$work/digits.safetensors" >&2
  "$ebm" train "$work/train.npy" --dequantize 1 --transform marginals+whiten --out "$work/whitened.safetensors" >&2
fi
for density in eight_gaussians twenty_five_gaussians; do
  [ -e "$work/$density.safetensors" ] && continue
  "$ebm" data $density --n 8192 --out "$work/$density.npy" >&2
  "$ebm" train "$work/$density.npy" --transform standardize --out "$work/$density.safetensors" >&2
done
{
  cat <<'TEXT'
# How well the samplers mix

Made by `scripts/mixing.sh BUILD_DIR` (the program is `bench/mixing.cpp`). Do not edit. Gradient evaluations are counted, not
seconds. The samplers are described in [sampling.md](sampling.md).

## Effective samples

64 chains that start in equilibrium. Of the worst coordinate, and the worse of x_d and (x_d - mean)^2. Step sizes by bisection on the
acceptance rate that theory advises (mala 0.574; trajectories 0.65); unadjusted `langevin`, whose samples are biased, has the step that mala would
accept 95 % of; trajectory length (5 .. 80 evaluations) and friction (0.3, 1) are the best on one seed, and the figures from another. "Not
settled": fewer than 100 effective samples, or split R-hat above 1.05, so that the figure is no more than an upper bound.

### Gaussians in 64 dimensions (variances geometrically spaced)

TEXT
  "$build/bench/mixing" gaussians
  printf '\n### A network trained on the standardised digits (64-128-128-1)\n\n'
  "$build/bench/mixing" model "$work/digits.safetensors"
  printf '\n### The same digits in the coordinates that `ebm train` chooses (marginals+whiten)\n\n'
  "$build/bench/mixing" model "$work/whitened.safetensors"
  printf '\n## Mass between modes\n\nNetworks trained by `ebm train` with defaults; the masses are compared with those of the network itself, by a grid.\n'
  for density in eight_gaussians twenty_five_gaussians; do
    "$build/bench/mixing" modes "$work/$density.safetensors" $density
  done
} >docs/mixing.md.new
mv docs/mixing.md.new docs/mixing.md
