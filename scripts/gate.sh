#!/usr/bin/env bash
# What has to hold before a release and takes too long for every change. Each stage prints one line of figures;
# docs/reliability.md records a run of it.
# Usage: scripts/gate.sh BUILD_DIR [stage ...]    (a build with tests and tools)
#   numbers   every word and every float through the engine's functions; 10^9 normals
#   log-z     NETWORKS x LOG_Z_SEEDS (50 x 20): annealed importance sampling against quadrature, coverage of its error
#   fits      FITS (20) fresh seeds of trainings on data whose density is known
#   seeds     SEEDS (1,000) fresh seeds of the statistical tests, from SEEDS_FROM (1) on: at most one failure
#   faults    every CUDA call of every public operation fails once, in five ways; needs a device: EBMCUDA_GPU_LAUNCHER
#             is what runs a program on one, "env" where programs find it by themselves
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

stage_numbers() {
  cmake --build "$build" --target gate_programs >/dev/null
  local what
  for what in words activations normals; do "$build/tests/gate/gate_numbers" "$what"; done
}

stage_log_z() {
  cmake --build "$build" --target gate_programs >/dev/null
  "$build/tests/gate/gate_log_z" "${NETWORKS:-50}" "${LOG_Z_SEEDS:-20}"
}

# failures_of FIRST LAST PROGRAM:FILTER ...: how many of these fresh seeds fail in one of the programs, and which.
failures_of() {
  local first=$1 last=$2 seed entry log bad=()
  shift 2
  log=$(mktemp)
  for ((seed = first; seed <= last; ++seed)); do
    for entry in "$@"; do
      EBMCUDA_TEST_SEED=$seed "$build/tests/${entry%%:*}" --gtest_brief=1 --gtest_filter="${entry#*:}" >"$log" 2>&1 && continue
      bad+=("$seed")
      printf 'seed %s: %s: ' "$seed" "${entry%%:*}"
      grep -m 1 -o '\[  FAILED  \] [^ ,]*' "$log" || echo 'crashed'
      break
    done
  done
  rm "$log"
  echo "$((last - first + 1)) seeds from $first on: ${#bad[@]} failed"
  failed_seeds=${#bad[@]}
}

stage_fits() {
  cmake --build "$build" --target test_engine_statistics >/dev/null
  failures_of 1 "${FITS:-20}" engine/test_engine_statistics:'*cpu*GaussianFit*:*GaussianFit*cpu*'
  [ "$failed_seeds" -eq 0 ]
}

stage_seeds() {
  local from=${SEEDS_FROM:-1} n=${SEEDS:-1000}
  cmake --build "$build" --target test_engine_statistics test_engine test_densities test_ais >/dev/null
  failures_of "$from" $((from + n - 1)) \
    engine/test_engine_statistics:'*LangevinLawTest*cpu*:*MetropolisInvarianceTest*cpu*:*TemperingLawTest*cpu*:*GradientCalibrationTest*cpu*' \
    engine/test_engine:'*RestartsAtTheStatedRate*cpu*' data/test_densities:'*DrawsFollowTheLogDensity*' \
    evaluation/test_ais:'*DrawsAreExact*'
  [ "$failed_seeds" -le 1 ]
}

stage_faults() {
  local launcher=() log
  read -ra launcher <<<"${EBMCUDA_GPU_LAUNCHER:-}"
  [ ${#launcher[@]} -gt 0 ] || { echo "needs a GPU: EBMCUDA_GPU_LAUNCHER is not set" >&2; return 1; }
  cmake --build "$build" --target test_cuda_public_faults test_cuda_faults >/dev/null
  log=$(mktemp)
  for program in test_cuda_faults test_cuda_public_faults; do
    EBMCUDA_TEST_FAULTS=all "${launcher[@]}" "$build/tests/cuda/$program" >"$log" 2>&1 || { tail -n 30 "$log"; return 1; }
    if grep -q 'SKIPPED' "$log"; then
      echo "$program: no CUDA device is found under ${launcher[*]}" >&2
      return 1
    fi
    printf '%s: %s\n' "$program" "$(grep 'PASSED' "$log")"
  done
}

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
[ $# -gt 0 ] || stages=(numbers log-z fits seeds kills requests faults fuzz soak mutants)
failed=()
for stage in "${stages[@]}"; do
  declare -F "stage_${stage//-/_}" >/dev/null || { echo "no stage $stage: must be numbers, log-z, fits, seeds, kills, requests, faults, fuzz, soak or mutants" >&2; exit 2; }
done
for stage in "${stages[@]}"; do
  printf '\n=== %s\n' "$stage"
  began=$SECONDS
  "stage_${stage//-/_}" || failed+=("$stage")
  printf '%s: %s s\n' "$stage" "$((SECONDS - began))"
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
