#!/usr/bin/env python3
"""Makes the folder of `scripts/gpu.sh --bundle` from a build tree in which the target gpu_programs is built.

    bundle.py TREE FOLDER [--most-mib 60]

FOLDER/gpu.sh then measures on any machine with a driver, bash and Python 3. Programs are stripped and bring their shared
libraries, all but the C library's own. They hold the same kernels several times, so they travel in one archive whose
window spans them all. Exit status 1 when FOLDER is larger than allowed.
"""
import argparse
import json
import lzma
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# The loader that is there has to match these.
C_LIBRARY = re.compile(r"(libc|libm|libdl|libpthread|librt|ld-linux.*)\.so\.")
SCRIPT = """#!/usr/bin/env bash
# Measures ebmcuda on this machine's GPU; results go to results/ beside this file. Needs a driver, Python 3 and bash, and
# uses PyTorch, JAX, ncu and compute-sanitizer where they are. Usage: gpu.sh [--out DIR] [stage ...]; --help says more.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec python3 "$here/measure.py" --programs "$here" --out "$here/results" "$@"
"""


def output_of(*command):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def libraries_of(program):
    """{name: path} of what the loader would load here."""
    found = {}
    for name, path in re.findall(r"^\s*(\S+) => (\S+|not found)", output_of("ldd", program), re.MULTILINE):
        if not path.startswith("/"):
            sys.exit(f"bundle.py: {program} needs {name}, which is not here")
        if not C_LIBRARY.match(name):
            found[name] = path
    return found


def collect(manifest, staging):
    """Copies programs and libraries; the manifest then names them as they lie beside it."""
    libraries = staging / "lib"
    libraries.mkdir()

    def taken(path):
        copy = staging / pathlib.Path(path).name
        for name, library in libraries_of(path).items():
            shutil.copy(library, libraries / name)
        shutil.copy(path, copy)
        subprocess.run(["strip", str(copy)], check=True)
        return copy.name

    manifest = dict(manifest, ebm=taken(manifest["ebm"]), regimes=taken(manifest["regimes"]),
                    suites=[dict(suite, program=taken(suite["program"])) for suite in manifest["suites"]])
    try:
        manifest["commit"] = output_of("git", "-C", ROOT, "describe", "--always", "--dirty").strip()
    except (OSError, subprocess.CalledProcessError):
        manifest["commit"] = None
    (staging / "gpu_programs.json").write_text(json.dumps(manifest, indent=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--most-mib", type=float, default=60)
    arguments = parser.parse_args()
    folder = arguments.folder
    if folder.exists() and any(folder.iterdir()) and not (folder / "measure.py").exists():
        sys.exit(f"bundle.py: {folder} is neither empty nor a bundle")
    (folder / "rivals").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "programs", ignore_errors=True)  # unpacked from an older archive
    with tempfile.TemporaryDirectory() as name:
        staging = pathlib.Path(name)
        collect(json.loads((arguments.tree / "gpu_programs.json").read_text()), staging)
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 128 << 20}]
        with lzma.open(folder / "programs.tar.xz", "wb", filters=filters) as file, tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(staging, arcname=".")
    for script in ("measure.py", "gtest_runner.py", "page.py", "predictions.json"):
        shutil.copy(HERE / script, folder)
    for script in ("gpu.py", "samplers.py"):
        shutil.copy(ROOT / "bench" / "rivals" / script, folder / "rivals")
    (folder / "gpu.sh").write_text(SCRIPT)
    (folder / "gpu.sh").chmod(0o755)
    mib = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and "results" not in f.parts) / 2**20
    print(f"{folder}: {mib:.1f} MiB")
    if mib > arguments.most_mib:
        sys.exit(f"bundle.py: more than {arguments.most_mib:g} MiB")


if __name__ == "__main__":
    main()
