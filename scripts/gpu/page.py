#!/usr/bin/env python3
"""Makes docs/performance-gpu.md from what scripts/gpu.sh measured: measured beside predicted.

    page.py OUT/gpu.json [--predictions FILE] [--page docs/performance-gpu.md]

Refuses a result of a simulated device or of toy size, and one without throughput: no page shows a figure that was not measured
on a GPU. Python's standard library only.
"""
import argparse
import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "performance-gpu.md"
# nvmlClocksEventReasons: why a clock is not higher.
LIMITS = {0x1: "idle", 0x2: "set by an application", 0x4: "power", 0x8: "hardware slowdown", 0x20: "thermal (software)",
          0x40: "thermal (hardware)", 0x80: "power brake"}


class Refused(Exception):
    pass


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(r) + " |" for r in rows), ""]


def short(value):
    for letter, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {letter}"
    return f"{value:.3g}"


def microseconds(value):
    return f"{value / 1e6:.3g} s" if value >= 1e6 else f"{value / 1e3:.3g} ms" if value >= 1e3 else f"{value:.3g} us"


def rate_of(regime):
    return next((v for k, v in regime.items() if k.endswith("steps_per_second") or k == "points_per_second"), None)


def key_of(name):
    """What a rival's case is called: group, sampler, network, activation."""
    return "/".join(name.split("/")[:4])


def check(result):
    if result.get("simulated") or result.get("toy"):
        raise Refused("this is the result of a simulated device or of toy size: no measurement")
    stages = result.get("stages", {})
    for name in ("device", "throughput"):
        if stages.get(name, {}).get("status") not in ("ok", "incomplete", "stopped"):
            raise Refused(f"there is no result of the stage {name}")
    if not stages["throughput"].get("regimes"):
        raise Refused("the stage throughput measured nothing")
    return stages


def device_name(stages):
    gpus = stages["device"].get("gpus")
    if gpus:
        return f"{gpus[0]['name']}, driver {gpus[0]['driver_version']}"
    return next((line for line in stages["device"]["ebm info"] if "cuda:0" in line), "a GPU").strip()


def stage_rows(stages):
    for name, stage in stages.items():
        what = stage.get("why", "")
        if "counts" in stage:
            what = ", ".join(f"{n} {status}" for status, n in stage["counts"].items() if n)
        if "tools" in stage and name == "sanitizer":
            what = "; ".join(f"{tool}: {outcome.get('status', 'no error')} in {outcome['counts']['passed']} tests"
                             for tool, outcome in stage["tools"].items())
        if stage.get("problems"):
            what = "; ".join(problem.splitlines()[0][:120] for problem in stage["problems"])
        yield [name, stage["status"], f"{stage['seconds']:.0f} s", stage["began"], what.replace("|", "/").replace("\n", " ")[:400]]


def beside(regime, prediction):
    """Predicted, measured over predicted, target and whether it is met; by time or by rate, as the prediction has it."""
    if prediction is None:
        return ["", "", "", ""]
    by_time = "us" in prediction
    measured = regime["median_us"] if by_time else rate_of(regime)
    predicted = prediction["us" if by_time else "per_second"]
    target = prediction.get("target_us" if by_time else "target_per_second")
    form = microseconds if by_time else short
    met = "" if target is None else "met" if (measured <= target if by_time else measured >= target) else "not met"
    return [f"{form(predicted)} ({prediction['from']})", f"{measured / predicted:.2f}", "" if target is None else form(target), met]


def regimes(stages, predictions):
    rows = []
    for r in stages["throughput"]["regimes"]:
        rows.append([r["name"], f"{microseconds(r['median_us'])} ({microseconds(r['min_us'])} .. {microseconds(r['max_us'])})",
                     microseconds(r["queued_us"]), short(rate_of(r) or 0),
                     f"{r['GFLOP_per_second'] / 1e3:.3g}" if "GFLOP_per_second" in r else "",
                     f"{r['sm_mhz']:.0f}" if "sm_mhz" in r else "not recorded", *beside(r, predictions["regimes"].get(r["name"]))])
    return table(["regime", "one launch: median (min .. max)", "host", "per second", "TFLOP/s", "SM MHz", "predicted", "measured / predicted",
                  "target", ""], rows)


def clock_limits(stages):
    seen = set()
    for r in stages["throughput"]["regimes"]:
        seen |= {words for bit, words in LIMITS.items() if int(r.get("clock_limits", 0)) & bit}
    return seen - {"idle"}


