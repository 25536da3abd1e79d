#!/bin/sh
# Runs libFuzzer for a fixed time on each target, the reader of init and the compiler of seccomp
# profiles: conformance/fuzz.sh [SECONDS]
# Stable Rust is enough: the coverage pass is a code generation option. The seed is fixed.
set -eu
seconds=${1:-30}
root=$PWD
corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cdebug-assertions -Coverflow-checks"
for target in init/fuzz conformance/oracle/fuzz; do
    echo "$target"
    own=$(mktemp -d "$corpus/XXXXXX")
    cp "$target"/seeds/* "$own"
    (
        cd "$target"
        cargo run --locked --quiet --release --target "$(rustc -vV | sed -n 's/^host: //p')" \
            --target-dir "$root/target/fuzz" -- \
            -max_total_time="$seconds" -max_len=4096 -seed=1 -print_final_stats=1 "$own"
    )
done
