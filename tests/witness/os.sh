#!/usr/bin/env bash
# The kernel's prices beside an independent program in C, and the system call beside perf bench,
# interleaved: ours, theirs, ratio.
# Usage: tests/witness/os.sh [PAIRS]; needs a C compiler, jq, a build of ours (release, or the one
# that PROBECARD names), and perf for the system call's second opinion.
set -euo pipefail
cd "$(dirname "$0")/../.."
pairs=${1:-5}
probecard=${PROBECARD:-${CARGO_TARGET_DIR:-target}/release/probecard}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc -O2 -pthread -o "$work/os" tests/witness/os.c
# The least that can be started: no loader, no library.
printf 'void _start(void) { __asm__("mov $60, %%eax; xor %%edi, %%edi; syscall"); }\n' >"$work/small.c"
cc -O2 -static -nostdlib -o "$work/small" "$work/small.c"
export SMALL="$work/small"
cpu=$(taskset -cp $$ | sed 's/.*: *//; s/[-,].*//')

row() { awk -v p="$1" -v n="$2" -v o="$3" -v t="$4" 'BEGIN { printf "%-5s %-16s %11.1f %11.1f %7.3f\n", p, n, o, t, o / t }'; }

printf '%-5s %-16s %11s %11s %7s\n' pair what 'ours ns' 'theirs ns' ratio
for pair in $(seq "$pairs"); do
    "$probecard" run --tier quick --only os --cpu "$cpu" --out "$work/$pair" >/dev/null 2>&1
    json=$("$probecard" show "$work/$pair"/*.card.jsonl --json)
    ours() { jq -r ".metrics[\"os.$1_ns\"].value" <<<"$json"; }
    while read -r name theirs; do
        row "$pair" "$name" "$(ours "$name")" "$theirs"
    done < <(taskset -c "$cpu" "$work/os")
    if command -v perf >/dev/null; then
        # In short parts, of which the quickest quarter counts, as above.
        theirs=$(for _ in {1..100}; do taskset -c "$cpu" perf bench syscall basic -l 3000; done |
            awk '/usecs\/op/ { print $1 * 1000 }' | sort -g | sed -n 25p)
        row "$pair" "perf getppid" "$(ours syscall)" "$theirs"
    fi
done
