#!/usr/bin/env python3
"""Runs GoogleTest programs as CTest would, where there is no CTest: every case in a process of its own, several at a time.

    gtest_runner.py [--jobs N] [--timeout S] [--seconds S] [--junit FILE] [--json FILE] PROGRAM[:FILTER] ...

A case passes when its process says so and ends by itself; one that crashes or runs out of time has failed. After --seconds
no further case is begun, and what was not begun is named. Exit status 1 when a case failed or was not run, or there is
none. Python's standard library only: this goes to machines without our build.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

KEPT_OUTPUT = 4000  # characters at the end of what a failed case printed
running = set()  # processes, each the leader of a session of its own


def stop(process):
    """The process and its children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def bounded(command, timeout, environment=None, stdout=subprocess.PIPE, stderr=subprocess.STDOUT):
    """(exit status, or None when it had to be stopped; what it wrote to a pipe)."""
    process = subprocess.Popen([str(c) for c in command], stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL, text=True,
                               errors="replace", env=environment, start_new_session=True)
    running.add(process)
    try:
        written = process.communicate(timeout=timeout)
        status = process.returncode
    except subprocess.TimeoutExpired:
        stop(process)
        written, status = process.communicate(), None
    except BaseException:
        stop(process)
        raise
    finally:
        running.discard(process)
    return status, "".join(text for text in written if text)


def cases_of(program, pattern="*", environment=None):
    """["Suite.Case", ...] of a program, in its order."""
    listed = subprocess.run([str(program), "--gtest_list_tests", f"--gtest_filter={pattern}"], check=True, text=True,
                            stdout=subprocess.PIPE, env=environment).stdout
    names, suite = [], None
    for line in listed.splitlines():
        word = line.split("#")[0].rstrip()
        if re.fullmatch(r"\S+\.", word):
            suite = word
        elif suite and re.fullmatch(r"  \S+", word):
            names.append(suite + word.strip())
    return [name for name in names if "DISABLED_" not in name]


def run_case(program, name, timeout, environment=None, prefix=()):
    """{"program", "name", "status", "seconds", "output"}; status: passed, skipped or failed, and then "why"."""
    began = time.monotonic()
    result = {"program": pathlib.Path(program).name, "name": name, "status": "failed"}
    status, output = bounded([*prefix, program, f"--gtest_filter={name}"], timeout, environment)
    if status is None:
        result["why"] = f"no end after {timeout:g} s"
    elif status < 0:
        result["why"] = f"ended by {signal.Signals(-status).name}"
    elif status > 0:
        result["why"] = f"exit status {status}"
    elif "[  SKIPPED ] 1 test" in output:
        result["status"] = "skipped"
    elif "[  PASSED  ] 1 test" in output:
        result["status"] = "passed"
    else:
        result["why"] = "it did not say that it passed"
    result["seconds"] = round(time.monotonic() - began, 3)
    result["output"] = output[-KEPT_OUTPUT:]
    return result


def run(suites, jobs, timeout, seconds=None, environment=None, prefix=(), keep_output=False, report=None):
    """suites: (program, filter). One result per case, and their counts; `report` is called with each result."""
    began = time.monotonic()
    work = [(program, name) for program, pattern in suites for name in cases_of(program, pattern, environment)]

    def one(item):
        left = None if seconds is None else seconds - (time.monotonic() - began)
        if left is not None and left <= 0:
            return {"program": pathlib.Path(item[0]).name, "name": item[1], "status": "not run", "seconds": 0.0, "output": ""}
        result = run_case(*item, timeout if left is None else min(timeout, left), environment, prefix)
        if left is not None and left < timeout and result.get("why", "").startswith("no end"):
            result["status"] = "not run"  # stopped by --seconds, which says nothing about the case
        return result

    results = []
    pool = concurrent.futures.ThreadPoolExecutor(max(1, jobs))
    try:
        for result in pool.map(one, work):
            if result["status"] != "failed" and not keep_output:
                result["output"] = ""
            results.append(result)
            if report:
                report(result)
    except BaseException:  # an interrupt: its threads would finish their cases, and begin others
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(running):
            stop(process)
        raise
    pool.shutdown()
    counts = {status: sum(r["status"] == status for r in results) for status in ("passed", "skipped", "failed", "not run")}
    return {"counts": counts, "cases": results, "seconds": round(time.monotonic() - began, 3)}


def good(outcome):
    counts = outcome["counts"]
    return counts["failed"] == 0 and counts["not run"] == 0 and counts["passed"] > 0


def write_junit(path, outcome):
    root = ElementTree.Element("testsuites")
    suites = {}
    for case in outcome["cases"]:
        suite_name, _, name = case["name"].rpartition(".")
        suite = suites.get(suite_name)
        if suite is None:
            suite = suites[suite_name] = ElementTree.SubElement(root, "testsuite", name=suite_name)
        element = ElementTree.SubElement(suite, "testcase", name=name, classname=suite_name, time=str(case["seconds"]))
        if case["status"] == "failed":
            # XML has no place for control characters.
            text = re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", case["output"])
            ElementTree.SubElement(element, "failure", message=case.get("why", "failed")).text = text
        elif case["status"] != "passed":
            ElementTree.SubElement(element, "skipped", message=case["status"])
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="+", metavar="PROGRAM[:FILTER]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--timeout", type=float, default=600, help="seconds of one case")
    parser.add_argument("--seconds", type=float, help="no case is begun later")
    parser.add_argument("--junit")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    suites = [(str(pathlib.Path(p.partition(":")[0]).resolve()), p.partition(":")[2] or "*") for p in arguments.programs]

    def report(result):
        print(f"{result['status']:8} {result['seconds']:8.2f} s  {result['name']}  {result.get('why', '')}".rstrip(), flush=True)
        if result["status"] == "failed":
            print(result["output"], flush=True)

    try:
        outcome = run(suites, arguments.jobs, arguments.timeout, arguments.seconds, report=report)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"gtest_runner.py: a program does not list its cases: {error}")
    if arguments.junit:
        write_junit(arguments.junit, outcome)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(outcome, indent=1))
    print(", ".join(f"{n} {status}" for status, n in outcome["counts"].items()), f"in {outcome['seconds']:.1f} s")
    sys.exit(0 if good(outcome) else 1)


if __name__ == "__main__":
    main()