def rivals(stages):
    stage = stages.get("rivals", {})
    measured = [line for line in stage.get("measurements", []) if "chain_steps_per_second" in line]
    if not measured:
        return []
    ours = {}
    for r in stages["throughput"]["regimes"]:
        words = r["name"].split("/")
        if len(words) > 4 and words[0] in ("small", "large", "training", "annealed", "wide") and not (words[0] == "small" and words[-1] == "steps:1"):
            ours.setdefault(key_of(r["name"]), {})[words[4]] = rate_of(r)
    names = list(dict.fromkeys(line["rival"] for line in measured))
    cases = list(dict.fromkeys(line["case"] for line in measured))
    rate = {(line["case"], line["rival"]): line["chain_steps_per_second"] for line in measured}
    precisions = [p for p in ("fp32", "fp16x3", "fp16") if any(p in of for of in ours.values())]
    rows = []
    for case in cases:
        found = [short(ours.get(case, {})[p]) if p in ours.get(case, {}) else "" for p in precisions]
        found += [short(rate[case, name]) if (case, name) in rate else "" for name in names]
        rows.append([case, *found])
    versions = sorted({line["version"] for line in measured})
    lines = ["## Beside other software", "",
             f"Chain-steps per second of the same work: {', '.join(versions)}. `eager`, `graph` (CUDA graphs) and `compile` (torch.compile) are "
             "PyTorch's; small batches run 20 steps a call. An empty cell was not measured: not reached in time, or it failed (the JSON says which).", ""]
    return lines + table(["case", *(f"ebmcuda {p}" for p in precisions), *names], rows)


def functions(stages):
    found = stages.get("checks", {}).get("functions")
    if not found:
        return []
    rows = [[name, f"{share:.3f}"] for name, share in found.items()]
    return ["## Approximate functions", "", "The largest error over all 2^32 inputs, as a share of the bound that the source states.", "",
            *table(["function", "error / bound"], rows)]


def counters(stages):
    kernels = [k for k in stages.get("counters", {}).get("kernels", []) if "metrics" in k]
    if not kernels:
        return []
    wanted = ["Duration", "SM Frequency", "Compute (SM) Throughput", "Memory Throughput", "L1/TEX Cache Throughput", "Registers Per Thread",
              "Achieved Occupancy", "Executed Ipc Active", "Warp Cycles Per Issued Instruction"]
    wanted = [name for name in wanted if any(name in k["metrics"] for k in kernels)]
    rows = [[k["name"], *(k["metrics"].get(name, "") for name in wanted)] for k in kernels]
    return ["## Counters (Nsight Compute)", "", "Clocks as they were (`--clock-control none`); the JSON has all metrics.", "",
            *table(["launch", *wanted], rows)]


def page(result, predictions):
    stages = check(result)
    programs = stages["throughput"]["programs"]
    commit = f", commit {programs['commit']}" if programs.get("commit") else ""
    name = device_name(stages)
    lines = ["# Performance on a GPU, measured", "",
             f"Measured by `scripts/gpu.sh` on {name}; ebmcuda {programs['version']}{commit}, {programs['compiler']}, machine code for "
             f"{programs['architectures']}. Host: {stages['device']['host']}. [performance.md](performance.md) has the paths and what limits them. This page is "
             "made by `scripts/gpu/page.py` from one JSON file; do not edit it.", "",
             *table(["stage", "", "took", "began (UTC)", ""], stage_rows(stages)),
             "## Regimes", "",
             "Times are of CUDA events around launches through the public handles; medians of at least 20. A launch is a call of `Chains::run`, "
             "`Energy::gradient` or `values`, one training iteration, or one annealing. Small batches are queued 20 at a time while the stream is held, so "
             "that the GPU runs them back to back; `host` is what queuing one takes (of a training or annealing, the host's time of all of it). "
             "`per second` counts chain-steps (points, for energies). The SM clock was read while the GPU worked.", ""]
    predicted_of = predictions["device"]
    if predicted_of in name:
        lines += [predictions["note"], ""]
        used = predictions
    else:
        lines += [f"Predictions exist for {predicted_of} only, and are not shown beside another GPU's figures.", ""]
        used = {"regimes": {}}
    lines += regimes(stages, used)
    measured = {r["name"] for r in stages["throughput"]["regimes"]}
    missing = [name for name in used["regimes"] if name not in measured]
    if missing:
        lines += [f"Predicted but not measured: {', '.join(missing)}.", ""]
    limits = clock_limits(stages)
    if limits:
        lines += [f"The driver named what held the clock back at times: {', '.join(sorted(limits))}.", ""]
    lines += rivals(stages) + functions(stages) + counters(stages)
    return "\n".join(lines).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=pathlib.Path)
    parser.add_argument("--predictions", type=pathlib.Path, default=HERE / "predictions.json")
    parser.add_argument("--page", type=pathlib.Path, default=PAGE)
    arguments = parser.parse_args()
    try:
        text = page(json.loads(arguments.result.read_text()), json.loads(arguments.predictions.read_text()))
    except Refused as reason:
        sys.exit(f"page.py: {arguments.result}: {reason}")
    beside_it = arguments.page.with_name(arguments.page.name + ".part")
    beside_it.write_text(text)
    os.replace(beside_it, arguments.page)
    print(arguments.page)


if __name__ == "__main__":
    main()
