#!/usr/bin/env bash
# Build time, size, start-up, run times and memory of the program, against what we promise; ends
# badly if a promise is broken.
# Usage: scripts/speeds.sh [--no-build]; needs GNU time (/usr/bin/time) for the memory line.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

seconds() { local s=$EPOCHREALTIME; "$@" >/dev/null 2>&1 || { echo failed; return; }; echo "$EPOCHREALTIME $s" | awk '{ printf "%.2f", $1 - $2 }'; }

# row WHAT MEASURED UNIT MOST [LEAST]: what is no number keeps no promise.
broken=0
row() {
    local kept=kept
    awk -v it="$2" -v most="$4" -v least="${5-0}" \
        'BEGIN { exit !(it ~ /^[0-9.]+$/ && it + 0 <= most + 0 && it + 0 >= least + 0) }' ||
        { kept=broken broken=1; }
    printf '%-30s %10s %-2s %10s   %s\n' "$1" "$2" "$3" "${5:+$5 to }$4" "$kept"
}

printf '%-30s %10s    %10s\n' what measured promised
if [ "${1:-}" != --no-build ]; then
    export CARGO_TARGET_DIR=$work/target
    cargo fetch --locked >/dev/null 2>&1
    # On two cores.
    row "clean release build" "$(seconds cargo build --release --locked)" s 120
fi
program=${CARGO_TARGET_DIR:-target}/release/probecard
row "program" "$(stat -c %s "$program" | awk '{ printf "%.1f", $1 / 1e6 }')" MB 12
row "--help" "$(seconds "$program" --help)" s 0.03
for tier in "quick 30" "standard 110"; do
    read -r name limit <<<"$tier"
    row "run --tier $name" "$(seconds "$program" run --tier "$name" --out "$work/$name")" s "$limit"
    for kind in "jsonl 2000" "jsonl.zst 250"; do
        read -r ending most <<<"$kind"
        size=$(stat -c %s "$work/$name"/*.card."$ending" | awk '{ printf "%.0f", $1 / 1e3 }')
        row "card of $name, .$ending" "$size" kB "$most"
    done
done
row "run --budget 20s" "$(seconds "$program" run --budget 20s --out "$work/budget")" s 22 18
if [ -x /usr/bin/time ]; then
    /usr/bin/time -f %M -o "$work/rss" "$program" run --tier quick --only branch --out "$work/rss-run" >/dev/null 2>&1
    row "memory besides the buffers" "$(tail -n 1 "$work/rss" | awk '{ printf "%.0f", $1 / 1e3 }')" MB 50
fi
exit "$broken"
