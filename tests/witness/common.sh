# shellcheck shell=bash
# What the witnesses share, to be sourced. Sets `probecard`, the release build or what $PROBECARD
# names; `work`, a folder that vanishes; and `cpu`, the first one we may use.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
probecard=${PROBECARD:-${CARGO_TARGET_DIR:-target}/release/probecard}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cpu=$(taskset -cp $$ | sed 's/.*: *//; s/[-,].*//')

# quick PAIR PROBE...: a quick run of these probes; `card` is what it left.
quick() {
    local out=$work/$1
    shift
    "$probecard" run --tier quick "${@/#/--only=}" --cpu "$cpu" --out "$out" >/dev/null 2>&1
    card=$(echo "$out"/*.card.jsonl)
}

# metrics FILTER: of the metrics of `card`, by id.
metrics() {
    "$probecard" show "$card" --json | jq -r ".metrics | $1"
}

heading() {
    printf '%-5s %-20s %12s %12s %7s\n' pair what 'ours ns' 'theirs ns' ratio
}

# row PAIR WHAT OURS THEIRS
row() {
    awk -v p="$1" -v n="$2" -v o="$3" -v t="$4" \
        'BEGIN { printf "%-5s %-20s %12.2f %12.2f %7.3f\n", p, n, o, t, o / t }'
}
