"""Checks that the runtime with faults to order (faulty_runtime.cpp) stands before every CUDA call of the library: a new
call has to be added there, or the tests of failures would pass it by.

    covered_calls.py NM LIBRARY OBJECT ..."""

import re
import subprocess
import sys

# Calls that cannot fail, and what the compiler puts around kernels.
EXEMPT = {"cudaGetLastError", "cudaPeekAtLastError", "cudaGetErrorName", "cudaGetErrorString"}


def symbols(nm, files, kinds):
    lines = subprocess.run([nm, *files], check=True, capture_output=True, text=True).stdout.splitlines()
    return {found[1] for line in lines if (found := re.search(rf" [{kinds}] (cuda[A-Z]\w+)$", line))}


def main():
    nm, library, *objects = sys.argv[1:]
    made, covered = symbols(nm, [library], "U") - EXEMPT, symbols(nm, objects, "TW")
    if not made:
        sys.exit(f"{library} makes no CUDA call that could be found")
    missing = sorted(made - covered)
    if missing:
        sys.exit(f"calls of the library that no test makes fail: {', '.join(missing)}; add them to faulty_runtime.cpp")
    print(f"{len(made)} calls, all covered")


if __name__ == "__main__":
    main()
