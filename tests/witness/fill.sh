#!/usr/bin/env bash
# What memory is filled with, beside an independent program in C: first its table of contents and ways
# of writing, by one thread and by all; then our stores past the caches of something and of zeros
# beside its own, interleaved: ours, theirs, ratio, in GB/s.
# Usage: tests/witness/fill.sh [PAIRS [MIB]]; needs a C compiler, jq and a release build.
set -euo pipefail
source "$(dirname "$0")/common.sh"
pairs=${1:-5}
mib=${2:-512}
cc -O2 -pthread -o "$work/fill" tests/witness/fill.c

echo 'threads way content over GB/s'
for threads in 1 "$(nproc)"; do
    "$work/fill" "$mib" "$pairs" "$threads"
done

heading | sed 's/ ns/ GB\/s/g'
for pair in $(seq "$pairs"); do
    quick "$pair" memory-bandwidth
    taskset -c "$cpu" "$work/fill" "$mib" 1 >"$work/theirs"
    for row in "write_nt pattern" "write_nt_zero zeros"; do
        read -r ours content <<<"$row"
        theirs=$(awk -v c="$content" '$2 == "store_nt" && $3 == c && $4 == "same" { print $5 }' "$work/theirs")
        row "$pair" "$ours" "$(metrics ".[\"memory.bandwidth.$ours.dram_gbs\"].value")" "$theirs"
    done
done
