#!/usr/bin/env bash
# Measures the CUDA engine on this machine's NVIDIA GPU in less than 8 minutes and makes docs/performance-gpu.md, or makes
# a folder that measures elsewhere.
#
#   scripts/gpu.sh [--build TREE] [--arch A] [--out DIR] [stage ...]   build, measure, and write the page
#   scripts/gpu.sh --bundle DIR [--build TREE] [--arch A]   DIR/gpu.sh then measures on a machine that has a driver, Python 3
#                                                           and bash: nothing is built or fetched there
#   scripts/gpu.sh --page DIR/results/gpu.json              the page, from what a bundle brought back
#
# --build: a tree with tests, tools and benchmarks (default build/gpu, or build/bundle; configured when it is new, for the
# architectures A: by default those of the GPUs at hand, and 90 for a bundle). A bundle is at most 60 MiB. Results go to
# TREE/gpu-results. Stages, and options that go on to it (--seconds, --jobs, --toy): scripts/gpu/measure.py --help.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

bundle='' build='' arch='' out='' page=''
rest=()
while [ $# -gt 0 ]; do
  case $1 in
    --bundle | --build | --arch | --out | --page)
      [ $# -ge 2 ] || { echo "gpu.sh: $1 needs a value" >&2; exit 2; }
      declare "${1#--}=$2"
      shift 2
      ;;
    -h | --help) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) rest+=("$1"); shift ;;
  esac
done

# build_programs TREE: configures a tree that is not there yet.
build_programs() {
  if [ ! -e "$1/CMakeCache.txt" ]; then
    "$root/scripts/setup.sh" test
    cmake -S "$root" -B "$1" -G Ninja -DCMAKE_BUILD_TYPE=Release -DEBMCUDA_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=$arch"
  fi
  cmake --build "$1" --target gpu_programs
}

if [ -n "$page" ]; then
  exec python3 "$root/scripts/gpu/page.py" "$page"
fi
if [ -n "$bundle" ]; then
  [ ${#rest[@]} -eq 0 ] || { echo "gpu.sh: --bundle takes no ${rest[0]}" >&2; exit 2; }
  arch=${arch:-90}
  tree=${build:-$root/build/bundle}
  build_programs "$tree"
  exec python3 "$root/scripts/gpu/bundle.py" "$tree" "$bundle"
fi
[ -n "$arch" ] || arch=$("$root/scripts/architectures.sh")
arch=${arch#-DCMAKE_CUDA_ARCHITECTURES=}
tree=${build:-$root/build/gpu}
build_programs "$tree"
out=${out:-$tree/gpu-results}
status=0
python3 "$root/scripts/gpu/measure.py" --programs "$tree/gpu_programs.json" --out "$out" "${rest[@]}" || status=$?
# measure.py leaves a page where it measured: none of a simulated device or of toy size.
if [ $status -le 1 ] && [ -e "$out/performance-gpu.md" ]; then python3 "$root/scripts/gpu/page.py" "$out/gpu.json"; fi
exit $status
