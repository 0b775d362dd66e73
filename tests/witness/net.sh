#!/usr/bin/env bash
# Messages within this machine beside an independent program, interleaved: ours, theirs, ratio.
# Usage: tests/witness/net.sh [PAIRS]; needs a C compiler, jq, two CPUs and a release build.
#
# Our two ends are threads, theirs processes: a switch between them changes the address space too.
set -euo pipefail
source "$(dirname "$0")/common.sh"
pairs=${1:-5}
cc -O2 -Wall -o "$work/net" tests/witness/net.c
other=$(python3 -c 'import os; print(sorted(os.sched_getaffinity(0))[1])')

heading
for pair in $(seq "$pairs"); do
    quick "$pair" network
    for row in "tcp $cpu 1 loopback_round_trip" "tcp $other 1 loopback_two_cpus_round_trip" \
        "unix $cpu 1 unix_round_trip" "unix $other 1 unix_two_cpus_round_trip" \
        "connect $cpu 1 loopback_connect" "tcp $cpu 1024 send_1k" "tcp $cpu 2048 send_2k" \
        "tcp $cpu 1048576 send_1m"; do
        read -r via to bytes metric <<<"$row"
        theirs=$("$work/net" "$via" "$cpu" "$to" "$bytes" 100)
        ours=$(metrics ".[\"network.${metric}_ns\"].value")
        row "$pair" "${metric%_round_trip}" "$ours" "$theirs"
    done
done
