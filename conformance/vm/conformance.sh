#!/bin/sh
# Runs checks.sh and the validation suite in each of the three boots of run.sh, one after the other,
# and leaves their reports in target/conformance/vm/BOOT. Needs `just dist` and a suite that the driver
# has built. Fails if anything in any boot is not as expected.
# usage: conformance/vm/conformance.sh [OPTION of `harness conformance run`]...
set -eu

cd "$(dirname "$0")/../.."
suite=target/conformance/suite
output=target/conformance/vm
# Emulated processors make the suite's own waits cheap to overlap.
jobs=4
# Emulated, linux_cgroups_network alone takes more than a minute with nothing beside it.
limit=300
# Three of these are the twenty minutes that the lane may take.
timeout=400

[ -f "$suite/stamp" ] || { echo "conformance-vm: no suite in $suite: run just conformance first" >&2; exit 1; }
# The driver leaves a link to the root file system in Go's module cache.
rootfs=$(readlink -f "$suite/work/rootfs-amd64.tar.gz")
mkdir -p "$output"
# Peers take as long again each.
case " $* " in *" --peers "*) peers=--peers timeout=1200 ;; *) peers= ;; esac
differing=
for boot in v1 selinux v2; do
    echo "== $boot"
    rm -rf "${output:?}/$boot"
    # Without peers there is no word.
    # shellcheck disable=SC2086
    conformance/vm/run.sh --boot "$boot" --timeout "$timeout" --put "$suite/stamp" --put "$suite/bin" \
        --put "$suite/patched/bin" --put "$suite/work" --put "$rootfs" --put conformance/vm \
        $peers --get "$output/$boot" "$output" -- conformance/vm/inside.sh "$boot" "$output/$boot" \
        --jobs "$jobs" --limit "$limit" "$@" || differing="$differing $boot"
done
[ -z "$differing" ] || { echo "conformance-vm: not as expected:$differing" >&2; exit 1; }
