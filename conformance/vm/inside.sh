#!/bin/sh
# What conformance.sh runs in each boot: the checks, then the suite, whatever the checks found.
# usage: conformance/vm/inside.sh BOOT OUTPUT [OPTION of `harness conformance run`]...
set -eu

boot=$1
output=$2
shift 2
failed=0
conformance/vm/checks.sh "$boot" "$output" || failed=1
harness conformance run --output "$output" "$@" || failed=1
exit "$failed"
