"""scripts/gpu: the runner of tests, the stages and the page, with programs that stand for others. Needs no device.

    gpu_test.py FOLDER_OF_SCRIPTS
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
import xml.etree.ElementTree as ElementTree

SCRIPTS = pathlib.Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(SCRIPTS))
import gtest_runner  # noqa: E402
import measure  # noqa: E402
import page  # noqa: E402

# Speaks as GoogleTest does: cases that pass, are skipped, fail, crash, never end, or end before they say how.
SUITE = """
import os, sys, time
CASES = {"Good": ["Passes", "Skips"], "Bad": ["Fails", "Crashes", "Ends", "DISABLED_Old"], "Slow/Kinds": ["Never/0"]}
words = [a for a in sys.argv[1:] if a.startswith("--gtest_filter=")]
pattern = words[0].split("=")[1] if words else "*"
def chosen(name):
    return pattern in ("*", name) or name.startswith(pattern.rstrip("*")) and pattern.endswith("*")
if "--gtest_list_tests" in sys.argv:
    print("Running main() from somewhere")
    for suite, cases in CASES.items():
        if any(chosen(f"{suite}.{c}") for c in cases):
            print(f"{suite}." + ("  # TypeParam = int" if suite == "Bad" else ""))
            print("\\n".join(f"  {c}" + ("  # GetParam() = 7" if "/" in c else "") for c in cases if chosen(f"{suite}.{c}")))
    sys.exit(0)
print("size", os.environ.get("EBMCUDA_TEST_FULL_SIZE"))
print("silu                 error 0.085 of its bound")
if pattern == "Good.Passes": print("[  PASSED  ] 1 test.")
if pattern == "Good.Skips": print("[  PASSED  ] 0 tests.\\n[  SKIPPED ] 1 test, listed below:")
if pattern == "Bad.Fails": print("wrong \\x01 value"); sys.exit(1)
if pattern == "Bad.Crashes": os.abort()
if pattern == "Slow/Kinds.Never/0": time.sleep(60)
"""
EBM = 'print("device cuda:0: Fake GPU" if not __import__("os").environ.get("NO_DEVICE") else "device cpu")'
# Google Benchmark's JSON, for the group that the filter names; the group `wide` fails, `endless` never ends.
REGIMES = """
import json, sys, time
options = dict(a.lstrip("-").split("=", 1) for a in sys.argv[1:] if "=" in a)
group = options["benchmark_filter"].strip("^/")
if group == "wide": sys.exit("out of memory")
if group == "endless": time.sleep(60)
name = f"{group}/langevin/64-128-128-1/silu/fp16/chains:256/steps:1/iterations:24/manual_time"
run = {"name": name, "real_time": 1.0, "cpu_time": 1.0, "iterations": 24, "median_us": 4.0, "min_us": 3.5, "max_us": 5.0,
       "queued_us": 2.0, "chain_steps_per_second": 6.4e7, "sm_mhz": 1980.0, "label": "cuda:0"}
