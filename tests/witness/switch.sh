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

printf '%-6s %-16s %10s %10s %7s\n' pair what 'ours ns' 'theirs ns' ratio
for pair in $(seq "$pairs"); do
    "$probecard" run --tier quick --only context-switch --cpu "$cpu" --out "$work/$pair" >/dev/null 2>&1
    json=$("$probecard" show "$work/$pair"/*.card.jsonl --json)
    while read -r how kind theirs; do
        ours=$(jq -r ".metrics[\"context_switch.$how.$kind.same_cpu.round_trip_ns\"].value" <<<"$json")
        awk -v p="$pair" -v n="$how $kind" -v o="$ours" -v t="$theirs" \
            'BEGIN { printf "%-6s %-16s %10.0f %10.0f %7.3f\n", p, n, o, t, o / t }'
    done <<EOF
pipe process $(perf_pipe)
pipe thread $(perf_pipe -T)
futex process $(witness futex process)
futex thread $(witness futex thread)
EOF
done
