#!/bin/sh
# Runs checks.sh and the validation suite in each of the three boots of run.sh, one after the other,
# and leaves their reports in target/conformance/vm/BOOT. Needs `just dist`. Fails if anything in any
# boot is not as expected, or if a boot can do less than it is made for.
# usage: conformance/vm/conformance.sh [OPTION of `harness conformance run`]...
set -eu

cd "$(dirname "$0")/../.."
suite=target/conformance/suite
output=target/conformance/vm
# Emulated processors make the suite's own waits cheap to overlap.
jobs=4
# Emulated, linux_cgroups_network alone takes more than a minute with nothing beside it.
limit=300
# Seconds for all boots together: where others are busy, one alone may take half of it.
most=1200

# Programs that a conforming runtime can pass in a boot. What a boot fails to lay out would otherwise
# only be one more that cannot be run.
possible() { case $1 in v1 | selinux) echo 42 ;; v2) echo 33 ;; esac; }

# rows BOOT: name, whether it is possible, verdict, of each program of the runtime under test.
rows() {
    sed -n 's/^      "\(name\|possible\|verdict\)": "\{0,1\}\([a-z_-]*\).*/\2/p' "$output/$1/report.json" | paste - - -
}

# count PATTERN: of the rows on stdin, how many programs.
count() { grep "$1" | cut -f 1 | sort -u | wc -l; }

# run BOOT [OPTION]...
run() {
    boot=$1
    shift
    echo "== $boot"
    rm -rf "${output:?}/$boot"
    left=$((started + most - $(date +%s)))
    [ "$left" -gt 0 ] || { echo "conformance-vm: no time left for $boot" >&2; return 1; }
    # Without peers there is no word.
    # shellcheck disable=SC2086
    conformance/vm/run.sh --boot "$boot" --timeout "$left" --put "$suite/stamp" --put "$suite/bin" \
        --put "$suite/patched/bin" --put "$suite/work" --put "$rootfs" --put conformance/vm \
        $peers --get "$output/$boot" "$output" -- conformance/vm/inside.sh "$boot" "$output/$boot" \
        --jobs "$jobs" --limit "$limit" "$@" &
    child=$!
    ended=0
    wait "$child" || ended=$?
    child=
    [ "$ended" = 0 ] || return "$ended"
    [ -z "$whole" ] && return
    found=$(rows "$boot" | count '	true	')
    [ "$found" = "$(possible "$boot")" ] && return
    echo "conformance-vm: $found programs are possible in $boot, not $(possible "$boot")" >&2
    return 1
}

started=$(date +%s)
# Inside there is no Go.
target/dist/harness-conformance suite "$PWD/$suite"
# The driver leaves a link to the root file system in Go's module cache.
rootfs=$(readlink -f "$suite/work/rootfs-amd64.tar.gz")
mkdir -p "$output"
case " $* " in *" --only"*) whole= ;; *) whole=yes ;; esac
# Peers take as long again each.
case " $* " in *" --peers "*) peers=--peers most=3600 ;; *) peers= ;; esac
# It cleans up after itself, if it is told to end.
child=
trap '[ -z "$child" ] || { kill "$child"; wait "$child"; }; exit 130' INT TERM HUP
differing=
for boot in v1 selinux v2; do run "$boot" "$@" || differing="$differing $boot"; done
all=$(for boot in v1 selinux v2; do rows "$boot"; done)
printf 'all boots: %s of %s possible passed, and by rate %s; %s s\n' \
    "$(echo "$all" | count 'pass$')" "$(echo "$all" | count '	true	')" "$(echo "$all" | count 'race$')" \
    "$(($(date +%s) - started))"
[ -z "$differing" ] || { echo "conformance-vm: not as expected:$differing" >&2; exit 1; }
