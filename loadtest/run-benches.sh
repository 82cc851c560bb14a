#!/usr/bin/env bash
# Builds what is measured and runs every benchmark; tables go to loadtest/results/.
# BENCH_SHORT=1 proves in a few minutes that the benchmarks run, on little data; its tables say nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-target}"
short=()
if [[ -n "${BENCH_SHORT:-}" ]]; then short=(--short); fi

cargo build --locked -p renkud -p renkuctl -p gitlab-sim -p bench
for what in export store access revocation pipeline kafka intake; do
    echo "== $what"
    "$target/debug/bench" "$what" "${short[@]}"
done
