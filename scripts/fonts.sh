#!/usr/bin/env bash
# Makes the web fonts of the page and of the SVG files from the TrueType fonts that PNGs are drawn
# with: the characters of reports/fonts/subset.txt, without hints.
# Usage: scripts/fonts.sh; needs pyftsubset (pip install 'fonttools[woff]==4.68.0').
set -euo pipefail
cd "$(dirname "$0")/../reports/fonts"
for weight in Regular Medium; do
    pyftsubset "Roboto-$weight.ttf" --output-file="Roboto-$weight.woff2" --flavor=woff2 \
        --text-file=subset.txt --layout-features=kern,tnum --no-hinting
done
