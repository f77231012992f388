#!/usr/bin/env bash
# Prints the CMake option that builds kernels for the GPUs of this machine (compute capability 9.0: 90), or for one
# architecture where there is none; with --all, the option that builds for all (as a release does).
set -euo pipefail
if [ -n "${CUDAARCHS:-}" ]; then   # CMake's own variable says what is wanted
  echo "-DCMAKE_CUDA_ARCHITECTURES=$CUDAARCHS"
  exit
fi
case "${1:-}" in
  --all) echo "-UCMAKE_CUDA_ARCHITECTURES"; exit ;;
  "") ;;
  *) echo "usage: architectures.sh [--all]" >&2; exit 2 ;;
esac
# "9.0" of each GPU; older ones than the kernels are written for (8.0) are left out.
found=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null |
  awk -F . '/^[0-9]+\.[0-9]+ *$/ { n = $1 * 10 + $2; if (n >= 80) print n }' | sort -nu) || found=
# A compiler older than the GPU builds for the newest it knows: PTX is inside, for the driver to compile.
if [ -n "$found" ] && known=$("${CUDACXX:-nvcc}" --list-gpu-arch 2>/dev/null | sed -n 's/^compute_\([0-9]*\)$/\1/p' | sort -n) && [ -n "$known" ]; then
  found=$(for wanted in $found; do awk -v wanted="$wanted" '$1 <= wanted { best = $1 } END { if (best) print best }' <<<"$known"; done | sort -nu)
fi
echo "-DCMAKE_CUDA_ARCHITECTURES=$(echo ${found:-90} | tr ' ' ';')"
