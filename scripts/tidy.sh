#!/usr/bin/env bash
# clang-tidy over what changed; its findings are errors (.clang-tidy). Usage: scripts/tidy.sh [build tree]
# The build tree (default build/clang) has compile_commands.json. What changed: since the merge base with main; on main
# itself, or where no main is known, in the last 10 commits of the first parents (fewer in a shallow clone); without
# history, all of host/core. TIDY_BASE names another commit. A changed header is checked through a source file that
# includes it. At most TIDY_MOST (default 40) files, those with most changed lines first: what is left out is said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:-build/clang}
most=${TIDY_MOST:-40}
[ -f "$build/compile_commands.json" ] || { echo "tidy: no $build/compile_commands.json: cmake --preset clang" >&2; exit 2; }

base_commit() {
  local ref base head
  if [ -n "${TIDY_BASE:-}" ]; then
    git rev-parse --verify --quiet "$TIDY_BASE^{commit}" && return
    echo "tidy: TIDY_BASE = $TIDY_BASE: must be a commit" >&2
    exit 2
  fi
  head=$(git rev-parse HEAD)
  for ref in origin/main main; do
    base=$(git merge-base HEAD "$ref" 2>/dev/null) || continue
    [ "$base" = "$head" ] || { echo "$base"; return; }
  done
  git rev-list --first-parent --max-count=11 HEAD | tail -n +2 | tail -n 1   # nothing for a single commit
}

# "changed-lines path" of sources and headers, of the work tree against the base.
base=$(base_commit)
if [ -n "$base" ]; then
  echo "tidy: since $(git log -1 --format='%h %s' "$base")"
  changed=$(git diff --numstat --no-renames --diff-filter=d "$base" -- 'host/*' 'tools/*' 'examples/*' 'include/*' 'kernels/*.hpp' |
    awk '$1 != "-" { print $1 + $2, $3 }')
else
  echo "tidy: no history; all of host/core"
  changed=$(git ls-files 'host/core/*' | sed 's/^/1 /')
fi

# A header counts for the first source that includes it, of its own folder if there is one.
source_of() {
  case $1 in
    *.cpp) echo "$1" ;;
    *.hpp | *.h) git grep -l -F "\"${1#include/}\"" -- 'host/*.cpp' 'tools/*.cpp' |
      awk -v folder="$(dirname "$1")/" 'index($0, folder) == 1 && !own { own = $0 } !any { any = $0 } END { print own ? own : any }' ;;
  esac
}
mapfile -t files < <(
  while read -r lines path; do
    [ -n "$path" ] || continue
    source=$(source_of "$path")
    if [ -n "$source" ] && grep -qF "/$source\"" "$build/compile_commands.json"; then echo "$lines $source"; fi
  done <<<"$changed" | awk '{ sum[$2] += $1 } END { for (f in sum) print sum[f], f }' | sort -k1,1nr -k2 | cut -d ' ' -f 2)
if [ ${#files[@]} -eq 0 ]; then
  echo "tidy: no source of $build changed"
  exit 0
fi
if [ ${#files[@]} -gt "$most" ]; then
  echo "tidy: ${#files[@]} files; the $most most changed are checked, not: ${files[*]:$most}"
  files=("${files[@]:0:$most}")
fi
# --quiet still counts suppressed warnings of system headers on stderr; only what fails is worth reading.
check() {
  local log
  log=$(clang-tidy -p "$0" --quiet "$1" 2>&1) || { printf '%s\n' "$log"; exit 1; }
}
export -f check
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 1 bash -c 'check "$1"' "$build"
echo "tidy: ${#files[@]} files passed"
