#!/usr/bin/env bash
# Switches on one CPU beside independent programs, interleaved: ours, theirs, ratio, in ns per round
# trip of two switches. Pipes beside perf bench sched pipe, futexes beside a program in C.
# Usage: tests/witness/switch.sh [PAIRS]; needs a C compiler, jq, perf and a release build, or
# another program of ours in $PROBECARD.
set -euo pipefail
source "$(dirname "$0")/common.sh"
pairs=${1:-5}
cc -O2 -pthread -o "$work/switch" tests/witness/switch.c

perf_pipe() { taskset -c "$cpu" perf bench sched pipe -l 200000 "$@" 2>/dev/null | awk '/usecs\/op/ { print $1 * 1000 }'; }
witness() { taskset -c "$cpu" "$work/switch" "$@" 200000 | cut -d' ' -f1; }

# Theirs is the mean of what it was right before and right after ours: a shared machine has phases.
theirs() { echo "$(perf_pipe) $(perf_pipe -T) $(witness futex process) $(witness futex thread)"; }

heading
for pair in $(seq "$pairs"); do
    before=$(theirs)
    quick "$pair" context-switch
    after=$(theirs)
    field=0
    for what in pipe.process pipe.thread futex.process futex.thread; do
        field=$((field + 1))
        their=$(printf '%s\n' "$before" "$after" | awk -v f=$field '{ sum += $f } END { print sum / 2 }')
        row "$pair" "$what" "$(metrics ".[\"context_switch.$what.same_cpu.round_trip_ns\"].value")" "$their"
    done
done
