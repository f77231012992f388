#!/usr/bin/env bash
# Do the tests have teeth? Applies each mutant of list.txt to a copy of the tree, builds, and runs the tests of chains,
# kernels and training: at least one must fail. Usage: tests/mutants/run.sh [name ...]   (default: all)
# A check before a release, not part of CI: half an hour on 2 cores. One instruction set only, for the compile time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
work=$root/build/mutants
copy=$work/source
mkdir -p "$copy"
git ls-files -z | tar --null -T - -cf - | tar -C "$copy" -xf -
cmake -S "$copy" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DEBMCUDA_CUDA=OFF -DEBMCUDA_TOOLS=OFF -DEBMCUDA_BENCH=OFF -DEBMCUDA_EXAMPLES=OFF \
  -DEBMCUDA_INSTALL=OFF -DCMAKE_CXX_FLAGS="-DHWY_COMPILE_ONLY_STATIC -march=native" -DCMAKE_CXX_FLAGS_RELEASE="-O1 -DNDEBUG" >/dev/null

programs=(engine/test_engine kernels/test_kernels engine/test_engine_statistics)
build() { cmake --build "$work/build" --target test_engine test_kernels test_engine_statistics >"$work/build.log" 2>&1; }
# Prints the first failing test, or nothing.
first_failure() {
  local program
  for program in "${programs[@]}"; do
    if ! timeout 300 "$work/build/tests/$program" --gtest_fail_fast >"$work/test.log" 2>&1; then
      grep -m 1 -o '\[  FAILED  \] [^ ,]*' "$work/test.log" || echo "$program crashed or hung"
      return
    fi
  done
}

build || { cat "$work/build.log"; exit 1; }
failure=$(first_failure)
[ -z "$failure" ] || { echo "the unchanged tree already fails: $failure" >&2; exit 1; }

killed=0 survivors=()
while IFS= read -r name && IFS= read -r file && IFS= read -r old && IFS= read -r new; do
  IFS= read -r _ || true   # the blank line between records
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  if ! OLD=$old NEW=$new perl -0pi -e 'BEGIN { $n = 0 } $n += s/\Q$ENV{OLD}\E/$ENV{NEW}/; END { exit($n == 1 ? 0 : 1) }' "$copy/$file"; then
    echo "$name: its text is not in $file; bring list.txt up to date" >&2
    exit 1
  fi
  if ! build; then
    tail -n 20 "$work/build.log" >&2
    echo "$name: does not compile; bring list.txt up to date" >&2
    exit 1
  fi
  failure=$(first_failure)
  if [ -n "$failure" ]; then
    killed=$((killed + 1))
    printf '%-34s killed by %s\n' "$name" "${failure#*] }"
  else
    survivors+=("$name")
    printf '%-34s SURVIVED\n' "$name"
  fi
  cp "$root/$file" "$copy/$file"
done < <(grep -v '^#' tests/mutants/list.txt)

echo "$killed killed, ${#survivors[@]} survived: ${survivors[*]:-}"
[ ${#survivors[@]} -eq 0 ]
