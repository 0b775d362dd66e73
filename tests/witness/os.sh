#!/usr/bin/env bash
# The kernel's prices beside an independent program in C, and the system call beside perf bench,
# interleaved: ours, theirs, ratio.
# Usage: tests/witness/os.sh [PAIRS]; needs a C compiler, jq, a build of ours (release, or the one
# that PROBECARD names), and perf for the system call's second opinion.
set -euo pipefail
source "$(dirname "$0")/common.sh"
pairs=${1:-5}
cc -O2 -pthread -o "$work/os" tests/witness/os.c
# The least that can be started: no loader, no library.
cat >"$work/small.c" <<'C'
void _start(void) { __asm__("mov $60, %eax; xor %edi, %edi; syscall"); }
C
cc -O2 -static -nostdlib -o "$work/small" "$work/small.c"
export SMALL="$work/small"

heading
for pair in $(seq "$pairs"); do
    quick "$pair" os
    ours() { metrics ".[\"os.$1_ns\"].value"; }
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
