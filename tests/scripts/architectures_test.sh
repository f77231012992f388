#!/usr/bin/env bash
# scripts/architectures.sh, beside programs that stand for nvidia-smi and nvcc.
set -euo pipefail
script=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

# expect WANTED GPUS COMPILER [option]: GPUS is what nvidia-smi prints, COMPILER what nvcc lists ("" where there is none).
expect() {
  rm -f "$folder"/nvidia-smi "$folder"/nvcc
  printf '#!/bin/sh\nexit 9\n' >"$folder/nvidia-smi"
  [ -z "$2" ] || printf '#!/bin/sh\nprintf "%s"\n' "$2" >"$folder/nvidia-smi"
  printf '#!/bin/sh\nexit 9\n' >"$folder/nvcc"
  [ -z "$3" ] || printf '#!/bin/sh\nprintf "%s"\n' "$3" >"$folder/nvcc"
  chmod +x "$folder"/*
  local got
  got=$(env -u CUDACXX -u CUDAARCHS PATH="$folder:$PATH" "$script" "${@:4}")
  [ "$got" = "$1" ] || { echo "GPUs '$2', compiler '$3': $got, wanted $1"; failed=1; }
}
known='compute_80\ncompute_89\ncompute_90\ncompute_100\n'
expect -DCMAKE_CUDA_ARCHITECTURES=90 '' ''
expect -DCMAKE_CUDA_ARCHITECTURES=90 '' "$known"
expect -DCMAKE_CUDA_ARCHITECTURES=80 '8.0\n' "$known"
expect -DCMAKE_CUDA_ARCHITECTURES=100 '10.0\n' "$known"
expect '-DCMAKE_CUDA_ARCHITECTURES=89;90' '9.0\n8.9\n9.0\n' "$known"
expect -DCMAKE_CUDA_ARCHITECTURES=100 '12.0\n' "$known"                                # newer than the compiler
expect -DCMAKE_CUDA_ARCHITECTURES=90 '7.5\n' "$known"                                  # too old to be of use
expect -DCMAKE_CUDA_ARCHITECTURES=90 'NVIDIA-SMI has failed because ...\n' "$known"
expect -UCMAKE_CUDA_ARCHITECTURES '9.0\n' "$known" --all
[ "$(CUDAARCHS=86 "$script")" = -DCMAKE_CUDA_ARCHITECTURES=86 ] || { echo "CUDAARCHS was not taken"; failed=1; }
if env -u CUDAARCHS PATH="$folder:$PATH" "$script" --al 2>/dev/null; then echo "--al was taken"; failed=1; fi
exit $failed
