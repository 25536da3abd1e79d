#!/bin/sh
# What the validation suite does not look at, in a boot of run.sh: labels of the security modules
# (labels.sh) and the files of cgroup v2 (limits.sh), read from outside the container. Prints TAP and
# leaves it in OUTPUT/checks.tap; fails if any line is "not ok".
# usage: conformance/vm/checks.sh BOOT OUTPUT
set -eu

here=$(cd "$(dirname "$0")" && pwd)
boot=$1
report=$2/checks.tap
work=$(mktemp -d)
pid=$work/pid
count=0
failed=0

say() { printf '%s\n' "$*" | tee -a "$report"; }

# equal NAME EXPECTED FOUND
equal() {
    count=$((count + 1))
    if [ "$2" = "$3" ]; then
        say "ok $count - $1"
    else
        failed=$((failed + 1))
        say "not ok $count - $1"
        say "# expected: $2"
        say "# found:    $3"
    fi
}

# bundle PROCESS LINUX RESOURCES: lines for these objects of the default config.json, each with a
# comma at its end. The program sleeps unless `args` says otherwise.
bundle() {
    rm -f "$work/config.json"
    harness spec -b "$work"
    sed -i -e "s|^      \"sh\"\$|${args:-\"/bin/busybox\", \"sleep\", \"1000\"}|" \
        -e "s|^  \"process\": {\$|&$1|" -e "s|^  \"linux\": {\$|&$2|" \
        -e "s|^    \"resources\": {\$|&$(printf %s "$3" | tr -d '\n')|" "$work/config.json"
}

# Runs a command; what it says is in $said. Not through a pipe, which the container would keep open.
listen() {
    status=0
    "$@" >"$work/said" 2>&1 || status=$?
    said=$(cat "$work/said")
    return "$status"
}

# Starts the bundle, which must work, as the container `c`.
launch() {
    listen harness create -b "$work" --pid-file "$pid" c && listen harness start c && return
    equal "$1: starts" "" "$said"
    return 1
}

remove() { harness delete --force c 2>/dev/null || true; }

# refused NAME COMPLAINT: create fails so, and leaves no container.
refused() {
    listen harness create -b "$work" c || true
    equal "$1" "1 $2" "$status $said"
    equal "$1: leaves no container" "" "$(harness list -q)"
    remove
}

# An attribute of the process in the pid file.
attribute() { tr -d '\000' <"/proc/$(cat "$pid")/attr/$1"; }

mkdir -p "$2" "$work/rootfs/bin"
cp /bin/busybox "$work/rootfs/bin"
: >"$report"
# shellcheck source=conformance/vm/labels.sh
. "$here/labels.sh"
# shellcheck source=conformance/vm/limits.sh
. "$here/limits.sh"
say "TAP version 13"
case $boot in
v1) apparmor; absent_selinux ;;
selinux) selinux; absent_apparmor ;;
v2) apparmor; limits; update; smallest ;;
esac
say "1..$count"
rm -rf "$work"
[ "$failed" = 0 ]
