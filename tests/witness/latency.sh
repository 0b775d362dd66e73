#!/usr/bin/env bash
# Memory latency beside an independent pointer chase, interleaved: ours, theirs, ratio.
# Usage: tests/witness/latency.sh [PAIRS]; needs a C compiler, jq and a release build.
set -euo pipefail
cd "$(dirname "$0")/../.."
pairs=${1:-5}
probecard=${CARGO_TARGET_DIR:-target}/release/probecard
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc -O2 -o "$work/chase" tests/witness/chase.c
cpu=$(taskset -cp $$ | sed 's/.*: *//; s/[-,].*//')

# The ring of the last octave of our sweep: its middle in size.
middle() { jq -rs '[.[] | select(.quantity == "latency") | .params.working_set] | max / 1.414 | floor' "$1"; }

printf '%-6s %-10s %10s %10s %7s\n' pair what 'ours ns' 'theirs ns' ratio
for pair in $(seq "$pairs"); do
    "$probecard" run --tier quick --only memory-latency --cpu "$cpu" --out "$work/$pair" >/dev/null 2>&1
    card=$(echo "$work/$pair"/*.card.jsonl)
    json=$("$probecard" show "$card" --json)
    size=$(middle "$card")
    for row in "l1 16384 huge l1_ns" "l2 131072 huge l2_ns" "dram $size huge dram_ns" "dram_4k $size small dram_4k_ns"; do
        read -r name bytes pages metric <<<"$row"
        theirs=$(taskset -c "$cpu" "$work/chase" "$bytes" "$pages")
        ours=$(jq -r ".metrics[\"memory.latency.$metric\"].value" <<<"$json")
        awk -v p="$pair" -v n="$name" -v o="$ours" -v t="$theirs" \
            'BEGIN { printf "%-6s %-10s %10.2f %10.2f %7.3f\n", p, n, o, t, o / t }'
    done
done
