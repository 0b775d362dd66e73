#!/usr/bin/env bash
# Messages within this machine beside an independent program, interleaved: ours, theirs, ratio.
# Usage: tests/witness/net.sh [PAIRS]; needs a C compiler, jq, two CPUs and a release build.
#
# Our two ends are threads, theirs processes: a switch between them changes the address space too.
set -euo pipefail
cd "$(dirname "$0")/../.."
pairs=${1:-5}
probecard=${PROBECARD:-${CARGO_TARGET_DIR:-target}/release/probecard}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc -O2 -Wall -o "$work/net" tests/witness/net.c
read -r cpu other < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0))[:2])')

printf '%-6s %-16s %10s %10s %7s\n' pair what 'ours ns' 'theirs ns' ratio
for pair in $(seq "$pairs"); do
    "$probecard" run --tier quick --only network --cpu "$cpu" --out "$work/$pair" >/dev/null 2>&1
    json=$("$probecard" show "$work/$pair"/*.card.jsonl --json)
    for row in "tcp $cpu 1 loopback_round_trip" "tcp $other 1 loopback_two_cpus_round_trip" \
        "unix $cpu 1 unix_round_trip" "unix $other 1 unix_two_cpus_round_trip" \
        "connect $cpu 1 loopback_connect" "tcp $cpu 1024 send_1k" "tcp $cpu 2048 send_2k" \
        "tcp $cpu 1048576 send_1m"; do
        read -r via to bytes metric <<<"$row"
        theirs=$("$work/net" "$via" "$cpu" "$to" "$bytes" 100)
        ours=$(jq -r ".metrics[\"network.${metric}_ns\"].value" <<<"$json")
        awk -v p="$pair" -v n="${metric%_round_trip}" -v o="$ours" -v t="$theirs" \
            'BEGIN { printf "%-6s %-16s %10.0f %10.0f %7.3f\n", p, n, o, t, o / t }'
    done
done
