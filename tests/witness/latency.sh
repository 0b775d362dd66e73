#!/usr/bin/env bash
# Memory latency beside an independent pointer chase, interleaved: ours, theirs, ratio.
# Usage: tests/witness/latency.sh [PAIRS]; needs a C compiler, jq and a release build.
set -euo pipefail
source "$(dirname "$0")/common.sh"
pairs=${1:-5}
cc -O2 -o "$work/chase" tests/witness/chase.c

# The ring of the last octave of our sweep: its middle in size.
middle() { jq -rs '[.[] | select(.quantity == "latency") | .params.working_set] | max / 1.414 | floor' "$1"; }

heading
for pair in $(seq "$pairs"); do
    quick "$pair" memory-latency
    size=$(middle "$card")
    for row in "l1 16384 huge l1_ns" "l2 131072 huge l2_ns" "dram $size huge dram_ns" "dram_4k $size small dram_4k_ns" \
        "dram_1g $size gigantic dram_1g_ns"; do
        read -r name bytes pages metric <<<"$row"
        # Other pages than the kernel has, or none of 1 GiB reserved.
        [ "$(metrics ".[\"memory.latency.$metric\"].value")" != null ] || continue
        theirs=$(taskset -c "$cpu" "$work/chase" "$bytes" "$pages")
        row "$pair" "$name" "$(metrics ".[\"memory.latency.$metric\"].value")" "$theirs"
    done
done
