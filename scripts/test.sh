#!/usr/bin/env bash
# Sets up, builds with warnings as errors, and runs every test. Usage: scripts/test.sh [ctest options]
# BUILD_DIR (default build/test) and CMAKE_ARGS change where and how.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh test
build=${BUILD_DIR:-build/test}
# shellcheck disable=SC2086  # CMAKE_ARGS is a list of words
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DEBMCUDA_WERROR=ON ${CMAKE_ARGS:-}
cmake --build "$build"
ctest --test-dir "$build" --output-on-failure -j "$(nproc)" "$@"
