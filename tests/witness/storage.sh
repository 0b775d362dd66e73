#!/usr/bin/env bash
# Storage beside fio, on the very same file, interleaved: medians of ours, theirs, ratio.
# Usage: tests/witness/storage.sh [PAIRS [DIR]]; needs fio, python3 and a release build.
#
# Our file has no name; it is kept open here by way of /proc when its round is over, and fio reads
# and writes it there. fio's durable write is the sum of its medians of write and sync.
set -euo pipefail
source "$(dirname "$0")/common.sh"
python3 - "$probecard" "$work" "${1:-5}" "${2:-$PWD}" <<'PYTHON'
import json, os, statistics, subprocess, sys, time
from pathlib import Path

program, work, pairs, scratch = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
cpu = str(min(os.sched_getaffinity(0)))


def nameless(pid):
    """The file of the child that measures, opened once more."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        for fd in Path(f"/proc/{child}/fd").iterdir():
            target = os.readlink(fd)
            if target.startswith(scratch) and target.endswith("(deleted)"):
                return os.open(fd, os.O_RDWR)
    return None


def ours(pair):
    """Quantiles of the last round, and its file."""
    out = work / str(pair)
    run = subprocess.Popen([program, "run", "--tier", "quick", "--only", "storage", "--cpu", cpu,
                            "--scratch", scratch, "--out", out],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    file = None
    while run.poll() is None:
        try:
            found = nameless(run.pid)
        except OSError:
            found = None
        if found is not None:
            if file is not None:
                os.close(file)
            file = found
        time.sleep(0.05)
    lines = next(out.glob("*.card.jsonl")).read_text().splitlines()
    points = [p for p in map(json.loads, lines) if p["kind"] == "point"]
    # Later points of a series give its number instead of what they share.
    series = {p["series"]: p for p in points if "quantity" in p}
    last = [series[p["series"]] | p for p in points if p["round"] == 2]

    def value(quantity, **params):
        return next(statistics.median(p["samples"]) for p in last
                    if p["quantity"] == quantity and p.get("params", {}) == params)

    return file, {
        "4k random p50": value("read_4k_random"),
        "4k random p99": value("read_4k_tail", per_mille=990),
        "1m sequential p50": value("read_1m_sequential"),
        "fsync p50": value("durable_write", call="fsync"),
        "fdatasync p50": value("durable_write", call="fdatasync"),
    }


def fio(file, seconds, **options):
    size = os.fstat(file).st_size
    options = {"name": "x", "filename": f"/proc/{os.getpid()}/fd/{file}", "size": size,
               "ioengine": "psync", "iodepth": 1, "direct": 1, "time_based": 1,
               "runtime": f"{seconds}ms", "cpus_allowed": cpu, "output-format": "json",
               "percentile_list": "50:99", "refill_buffers": 1, "allow_file_create": 0} | options
    text = subprocess.run(["fio", *[f"--{k}={v}" for k, v in options.items()]], check=True,
                          capture_output=True, text=True).stdout
    return json.loads(text[text.index("{"):])["jobs"][0]


def theirs(file):
    at = lambda part, p: part["percentile"][f"{p}.000000"]
    random = fio(file, 400, rw="randread", bs="4k")["read"]["clat_ns"]
    order = fio(file, 300, rw="read", bs="1m")["read"]["clat_ns"]
    found = {"4k random p50": at(random, 50), "4k random p99": at(random, 99),
             "1m sequential p50": at(order, 50)}
    for call in ("fsync", "fdatasync"):
        job = fio(file, 200, rw="randwrite", bs="4k", **{call: 1})
        found[f"{call} p50"] = at(job["write"]["clat_ns"], 50) + at(job["sync"]["lat_ns"], 50)
    return found


print(f"{'pair':6}{'what':20}{'ours µs':>12}{'theirs µs':>12}{'ratio':>9}")
ratios = {}
for pair in range(1, pairs + 1):
    # What others have written must not be on its way to the disk while one of the two measures.
    os.sync()
    time.sleep(0.5)
    file, own = ours(pair)
    other = theirs(file)
    os.close(file)
    for what, ns in own.items():
        ratios.setdefault(what, []).append(ns / other[what])
        print(f"{pair:<6}{what:20}{ns / 1e3:12.1f}{other[what] / 1e3:12.1f}{ns / other[what]:9.3f}",
              flush=True)
for what, all_ratios in ratios.items():
    print(f"{'median':6}{what:20}{statistics.median(all_ratios):33.3f}")
PYTHON
