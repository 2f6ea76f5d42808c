#!/bin/sh
# The demo, step by step; `make demo` has installed the core and the text extra before.
set -eu
cd "$(dirname "$0")/.."
d4a=.venv/bin/d4a

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

say "1. the core alone: text"
.venv/bin/python demo/collect.py out/demo-input
$d4a curate demo/text.yaml

say "2. the image extras: torch, open_clip, ultralytics (AGPL-3.0) and two small models that come in wheels"
make --no-print-directory .venv/.all .venv/.pictures

say "3. the whole recipe: the text scan is reused"
$d4a curate demo/demo.yaml

say "4. every drop is explained"
$d4a why out/demo
.venv/bin/python demo/two_licences.py out/demo

say "5. other thresholds, without a new scan"
$d4a curate demo/demo.yaml --set text.dedup.fuzzy.threshold=0.7

say "the dataset"
cat <<'END'
shards    out/demo/text/train/000000.tar, out/demo/image/train/000000.tar
report    out/demo/report.html
next      .venv/bin/d4a why out/demo KEY
          .venv/bin/d4a verify out/demo
          .venv/bin/d4a stages text.dedup.fuzzy
          .venv/bin/d4a copy quickstart my.yaml && .venv/bin/d4a curate my.yaml --limit 10000
END
