#!/usr/bin/env bash
# Makes sure that a Debian 12 machine has what the build needs. Usage: setup.sh [build|test|ci]
# Installs what is missing with apt and says so; without root it prints the one line to run and stops.
set -euo pipefail

packages=(g++ cmake ninja-build libfmt-dev nlohmann-json3-dev libhwy-dev libminizip-dev libcli11-dev libtomlplusplus-dev libstb-dev)
case "${1:-build}" in
  build) ;;
  test) packages+=(libgtest-dev libbenchmark-dev librandom123-dev librapidcheck-dev python3 libopenmpi-dev openmpi-bin) ;;
  ci) packages+=(libgtest-dev libbenchmark-dev librandom123-dev librapidcheck-dev python3 libopenmpi-dev openmpi-bin clang-format clang clang-tidy ccache) ;;
  *) echo "usage: setup.sh [build|test|ci]" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    echo "These packages are missing. Please run, as root:" >&2
    echo "  $install" >&2
    exit 1
  fi
else
  as_root=()
fi
echo "setup: installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive bash -c "$install" >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "setup: apt failed; the line was: $install" >&2
  exit 1
fi