json.dump({"context": {}, "benchmarks": [run]}, open(options["benchmark_out"], "w"))
"""


def program(folder, name, text):
    path = pathlib.Path(folder) / name
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


class Runner(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.suite = program(self.folder.name, "suite", SUITE)

    def test_cases_are_listed_without_comments_and_disabled_ones(self):
        self.assertEqual(gtest_runner.cases_of(self.suite), ["Good.Passes", "Good.Skips", "Bad.Fails", "Bad.Crashes", "Bad.Ends",
                                                             "Slow/Kinds.Never/0"])
        self.assertEqual(gtest_runner.cases_of(self.suite, "Good*"), ["Good.Passes", "Good.Skips"])

    def test_only_a_case_that_says_so_has_passed(self):
        outcome = gtest_runner.run([(self.suite, "Good*"), (self.suite, "Bad*")], jobs=2, timeout=300)
        found = {case["name"]: (case["status"], case.get("why")) for case in outcome["cases"]}
        self.assertEqual(found, {"Good.Passes": ("passed", None), "Good.Skips": ("skipped", None),
                                 "Bad.Fails": ("failed", "exit status 1"), "Bad.Crashes": ("failed", "ended by SIGABRT"),
                                 "Bad.Ends": ("failed", "it did not say that it passed")})
        self.assertFalse(gtest_runner.good(outcome))
        self.assertIn("wrong", next(c["output"] for c in outcome["cases"] if c["name"] == "Bad.Fails"))

    def test_a_case_that_does_not_end_has_failed(self):
        case = gtest_runner.run_case(self.suite, "Slow/Kinds.Never/0", timeout=0.5)
        self.assertEqual((case["status"], case["why"]), ("failed", "no end after 0.5 s"))

    def test_a_signal_ends_what_runs(self):
        endless = program(self.folder.name, "endless", """
            import os, sys, time
            if "--gtest_list_tests" in sys.argv:
                sys.exit(print("Suite.\\n  Case"))
            open(sys.argv[0] + ".part", "w").write(str(os.getpid()))
            os.rename(sys.argv[0] + ".part", sys.argv[0] + ".began")
            time.sleep(600)
        """)
        runner = subprocess.Popen([sys.executable, str(SCRIPTS / "gtest_runner.py"), endless], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        began = pathlib.Path(endless + ".began")
        while not began.exists():
            time.sleep(0.02)
        runner.send_signal(signal.SIGINT)
        self.assertNotEqual(runner.wait(), 0)
        status = pathlib.Path("/proc") / began.read_text() / "stat"
        # It was killed: gone, or nobody has asked for its status yet.
        self.assertTrue(not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z")

    def test_what_time_did_not_allow_was_not_run_and_is_no_success(self):
        outcome = gtest_runner.run([(self.suite, "Slow*"), (self.suite, "Good*")], jobs=1, timeout=30, seconds=1)
        self.assertEqual([case["status"] for case in outcome["cases"]], ["not run"] * 3)
        self.assertFalse(gtest_runner.good(outcome))

    def test_skipped_cases_alone_are_no_success(self):
        self.assertTrue(gtest_runner.good(gtest_runner.run([(self.suite, "Good*")], 1, 30)))
        self.assertFalse(gtest_runner.good(gtest_runner.run([(self.suite, "Good.Skips")], 1, 30)))
        self.assertFalse(gtest_runner.good(gtest_runner.run([(self.suite, "None*")], 1, 30)))

    def test_command_line_and_reports(self):
        folder = pathlib.Path(self.folder.name)
        command = [sys.executable, str(SCRIPTS / "gtest_runner.py"), "--junit", str(folder / "j.xml"), "--json", str(folder / "j.json")]
        good = subprocess.run([*command, f"{self.suite}:Good*"], stdout=subprocess.PIPE, text=True, check=False)
        self.assertEqual(good.returncode, 0, good.stdout)
        bad = subprocess.run([*command, f"{self.suite}:Bad*"], stdout=subprocess.PIPE, text=True, check=False)
        self.assertEqual(bad.returncode, 1, bad.stdout)
        root = ElementTree.parse(folder / "j.xml").getroot()
        self.assertEqual([case.get("name") for case in root.iter("testcase")], ["Fails", "Crashes", "Ends"])
        self.assertEqual(len(list(root.iter("failure"))), 3)
        self.assertEqual(json.loads((folder / "j.json").read_text())["counts"]["failed"], 3)
        none = subprocess.run([*command, str(folder / "nothing")], stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(none.returncode, 1)
        self.assertNotIn("Traceback", none.stderr)


class Stages(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.out = pathlib.Path(self.folder.name) / "out"
        for name, text in (("ebm", EBM), ("regimes", REGIMES), ("suite", SUITE.replace('["Never/0"]', "[]"))):
            program(self.folder.name, name, text)
        self.manifest = pathlib.Path(self.folder.name) / "gpu_programs.json"
        self.manifest.write_text(json.dumps({"version": "1", "architectures": "90", "compiler": "nvcc", "ebm": "ebm", "regimes": "regimes",
                                             "commit": "abc", "suites": [{"program": "suite", "filter": "*"}]}))

    def use_tool(self, name, text):
        self.tools = pathlib.Path(self.folder.name) / "tools"
        self.tools.mkdir()
        program(self.tools, name, text)

    def run_stages(self, *words, **environment):
        if hasattr(self, "tools"):
            environment["PATH"] = f"{self.tools}:{os.environ['PATH']}"
        done = subprocess.run([sys.executable, str(SCRIPTS / "measure.py"), "--programs", str(self.manifest), "--out", str(self.out), *words],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env={**os.environ, **environment})
        return done, json.loads((self.out / "gpu.json").read_text()) if (self.out / "gpu.json").exists() else None

    def test_without_a_device_nothing_else_is_tried(self):
        done, result = self.run_stages(NO_DEVICE="1")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(list(result["stages"]), ["device"])
        self.assertIn("no CUDA device", result["stages"]["device"]["why"])

    def test_a_stage_that_fails_leaves_the_others_and_what_it_had(self):
        done, result = self.run_stages("device", "throughput", "suite")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual({name: s["status"] for name, s in result["stages"].items()},
                         {"device": "ok", "suite": "failed", "throughput": "incomplete"})
        names = [r["name"] for r in result["stages"]["throughput"]["regimes"]]
        self.assertEqual(names[0], "small/langevin/64-128-128-1/silu/fp16/chains:256/steps:1")
        self.assertEqual(len(names), len(measure.GROUPS) - 1)
        self.assertEqual([p.split(":")[0] for p in result["stages"]["throughput"]["problems"]], ["wide"])
        # A stage that is run again takes the place of its result, and of no other.
        began = result["stages"]["suite"]["began"]
        _, again = self.run_stages("device")
        self.assertEqual(again["stages"]["suite"]["began"], began)
        self.assertEqual(list(again["stages"]), ["device", "suite", "throughput"])

    def test_a_group_that_takes_too_long_loses_itself_alone(self):
        machine = measure.Machine(argparse.Namespace(programs=self.manifest, toy=False, jobs=1), self.folder.name)
        groups, measure.GROUPS = measure.GROUPS, ["endless"]
        self.addCleanup(setattr, measure, "GROUPS", groups)
        result = measure.throughput(machine)  # its time is over
        self.assertEqual((result["status"], result["regimes"]), ("failed", []))
        self.assertTrue(result["problems"][0].startswith("endless: no time left"), result["problems"])

    def test_a_kill_leaves_what_the_stage_had(self):
        kept = []
        machine = measure.Machine(argparse.Namespace(programs=self.manifest, toy=False, jobs=1), self.folder.name)
        machine.end = time.monotonic() + 600

        def keep(result):
            kept.append(json.loads(json.dumps(result)))
            if len(kept) == 2:
                raise KeyboardInterrupt
        self.assertRaises(KeyboardInterrupt, measure.run_stage, machine, "throughput", keep)
        self.assertEqual([(r["status"], len(r["regimes"])) for r in kept], [("stopped", 1), ("stopped", 2)])
        page.check(result_with(throughput=kept[-1]))

    def test_counters_are_read_from_ncu(self):
        rows = '''
            import sys
            if any("mala" in a for a in sys.argv): sys.exit(3)
            print("==PROF== Connected"); print("large/x 1 us")
            print('"ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value","Rule Description"')
            print('"0","void chains_kernel<8, 1>(View)","Occupancy","Registers Per Thread","register/thread","168",""')
            print('"0","void chains_kernel<8, 1>(View)","Occupancy","","","","Too few warps, ""really"""')
            assert "--only-once" in sys.argv and "--launch-count" in sys.argv
        '''
        self.use_tool("ncu", rows)
        _, result = self.run_stages("counters")
        kernels = {k["name"].split("/")[1]: k for k in result["stages"]["counters"]["kernels"]}
        self.assertEqual(kernels["langevin"]["metrics"], {"Registers Per Thread": "168 register/thread"})
        self.assertIn("exit status 3", kernels["mala"]["error"])

    def test_each_sanitizer_runs_the_quick_tests(self):
        self.use_tool("compute-sanitizer", """
            import subprocess, sys
            words = sys.argv[1:]
            split = words.index("86") + 1
            status = subprocess.run(words[split:]).returncode
            sys.exit(86 if "racecheck" in words else status)
        """)
        quick, measure.QUICK = measure.QUICK, "Good*"
        self.addCleanup(setattr, measure, "QUICK", quick)
        machine = measure.Machine(argparse.Namespace(programs=self.manifest, toy=False, jobs=2), self.folder.name)
        machine.end = time.monotonic() + 600
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{self.tools}:{path}"
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        found = measure.sanitizer(machine)
        self.assertEqual({tool: outcome.get("status", "ok") for tool, outcome in found["tools"].items()},
                         {"memcheck": "ok", "racecheck": "failed", "synccheck": "ok", "initcheck": "ok"})
        self.assertEqual(found["status"], "failed")

    def test_functions_are_read_from_the_checks_and_full_size_is_asked_for(self):
        class Fake:
            toy, jobs, environment = False, 1, dict(os.environ)
            suites = staticmethod(lambda: [(str(pathlib.Path(self.folder.name) / "suite"), "*")])
            left = staticmethod(lambda: 300.0)
        pattern, measure.CHECKS = measure.CHECKS, "Good*"
        self.addCleanup(setattr, measure, "CHECKS", pattern)
        outcome = measure.checks(Fake())
        self.assertEqual(outcome["functions"], {"silu": 0.085})
        self.assertIn("size 1", outcome["cases"][0]["output"])

    def test_toy_results_are_marked_and_have_no_page(self):
        done, result = self.run_stages("--toy", "device")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertTrue(result["toy"])
        self.assertFalse((self.out / "performance-gpu.md").exists())
        self.assertRaises(page.Refused, page.check, result)

    def test_an_unknown_stage_is_refused(self):
        done, result = self.run_stages("devise")
        self.assertEqual(done.returncode, 2)
        self.assertIn("must be device", done.stdout)
        self.assertIsNone(result)


def measured(name="small/langevin/64-128-128-1/silu/fp16/chains:256/steps:1", **others):
    return {"name": name, "median_us": 4.0, "min_us": 3.5, "max_us": 5.0, "queued_us": 2.0, "chain_steps_per_second": 6.4e7,
            "GFLOP_per_second": 6400.0, "sm_mhz": 1980.0, "clock_limits": 4.0, **others}


def result_with(*regimes, **stages):
    common = {"status": "ok", "seconds": 1.0, "began": "2026-01-01T00:00:00+00:00", "toy": False, "simulated": False,
              "programs": {"version": "1.0", "commit": "abc", "architectures": "90", "compiler": "nvcc 13"}}
    all_stages = {"device": {"host": "host", "gpus": [{"name": "NVIDIA H100", "driver_version": "580"}], "ebm info": []},
                  "throughput": {"regimes": list(regimes)}, **stages}
    return {"toy": False, "simulated": False, "stages": {name: {**common, "stage": name, **s} for name, s in all_stages.items()}}


PREDICTIONS = {"device": "H100", "note": "A model.", "regimes": {
    "small/langevin/64-128-128-1/silu/fp16/chains:256/steps:1": {"us": 2.0, "target_us": 3.0, "from": "model"},
    "large/x": {"per_second": 1e9, "target_per_second": 1.5e9, "from": "model"}}}


class Bundle(unittest.TestCase):
    """Of this machine's own programs, in the place of ours."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.tree, self.bundle = (pathlib.Path(self.folder.name) / name for name in ("tree", "bundle"))
        self.tree.mkdir()
        true = shutil.which("true")
        (self.tree / "gpu_programs.json").write_text(json.dumps({
            "version": "1", "architectures": "90", "ebm": true, "regimes": shutil.which("ls"),
            "suites": [{"program": shutil.which("cat"), "filter": "*"}]}))

    def make(self, *words):
        return subprocess.run([sys.executable, str(SCRIPTS / "bundle.py"), str(self.tree), str(self.bundle), *words],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def test_programs_come_out_as_they_went_in(self):
        done = self.make()
        self.assertEqual(done.returncode, 0, done.stdout)
        manifest = measure.unpacked(self.bundle, self.tree)
        self.assertEqual(manifest.parent, self.bundle / "programs")
        programs = json.loads(manifest.read_text())
        self.assertEqual((programs["ebm"], programs["regimes"], programs["suites"][0]["program"]), ("true", "ls", "cat"))
        self.assertEqual(subprocess.run([manifest.parent / "cat", manifest], stdout=subprocess.PIPE, check=True).stdout,
                         manifest.read_bytes())
        self.assertFalse(list((manifest.parent / "lib").glob("libc.so*")))
        # It can be made again, and what was unpacked goes.
        self.assertEqual(self.make().returncode, 0)
        self.assertFalse((self.bundle / "programs").exists())
        # With everything that it runs: it gets as far as the program that is none of ours.
        done = subprocess.run([self.bundle / "gpu.sh", "device"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("no CUDA device", done.stdout)
        self.assertTrue((self.bundle / "results" / "gpu.json").exists())

    def test_one_that_is_too_large_fails(self):
        done = self.make("--most-mib", "0.01")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("more than 0.01 MiB", done.stdout)

    def test_a_folder_of_something_else_is_left_alone(self):
        self.bundle.mkdir()
        (self.bundle / "thesis.txt").write_text("mine")
        self.assertEqual(self.make().returncode, 1)
        self.assertEqual([f.name for f in self.bundle.iterdir()], ["thesis.txt"])


class Page(unittest.TestCase):
    def row(self, text, name):
        return next(line for line in text.splitlines() if line.startswith(f"| {name} |"))

    def test_no_figure_that_was_not_measured_on_a_gpu(self):
        for mark in ("simulated", "toy"):
            result = result_with(measured())
            result[mark] = True
            self.assertRaises(page.Refused, page.page, result, PREDICTIONS)
        self.assertRaises(page.Refused, page.page, result_with(), PREDICTIONS)
        result = result_with(measured())
        del result["stages"]["device"]
        self.assertRaises(page.Refused, page.page, result, PREDICTIONS)
        result = result_with(measured())
        result["stages"]["throughput"]["status"] = "failed"
        self.assertRaises(page.Refused, page.page, result, PREDICTIONS)

    def test_refusal_leaves_the_old_page(self):
        with tempfile.TemporaryDirectory() as folder:
            old, json_file = pathlib.Path(folder) / "page.md", pathlib.Path(folder) / "gpu.json"
            old.write_text("old")
            command = [sys.executable, str(SCRIPTS / "page.py"), str(json_file), "--page", str(old)]
            json_file.write_text(json.dumps({**result_with(measured()), "simulated": True}))
            self.assertEqual(subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode, 1)
            self.assertEqual(old.read_text(), "old")
            json_file.write_text(json.dumps(result_with(measured())))
            self.assertEqual(subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode, 0)
            self.assertIn("NVIDIA H100, driver 580", old.read_text())

    def test_measured_stands_beside_predicted(self):
        text = page.page(result_with(measured(), measured("large/x", chain_steps_per_second=2e9), measured("wide/y")), PREDICTIONS)
        self.assertIn("| 4 us (3.5 us .. 5 us) | 2 us | 64 M | 6.4 | 1980 | 2 us (model) | 2.00 | 3 us | not met |",
                      self.row(text, "small/langevin/64-128-128-1/silu/fp16/chains:256/steps:1"))
        self.assertIn("| 1 G (model) | 2.00 | 1.5 G | met |", self.row(text, "large/x"))
        self.assertTrue(self.row(text, "wide/y").endswith("|  |  |  |  |"))
        self.assertIn("held the clock back at times: power", text)

    def test_a_prediction_that_nothing_was_measured_for_is_said(self):
        self.assertIn("Predicted but not measured: large/x.", page.page(result_with(measured()), PREDICTIONS))

    def test_predictions_of_another_gpu_are_not_shown(self):
        result = result_with(measured())
        result["stages"]["device"]["gpus"][0]["name"] = "NVIDIA L4"
        text = page.page(result, PREDICTIONS)
        self.assertNotIn("(model)", text)
        self.assertIn("not shown beside another GPU's", text)

    def test_rivals_do_the_same_work(self):
        lines = [{"rival": "eager fp32", "version": "PyTorch 2", "case": "small/langevin/64-128-128-1/silu", "chain_steps_per_second": 5e6},
                 {"rival": "jax fp32", "case": "small/langevin/64-128-128-1/silu", "error": "not reached in time"}]
        k20 = measured("small/langevin/64-128-128-1/silu/fp16/chains:256/steps:20", chain_steps_per_second=9e7)
        text = page.page(result_with(measured(), k20, rivals={"measurements": lines}), PREDICTIONS)
        self.assertIn("| small/langevin/64-128-128-1/silu | 90 M | 5 M |", text)  # 20 steps a call, as the rivals run

    def test_failures_and_what_is_missing_are_said(self):
        text = page.page(result_with(measured(), suite={"status": "failed", "counts": {"passed": 3, "skipped": 0, "failed": 1, "not run": 0}},
                                     counters={"status": "skipped", "why": "ncu was not found"}), PREDICTIONS)
        self.assertIn("3 passed, 1 failed", self.row(text, "suite"))
        self.assertIn("ncu was not found", self.row(text, "counters"))

    def test_predictions_name_regimes_that_are_measured(self):
        """A name that no benchmark has would never be compared."""
        known = SCRIPTS.parent.parent / "bench" / "regimes.cpp"
        groups = {name.split("/")[0] for name in json.loads((SCRIPTS / "predictions.json").read_text())["regimes"]}
        self.assertLessEqual(groups, set(measure.GROUPS))
        for group in groups:
            self.assertIn(f'"{group}', known.read_text())


if __name__ == "__main__":
    unittest.main()
