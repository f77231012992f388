"""Checks that the public headers mark with EBMCUDA_API every free function and every class that has member functions
(templates are instantiated where they are used). Given a shared library, checks that it exports those functions, and
nothing that does not belong to a marked function or class.

    check.py INCLUDE_DIRECTORY [--library libebmcuda.so --nm nm]

The headers are read line by line: .clang-format puts each declaration of a namespace at column 0."""

import argparse
import pathlib
import re
import subprocess
import sys

CLASS = re.compile(r"(?:class|struct)\s+(EBMCUDA_API\s+)?(\w+)[^;]*\{")
FUNCTION = re.compile(r"(EBMCUDA_API\s+)?[\w:<>,&*\s\[\]]*?[\s&*](\w+|operator\W+)\(")
HIDDEN = re.compile(r"\b(?:class|struct)\s+EBMCUDA_HIDDEN\s+(\w+)")  # a hidden member function names no class
NO_FUNCTION = ("using", "enum", "namespace", "class", "struct", "inline", "template", "constexpr", "static", "extern", "friend")
# Instantiations of the C++ library's templates are weak and the same in every library.
STANDARD_LIBRARY = re.compile(r"_Z(T[ISV]|GV)?Z?N?K?(St|S[absiod]|9__gnu_cxx)")


def declarations(text):
    """(kind, name, whether it is marked or need not be) of what stands at column 0, no templates."""
    lines = re.sub(r"//[^\n]*", "", text).split("\n")
    for i, line in enumerate(lines):
        if i > 0 and lines[i - 1].startswith("template"):
            continue
        if found := CLASS.match(line):
            body = "\n".join(lines[i:]).split("\n};")[0]
            yield "class", found[2], bool(found[1]) or "(" not in body
        elif re.match(r"[A-Za-z_]", line) and line.split()[0] not in NO_FUNCTION and (found := FUNCTION.match(line)):
            yield "function", found[2], bool(found[1])


def check_headers(texts):
    """Problems in headers, a dict of name to text; the names of functions, of classes, and of nested classes that are kept hidden."""
    problems, functions, classes, hidden = [], set(), set(), set()
    for name, text in texts.items():
        hidden.update(HIDDEN.findall(text))
        for kind, symbol, marked in declarations(text):
            if not marked:
                problems.append(f"{name}: {kind} {symbol} is not marked EBMCUDA_API")
            (functions if kind == "function" else classes).add(symbol)
    return problems, functions, classes, hidden


def check_symbols(symbols, functions, classes, hidden):
    """`symbols`: (type letter of nm, mangled, demangled) of each."""
    problems, seen = [], set()
    for letter, mangled, plain in symbols:
        if letter in "VWu" and STANDARD_LIBRARY.match(mangled):
            continue
        name = re.sub(r"^(typeinfo name for|typeinfo for|vtable for|guard variable for) ", "", plain)
        found = re.match(r"ebm::(\w+)(\(|::|\[|$)", name)
        members = set(name.split("(")[0].split("::")[2:])
        if found and not members & hidden and found[1] in (functions if found[2] in "([" and found[2] else classes):
            seen.add(found[1])
        else:
            problems.append(f"exported, but not public: {plain}")
    problems += [f"public, but not exported: {name}" for name in sorted(functions - seen)]
    return problems


def exported(library, nm):
    def run(*options):
        lines = subprocess.run([nm, "--dynamic", "--defined-only", *options, library], check=True, text=True,
                               capture_output=True).stdout.splitlines()
        return [line.split(" ", 2)[1:] for line in lines]
    return [(letter, mangled, plain) for (letter, mangled), (_, plain) in zip(run("--no-demangle"), run("--demangle"))]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("include", type=pathlib.Path)
    arguments.add_argument("--library")
    arguments.add_argument("--nm", default="nm")
    given = arguments.parse_args()
    headers = {str(p): p.read_text() for p in sorted(given.include.rglob("*.hpp")) if p.name != "export.hpp"}
    problems, functions, classes, hidden = check_headers(headers)
    if given.library:
        symbols = exported(given.library, given.nm)
        problems += check_symbols(symbols, functions, classes, hidden)
        print(f"{len(symbols)} symbols exported")
    print(f"{len(functions)} names of functions, {len(classes)} classes in {len(headers)} headers")
    if not functions or not classes:
        problems.append("no declarations found")
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
