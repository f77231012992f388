#!/usr/bin/env bash
# Do the tests have teeth? Applies each mutant of list.txt to a copy of the tree, builds, and runs the tests of chains,
# kernels and training: at least one must fail. A check before a release, not part of CI: an hour on 2 cores.
#
#   tests/mutants/run.sh [name ...]   all, or these
#   tests/mutants/run.sh --check      only whether every mutant's text is still in its file
#
# Mutants of kernels/*.cu and *.cuh need nvcc and a device. EBMCUDA_GPU_LAUNCHER is what runs a program on one: words that
# go before it, as in "launcher run", or "env" where programs find a GPU by themselves. Without it they are skipped.
# One instruction set and one GPU architecture only, for the compile time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
work=$root/build/mutants
copy=$work/source

# The list, and what of it is out of date.
names=() files=() olds=() news=() stale=()
while IFS= read -r name && IFS= read -r file && IFS= read -r old && IFS= read -r new; do
  IFS= read -r _ || true   # the blank line between records
  names+=("$name") files+=("$file") olds+=("$old") news+=("$new")
  if [ ! -f "$file" ]; then
    stale+=("$name: there is no $file")
  elif ! grep -qF -- "$old" "$file"; then
    stale+=("$name: its text is not in $file: $old")
  fi
done < <(grep -v '^#' tests/mutants/list.txt)
if [ ${#stale[@]} -gt 0 ]; then
  printf '%s\n' "${stale[@]}" >&2
  echo "bring tests/mutants/list.txt up to date: ${#stale[@]} of ${#names[@]} mutants are stale" >&2
  exit 1
fi
if [ "${1:-}" = --check ]; then
  echo "${#names[@]} mutants, none stale"
  exit 0
fi
for name in "$@"; do
  [[ " ${names[*]} " == *" $name "* ]] || { echo "no mutant $name in list.txt" >&2; exit 2; }
done

is_gpu() { case $1 in kernels/*.cu | kernels/*.cuh) true ;; *) false ;; esac; }
launcher=()
read -ra launcher <<<"${EBMCUDA_GPU_LAUNCHER:-}"
host=() gpu=() skipped=()
for i in "${!names[@]}"; do
  if [ $# -gt 0 ] && [[ " $* " != *" ${names[i]} "* ]]; then continue; fi
  if ! is_gpu "${files[i]}"; then
    host+=("$i")
  elif [ ${#launcher[@]} -gt 0 ]; then
    gpu+=("$i")
  else
    skipped+=("${names[i]}")
  fi
done

mkdir -p "$copy"
# Only what differs is written, so that a second run builds little, and all that the last one left changed.
while IFS= read -r -d '' file; do
  if [ -f "$file" ] && ! cmp -s "$file" "$copy/$file"; then
    mkdir -p "$copy/$(dirname "$file")"
    cp "$file" "$copy/$file"
  fi
done < <(git ls-files -z)

# Each engine has a build tree, its targets and its programs with their filters.
common=(-G Ninja -DCMAKE_BUILD_TYPE=Release -DEBMCUDA_TOOLS=OFF -DEBMCUDA_BENCH=OFF -DEBMCUDA_EXAMPLES=OFF -DEBMCUDA_INSTALL=OFF
  "-DCMAKE_CXX_FLAGS=-DHWY_COMPILE_ONLY_STATIC -march=native" "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG")
use_host() {
  build_tree=$work/build before=() limit=300
  targets=(test_engine test_kernels test_engine_statistics test_transform test_transform_models test_held_out)
  programs=(engine/test_engine:'*' kernels/test_kernels:'*' engine/test_engine_statistics:'*'
            data/test_transform:'*' data/test_transform_models:'*' training/test_held_out:'*')
  cmake -S "$copy" -B "$build_tree" "${common[@]}" -DEBMCUDA_CUDA=OFF >/dev/null
}
# On a simulated device a test takes its time: trajectories of every activation are left to CI.
use_gpu() {
  build_tree=$work/build-cuda before=("${launcher[@]}") limit=1200
  targets=(test_engine test_cuda_policies test_cuda_precision)
  programs=(engine/test_engine:'*cuda*-*OfEveryActivation*' cuda/test_cuda_policies:'*' cuda/test_cuda_precision:'*')
  cmake -S "$copy" -B "$build_tree" "${common[@]}" -DEBMCUDA_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=90 >/dev/null
}
build() { cmake --build "$build_tree" --target "${targets[@]}" >"$work/build.log" 2>&1; }
# Prints the first failing test, or nothing.
first_failure() {
  local entry program
  for entry in "${programs[@]}"; do
    program=${entry%%:*}
    if ! timeout "$limit" "${before[@]}" "$build_tree/tests/$program" --gtest_fail_fast --gtest_filter="${entry#*:}" \
      >"$work/test.log" 2>&1; then
      grep -m 1 -o '\[  FAILED  \] [^ ,]*' "$work/test.log" || echo "$program crashed or hung"
      return
    fi
  done
}

killed=0 survivors=()
# Builds the unchanged tree, whose tests must pass and must run, then each mutant in turn.
run_mutants() {
  local i failure
  build || { cat "$work/build.log"; exit 1; }
  failure=$(first_failure)
  [ -z "$failure" ] || { echo "the unchanged tree already fails: $failure" >&2; exit 1; }
  if [ ${#before[@]} -gt 0 ] && grep -q 'no CUDA device' "$work/test.log"; then
    echo "${before[*]}: no CUDA device is found under it" >&2
    exit 1
  fi
  for i in "$@"; do
    OLD=${olds[i]} NEW=${news[i]} perl -0pi -e 's/\Q$ENV{OLD}\E/$ENV{NEW}/' "$copy/${files[i]}"
    if ! build; then
      tail -n 20 "$work/build.log" >&2
      echo "${names[i]}: does not compile; bring list.txt up to date" >&2
      exit 1
    fi
    failure=$(first_failure)
    if [ -n "$failure" ]; then
      killed=$((killed + 1))
      printf '%-38s killed by %s\n' "${names[i]}" "${failure#*] }"
    else
      survivors+=("${names[i]}")
      printf '%-38s SURVIVED\n' "${names[i]}"
    fi
    cp "$root/${files[i]}" "$copy/${files[i]}"
  done
}

if [ ${#host[@]} -gt 0 ]; then
  use_host
  run_mutants "${host[@]}"
fi
if [ ${#gpu[@]} -gt 0 ]; then
  use_gpu
  run_mutants "${gpu[@]}"
fi
echo "$killed killed, ${#survivors[@]} survived: ${survivors[*]:-}"
if [ ${#skipped[@]} -gt 0 ]; then
  echo "${#skipped[@]} skipped, which need a GPU (EBMCUDA_GPU_LAUNCHER is not set): ${skipped[*]}"
fi
[ ${#survivors[@]} -eq 0 ]
