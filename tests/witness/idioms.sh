#!/usr/bin/env bash
# Calls, allocation, memory order, system calls and Snappy beside an independent program in C++,
# interleaved: ours, theirs, ratio. The Snappy blocks are the same bytes.
# Usage: tests/witness/idioms.sh [PAIRS]; needs a C++ compiler, libsnappy-dev, jq and a release build.
set -euo pipefail
source "$(dirname "$0")/common.sh"
pairs=${1:-5}
c++ -O2 -std=c++17 -o "$work/idioms" tests/witness/idioms.cc -lsnappy -pthread
WITNESS_DATA=$work cargo test -q -p probecard-probes --lib -- --ignored write_the_data >/dev/null

# The points of one way: the median over the rounds of their lower quartiles. Later points of a
# series give its number instead of what they share.
point() {
    jq -rs --arg quantity "$2" --arg how "$3" '
        def at(q): sort | .[((length - 1) * q) | floor];
        [.[] | select(.kind == "point")] |
        (map(select(.quantity) | { "\(.series)": . }) | add) as $series |
        [.[] | $series["\(.series)"] + . | select(.quantity == $quantity and (.samples | length) > 0)
             | select(($how | split(" ")) - [.params[] | tostring] == [])
             | .samples | at(0.25)] | at(0.5)' "$1"
}

heading
for pair in $(seq "$pairs"); do
    quick "$pair" idioms compress
    taskset -c "$cpu" "$work/idioms" "$work/data.json" "$work/data.text" >"$work/theirs"
    while IFS=, read -r theirs quantity how; do
        their=$(awk -v name="$theirs" '$1 == name { print $2 }' "$work/theirs")
        row "$pair" "$theirs" "$(point "$card" "$quantity" "$how")" "$their"
    done <<ROWS
call_virtual,call,dyn
call_virtual_random,call,dyn_random
alloc_64,alloc,heap_64
alloc_4k,alloc,heap_4k
rows,matrix,rows
columns,matrix,columns
write_1,write,unbuffered
compress.json,compress,json 1024
decompress.json,decompress,json 1024
ratio.json,ratio,json 1024
compress.text,compress,text 1024
decompress.text,decompress,text 1024
ratio.text,ratio,text 1024
ROWS
done
