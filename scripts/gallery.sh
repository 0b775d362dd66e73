#!/usr/bin/env bash
# Pages and pictures of all cards at hand in one directory, with an index to look through: how does a
# change look on a machine with 512 CPUs, on Arm, where much was left out? Nothing of it is committed.
# Usage: scripts/gallery.sh DIR [CARD...]; CARDs besides those of the repository.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: scripts/gallery.sh DIR [CARD...]" >&2; exit 2; }
dir=$(mkdir -p "$1" && cd "$1" && pwd)
shift
more=()
for card in "$@"; do more+=("$(realpath "$card")"); done
cd "$(dirname "$0")/.."

cargo build --locked --example cards --bin probecard
target=${CARGO_TARGET_DIR:-target}/debug
mkdir -p "$dir/cards"
"$target/examples/cards" "$dir/cards"

{
    echo '<!doctype html><meta charset="utf-8"><title>probecard gallery</title>'
    echo '<style>body{font:16px sans-serif;margin:2em}img{max-width:100%;border:1px solid #ccc}'
    echo 'main{display:grid;grid-template-columns:repeat(auto-fill,minmax(480px,1fr));gap:2em}</style><main>'
} >"$dir/index.html"
for card in reports/sample/*.card.jsonl.zst card/tests/cards/*.card.jsonl.zst "$dir"/cards/*.card.jsonl "${more[@]}"; do
    name=$(basename "$card")
    name=${name%.zst} name=${name%.card.jsonl}
    "$target/probecard" report "$card" --out "$dir/$name" --force >/dev/null
    "$target/probecard" show "$card" --all >"$dir/$name/card.txt" || true
    picture="no picture: nothing to draw"
    [ -e "$dir/$name/card.png" ] && picture="<img src=\"$name/card.png\" alt=\"$name\">"
    echo "<div><h2>$name</h2><a href=\"$name/report.html\">$picture</a>" \
        "<p><a href=\"$name/report.html\">page</a> · <a href=\"$name/card.txt\">terminal</a></p></div>" >>"$dir/index.html"
    echo "$name"
done
echo '</main>' >>"$dir/index.html"
echo "$dir/index.html"
