#!/usr/bin/env bash
# Build time, size, start-up, run times and memory of the program, against what we promise.
# Usage: scripts/speeds.sh [--no-build]; needs GNU time (/usr/bin/time) for the memory line.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

row() { printf '%-44s %12s   %s\n' "$1" "$2" "$3"; }
seconds() { local s=$EPOCHREALTIME; "$@" >/dev/null 2>&1 || { echo failed; return; }; echo "$EPOCHREALTIME $s" | awk '{ printf "%.2f", $1 - $2 }'; }

row what measured promised
if [ "${1:-}" != --no-build ]; then
    export CARGO_TARGET_DIR=$work/target
    cargo fetch --locked >/dev/null 2>&1
    row "clean release build" "$(seconds cargo build --release --locked) s" "120 s on 2 cores"
fi
program=${CARGO_TARGET_DIR:-target}/release/probecard
row "program" "$(stat -c %s "$program" | awk '{ printf "%.1f", $1 / 1e6 }') MB" "12 MB"
row "--help" "$(seconds "$program" --help) s" "0.03 s"
for tier in "quick 30" "standard 120"; do
    read -r name limit <<<"$tier"
    row "run --tier $name" "$(seconds "$program" run --tier "$name" --out "$work/$name") s" "$limit s"
    for kind in jsonl jsonl.zst; do
        row "card of $name, .$kind" "$(stat -c %s "$work/$name"/*.card.$kind | awk '{ printf "%.0f", $1 / 1e3 }') kB" \
            "$([ $kind = jsonl ] && echo 2000 || echo 250) kB"
    done
done
row "run --budget 20s" "$(seconds "$program" run --budget 20s --out "$work/budget") s" "20 s within 10 %"
if [ -x /usr/bin/time ]; then
    /usr/bin/time -f %M -o "$work/rss" "$program" run --tier quick --only branch --out "$work/rss-run" >/dev/null 2>&1
    row "memory besides the buffers" "$(tail -n 1 "$work/rss" | awk '{ printf "%.0f", $1 / 1e3 }') MB" "50 MB"
fi
