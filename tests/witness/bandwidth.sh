#!/usr/bin/env bash
# Memory bandwidth beside likwid-bench and stress-ng, interleaved: medians of ours, theirs, ratio.
# Usage: tests/witness/bandwidth.sh [PAIRS [l1|l2|dram|all]...]; needs likwid-bench, python3 and a
# release build, stress-ng for the last row of all threads.
#
# Both count the bytes that the code asks for. likwid-bench gives the mean over its whole run, so
# ours is the median of the samples, not the upper quartile that the card shows; it is that of the
# best size we measured in the level. likwid's arrays lie in 4 KiB pages, ours in huge ones where
# the kernel gives them.
set -euo pipefail
source "$(dirname "$0")/common.sh"
python3 - "$probecard" "$work" "${1:-5}" "${@:2}" <<'PYTHON'
import json, re, statistics, subprocess, sys
from collections import defaultdict
from pathlib import Path

program, work, pairs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
groups = sys.argv[4:] or ["l1", "l2", "dram", "all"]

# Their size of all arrays together, and laps that last a quarter of a second.
SIZES = {"l1": ("24kB", 1_500_000), "l2": ("512kB", 40_000), "dram": ("1GB", 4)}
# Our kernel, theirs up to the width, theirs after it.
KERNELS = [("read", "load", ""), ("write", "store", ""), ("copy", "copy", ""),
           ("triad", "stream", "_fma"), ("write_nt", "store_mem", ""), ("copy_nt", "copy_mem", "")]


def rows(group):
    if group == "all":
        return [(k, "avx512", f"{t}_avx512{e}") for k, t, e in KERNELS]
    found = []
    for kernel, test, ending in KERNELS:
        if kernel.endswith("_nt") and group != "dram":
            continue
        for width in ("sse", "avx", "avx512"):
            fused = "" if width == "sse" else ending
            found.append((kernel, width, f"{test}_{width}{fused}"))
    return found


def ours(pair):
    out = work / str(pair)
    subprocess.run([program, "run", "--tier", "quick", "--only", "memory-bandwidth", "--out", out],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    best = defaultdict(float)
    for line in next(out.glob("*.card.jsonl")).read_text().splitlines():
        point = json.loads(line)
        params = point.get("params", {})
        if point["kind"] != "point" or "level" not in params or not point["samples"]:
            continue
        if point.get("state", "ok") != "ok":
            continue
        group = "all" if "cpus" in params else params["level"]
        key = (group, params["kernel"], params.get("width"), point["round"])
        best[key] = max(best[key], 1 / statistics.median(point["samples"]))
    rounds = defaultdict(list)
    for (group, kernel, width, _), rate in best.items():
        rounds[group, kernel, width].append(rate)
    return {key: statistics.median(rates) for key, rates in rounds.items()}


def theirs(group, test):
    threads = 2 if group == "all" else 1
    size, laps = SIZES["dram" if group == "all" else group]
    command = ["likwid-bench", "-t", test, "-w", f"N:{size}:{threads}", "-i", str(laps)]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    return float(re.search(r"MByte/s:\s*([\d.]+)", said)[1]) / 1000


def stressed():
    try:
        said = subprocess.run(["stress-ng", "--stream", "2", "--stream-l3-size", "32M", "-t", "5"],
                              capture_output=True, text=True)
    except FileNotFoundError:
        return None
    rates = re.findall(r"memory rate:\s*([\d.]+) MB", said.stdout + said.stderr)
    return sum(map(float, rates)) / 1000 if rates else None


seen = defaultdict(list)
for pair in range(pairs):
    mine = ours(pair)
    for group in groups:
        for kernel, width, test in rows(group):
            their = theirs(group, test)
            our = mine.get((group, kernel, width))
            if our:
                seen[group, kernel, width, test].append((our, their))
    if "all" in groups and (their := stressed()) and ("all", "triad", "avx512") in mine:
        both = mine["all", "triad", "avx512"], their
        seen["all", "triad", "avx512", "stress-ng --stream"].append(both)

print("level kernel   width   theirs is             n    ours  theirs  ratio   medians, GB/s")
for (group, kernel, width, test), both in seen.items():
    our, their = (statistics.median(side) for side in zip(*both))
    print(f"{group:5} {kernel:8} {width:7} {test:20} {len(both):2} {our:7.1f} {their:7.1f} {our / their:6.3f}")
PYTHON
