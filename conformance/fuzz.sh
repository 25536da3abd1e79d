#!/bin/sh
# Runs libFuzzer on the reader of init for a fixed time: conformance/fuzz.sh [SECONDS]
# Stable Rust is enough: the coverage pass is a code generation option.
set -eu
seconds=${1:-30}
cd init/fuzz
corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT
cp seeds/* "$corpus"
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cdebug-assertions -Coverflow-checks" \
    cargo run --locked --quiet --release --target "$(rustc -vV | sed -n 's/^host: //p')" --target-dir ../../target/fuzz -- \
    -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 "$corpus"
