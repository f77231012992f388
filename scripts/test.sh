#!/usr/bin/env bash
# Sets up, builds with warnings as errors, and runs every test. Usage: scripts/test.sh [--all-architectures] [ctest options]
# Kernels are built for the GPU at hand, or for one architecture where there is none; --all-architectures builds them for
# all that a release has. BUILD_DIR (default build/test) and CMAKE_ARGS change where and how.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
all=()
if [ "${1:-}" = --all-architectures ]; then
  all=(--all)
  shift
fi
scripts/setup.sh test
build=${BUILD_DIR:-build/test}
# shellcheck disable=SC2086  # CMAKE_ARGS is a list of words, and has the last word
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DEBMCUDA_WERROR=ON "$(scripts/architectures.sh "${all[@]}")" ${CMAKE_ARGS:-}
cmake --build "$build"
ctest --test-dir "$build" --output-on-failure -j "$(nproc)" "$@"
