#!/usr/bin/env bash
# Switches on one CPU beside independent programs, interleaved: ours, theirs, ratio, in ns per round
# trip of two switches. Pipes beside perf bench sched pipe, futexes beside a program in C.
# Usage: tests/witness/switch.sh [PAIRS]; needs a C compiler, jq, perf and a release build, or
# another program of ours in $PROBECARD.
set -euo pipefail
cd "$(dirname "$0")/../.."
pairs=${1:-5}
probecard=${PROBECARD:-${CARGO_TARGET_DIR:-target}/release/probecard}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc -O2 -pthread -o "$work/switch" tests/witness/switch.c
cpu=$(taskset -cp $$ | sed 's/.*: *//; s/[-,].*//')

perf_pipe() { taskset -c "$cpu" perf bench sched pipe -l 200000 "$@" 2>/dev/null | awk '/usecs\/op/ { print $1 * 1000 }'; }
witness() { taskset -c "$cpu" "$work/switch" "$@" 200000 | cut -d' ' -f1; }

# Theirs is the mean of what it was right before and right after ours: a shared machine has phases.
theirs() { echo "$(perf_pipe) $(perf_pipe -T) $(witness futex process) $(witness futex thread)"; }

printf '%-6s %-16s %10s %10s %7s\n' pair what 'ours ns' 'theirs ns' ratio
for pair in $(seq "$pairs"); do
    before=$(theirs)
    "$probecard" run --tier quick --only context-switch --cpu "$cpu" --out "$work/$pair" >/dev/null 2>&1
    after=$(theirs)
    ours=$("$probecard" show "$work/$pair"/*.card.jsonl --json | jq -r '.metrics as $m |
        [["pipe", "process"], ["pipe", "thread"], ["futex", "process"], ["futex", "thread"]] |
        map($m["context_switch.\(.[0]).\(.[1]).same_cpu.round_trip_ns"].value) | join(" ")')
    awk -v p="$pair" -v o="$ours" -v b="$before" -v a="$after" 'BEGIN {
        split("pipe process,pipe thread,futex process,futex thread", what, ",")
        split(o, ours, " "); split(b, before, " "); split(a, after, " ")
        for (i = 1; i <= 4; i++) {
            theirs = (before[i] + after[i]) / 2
            printf "%-6s %-16s %10.0f %10.0f %7.3f\n", p, what[i], ours[i], theirs, ours[i] / theirs
        }
    }'
done
