#!/usr/bin/env bash
# The card beside Criterion over the same kernels, in the same minutes: cycles of an operation by
# ours, by theirs, and the ratio. Usage: tests/witness/criterion.sh [PAIRS [PROBE]...]; needs python3
# and a release build.
#
# Theirs is the lower quartile of Criterion's samples, which is what the card takes too, and Criterion
# waits while a hyperthread sibling is at work; ours the figure of the card, from a run of that probe
# alone. Both stay on the same CPU. Pairs whose card says that a figure is noisy do not count for it:
# n says how many are left. Core-bound kernels are expected within 3 %, main memory within 10 %; an L3
# that others use as well has no bound.
set -euo pipefail
source "$(dirname "$0")/common.sh"
cargo bench --quiet -p probecard-probes --bench kernels --no-run
python3 - "$probecard" "$work" "$cpu" "${1:-3}" "${@:2}" <<'PYTHON'
import json, os, statistics, subprocess, sys
from collections import defaultdict
from pathlib import Path

program, work, cpu, pairs = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

LANES = {"scalar": 1, "sse": 4, "avx": 8, "avx512": 16}
CORE, MEMORY = 3, 10


def same(id):
    """A metric of ours beside a bench."""
    return lambda card: card[id]


def rows(probe):
    """Metric, ours from the card, theirs from the benches, the difference allowed in percent."""
    if probe == "clock":
        # By the definition of our clock a multiplication takes two cycles more than an addition.
        mul = lambda card: card["clock.add_cycles"] * card["clock.mul_add_ratio"]
        return [("clock.add_cycles", same("clock.add_cycles"), lambda b: b["add"], CORE),
                ("clock.mul_add_ratio", mul, lambda b: b["mul"], CORE)]
    if probe == "memory-latency":
        allowed = {"l1": CORE, "l2": CORE, "l3": None, "dram": MEMORY}
        return [(id, same(id), lambda b, level=level: b[level], most)
                for level, most in allowed.items()
                for id in [f"memory.latency.{level}_cycles"]]
    if probe == "branch":
        found = [(id, same(id), lambda b, bench=bench: b[bench], CORE)
                 for id, bench in [("branch.predicted_cycles", "alternating"),
                                   ("branch.branch_free_cycles", "branch_free"),
                                   ("branch.taken_cycles", "taken"),
                                   ("branch.not_taken_cycles", "not_taken")]]
        # Half of the random branches fail.
        cost = lambda b: 2 * (b["random"] - b["alternating"])
        return found + [("branch.mispredict_cycles", same("branch.mispredict_cycles"), cost, CORE)]
    if probe == "store-forwarding":
        return [(id, same(id), lambda b, bench=bench: b[bench] - b["multiply"], CORE)
                for id, bench in [("store_forward.ok_cycles", "same"),
                                  ("store_forward.fail_cycles", "overlap")]]
    if probe == "core-to-core":
        id = "atomics.fetch_add_owned_cycles"
        return [(id, same(id), lambda b: b["fetch_add"], CORE)]
    if probe == "simd-compute":
        found = []
        for width, lanes in LANES.items():
            fma, add = f"simd.fma.f32.{width}", f"simd.add.f32.{width}"
            flops = lambda card, fma=fma, lanes=lanes: 2 * lanes / card[f"{fma}.flops_per_cycle"]
            rate = lambda card, add=add: 1 / card[f"{add}.instructions_per_cycle"]
            of = lambda name, width=width: lambda b: b[f"{name}_{width}"]
            found += [(f"{add}.latency_cycles", same(f"{add}.latency_cycles"), of("add_latency"), CORE),
                      (f"{add}.instructions_per_cycle", rate, of("add_rate"), CORE),
                      (f"{fma}.latency_cycles", same(f"{fma}.latency_cycles"), of("fma_latency"), CORE),
                      (f"{fma}.flops_per_cycle", flops, of("fma_rate"), CORE)]
        return found
    if probe == "memory-bandwidth":
        # A line of 64 bytes, at the best width.
        found = []
        for kernel in ("read", "copy", "memcpy"):
            id = f"memory.bandwidth.{kernel}.l1_bytes_per_cycle"
            best = lambda b, kernel=kernel: min(v for k, v in b.items() if k.startswith(kernel + "_"))
            found.append((id, lambda card, id=id: 64 / card[id], best, CORE))
        return found
    sys.exit(f"no kernel of {probe} is in Criterion's hands")


def ours(probe, pair):
    out = work / f"{probe}-{pair}"
    subprocess.run([program, "run", "--tier", "standard", "--only", probe, "--cpu", cpu, "--out", out],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    card = next(out.glob("*.card.jsonl"))
    said = subprocess.run([program, "show", card, "--json"], check=True, capture_output=True)
    metrics = json.loads(said.stdout)["metrics"]
    return {id: m["value"] for id, m in metrics.items() if m["state"] == "ok"}


def theirs(probe, pair):
    home = work / f"criterion-{probe}-{pair}"
    subprocess.run(["taskset", "-c", cpu, "cargo", "bench", "--quiet", "-p", "probecard-probes",
                    "--bench", "kernels", "--", f"^{probe}/"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env=os.environ | {"CRITERION_HOME": str(home)})
    return {file.parts[-3]: lower_quartile(json.loads(file.read_text()))
            for file in home.glob("*/*/new/sample.json")}


def lower_quartile(sample):
    each = [took / ops for took, ops in zip(sample["times"], sample["iters"])]
    return statistics.quantiles(each, n=4)[0]


probes = sys.argv[5:] or ["clock", "memory-latency", "branch", "store-forwarding", "core-to-core",
                          "simd-compute", "memory-bandwidth"]
seen, allowed = defaultdict(list), {}
for pair in range(pairs):
    for probe in probes:
        card, benches = ours(probe, pair), theirs(probe, pair)
        for name, our, their, most in rows(probe):
            allowed[name] = most
            try:
                both = our(card), their(benches)
                seen[name].append(both)
            except KeyError:
                pass  # Noisy, or not there on this machine.

print(f"{'metric':44}  n    ours  theirs  ratio   medians, cycles of one operation")
for name, both in seen.items():
    our, their = (statistics.median(side) for side in zip(*both))
    most = allowed[name]
    beyond = most is not None and abs(our / their - 1) * 100 > most
    note = f"   beyond {most} %" if beyond else ""
    print(f"{name:44} {len(both):2} {our:7.3f} {their:7.3f} {our / their:6.3f}{note}")
for name in allowed.keys() - seen.keys():
    print(f"{name:44}  0   noisy in every card, or not there on this machine")
PYTHON
