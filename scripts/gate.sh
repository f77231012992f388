#!/usr/bin/env bash
# What has to hold before a release and takes too long for every change. Each stage prints one line of figures;
# docs/reliability.md records a run of it.
# Usage: scripts/gate.sh BUILD_DIR [stage ...]    (a build with tests and tools)
#   numbers   every word and every float through the engine's functions; 10^9 normals
#   log-z     50 networks x 20 seeds: annealed importance sampling against quadrature, coverage of its error
#   kills     1,000 SIGKILLs at random moments of a training that writes a checkpoint every iteration
#   requests  every option of every command with every kind of value
#   fuzz      each reader for FUZZ_SECONDS (600), with sanitizers; needs clang++
#   soak      a training of SOAK_SECONDS (3600): memory and throughput at the end against the start
#   mutants   every mutant of tests/mutants has to be found by the suite (hours)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$(realpath "${1:?usage: scripts/gate.sh BUILD_DIR [stage ...]}")
shift
ebm=$build/tools/ebm
jobs=$(nproc)

stage_numbers() {
  cmake --build "$build" --target gate_programs >/dev/null
  local what
  for what in words activations normals; do "$build/tests/gate/gate_numbers" "$what"; done
}

stage_log_z() { cmake --build "$build" --target gate_programs >/dev/null && "$build/tests/gate/gate_log_z"; }

stage_kills() { python3 tests/gate/kills.py "$ebm" "${KILLS:-1000}"; }

stage_requests() { python3 tests/tools/requests.py "$ebm"; }

stage_fuzz() {
  local fuzzer corpus tree=build/fuzz
  cmake -S . -B $tree -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo -DEBMCUDA_CUDA=OFF \
    -DEBMCUDA_FUZZ=ON -DEBMCUDA_TOOLS=OFF -DEBMCUDA_BENCH=OFF -DEBMCUDA_EXAMPLES=OFF >/dev/null
  cmake --build $tree --target fuzzers >/dev/null
  for fuzzer in $tree/tests/fuzz/fuzz_*; do
    [ -f "$fuzzer" ] && [ -x "$fuzzer" ] || continue
    corpus=$tree/corpus/$(basename "$fuzzer")
    mkdir -p "$corpus"
    printf '%s: ' "$(basename "$fuzzer")"
    "$fuzzer" -max_total_time="${FUZZ_SECONDS:-600}" -max_len=4096 -rss_limit_mb=1024 "$corpus" 2>&1 | grep -E 'Done|ERROR|SUMMARY' | tail -n 1
  done
}

stage_soak() { python3 tests/gate/soak.py "$ebm" "${SOAK_SECONDS:-3600}"; }

stage_mutants() { tests/mutants/run.sh; }

stages=("$@")
[ $# -gt 0 ] || stages=(numbers log-z kills requests fuzz soak mutants)
failed=()
for stage in "${stages[@]}"; do
  declare -F "stage_${stage//-/_}" >/dev/null || { echo "no stage $stage: must be numbers, log-z, kills, requests, fuzz, soak or mutants" >&2; exit 2; }
done
for stage in "${stages[@]}"; do
  printf '\n=== %s\n' "$stage"
  began=$SECONDS
  "stage_${stage//-/_}" || failed+=("$stage")
  printf '%s: %s s\n' "$stage" "$((SECONDS - began))"
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
