#!/bin/sh
# Holds the shipped binaries against conformance/budgets.toml. Prints `name: figure (budget)` for
# each row and fails if one is over. Needs root, strace and binutils; run from the workspace
# after `just dist`.
set -eu

budgets=conformance/budgets.toml
init=target/dist/init
harness=$(pwd)/target/dist/harness
work=$(mktemp -d)
failed=0

cleanup() {
    "$harness" --root "$work/state" delete -f check >/dev/null 2>&1 || true
    "$harness" --root "$work/state" cleanup >/dev/null 2>&1 || true
    umount "$work" 2>/dev/null || true
    rm -rf "$work"
}

# The value of a key of budgets.toml; keys are unique.
budget() { sed -n "s/^$1 = \"\{0,1\}\([^\"#]*[^\"# ]\)\"\{0,1\} *\(#.*\)\{0,1\}$/\1/p" "$budgets"; }

at_most() {
    echo "$1: $2 (at most $3)"
    [ "$2" -le "$3" ] || { echo "over budget: $1" >&2; failed=1; }
}

none() {
    if [ -z "$2" ]; then echo "$1: none (none)"; else
        echo "$1: $2 (none)"; echo "over budget: $1" >&2; failed=1
    fi
}

# Once more in a mount namespace of its own: cgroup2 on /sys/fs/cgroup, a tmpfs for the state.
if [ "${CHECK_BINARY_INSIDE:-}" != 1 ]; then
    [ "$(id -u)" = 0 ] || { echo "check-binary: needs root" >&2; exit 1; }
    for tool in strace readelf nm unshare prlimit; do
        command -v "$tool" >/dev/null || { echo "check-binary: $tool is missing" >&2; exit 1; }
    done
    rm -rf "$work"
    CHECK_BINARY_INSIDE=1 exec unshare --mount --propagation private sh "$0" "$@"
fi
while umount -R /sys/fs/cgroup 2>/dev/null; do :; done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs "$work"
trap cleanup EXIT

at_most "init bytes" "$(stat -c %s $init)" "$(budget bytes)"
none "init dynamic section" "$(readelf -dW $init | grep -v 'no dynamic section' | grep . || true)"
none "init relocations" "$(readelf -rW $init | grep -v 'no relocations' | grep . || true)"
none "harness interpreter" "$(readelf -lW "$harness" | grep INTERP || true)"

# The same program with its symbols.
cargo --quiet build -p init --bin init --features freestanding --profile init --locked \
    --target-dir target/symbols --config 'profile.init.strip=false'
symbols=$(find target/symbols -path '*init/init' -type f | head -n 1)
none "init heap" "$(nm -C "$symbols" | grep -E '__rust_alloc|malloc' || true)"
none "init core::fmt" "$(nm -C "$symbols" | grep 'core::fmt' || true)"
packages=$(cargo tree --locked -p init -e normal,no-proc-macro --prefix none --features freestanding | cut -d' ' -f1 | sort -u)
none "init packages beyond the allowed" "$(for name in $packages; do
    case " $(budget packages) " in *" $name "*) ;; *) echo "$name" ;; esac
done)"

# A bundle whose process is the demo's program, doing nothing.
mkdir -p "$work/bundle/rootfs"
cp target/dist/witness "$work/bundle/rootfs/witness"
"$harness" spec --bundle "$work/bundle"
sed -i '/"args": \[/,/\]/c\    "args": ["/witness", "pause"],' "$work/bundle/config.json"
call() { "$harness" --root "$work/state" "$@"; }
call create --bundle "$work/bundle" check && call delete -f check

pid_of() { call state "$1" | sed -n 's/.*"pid": \([0-9]*\).*/\1/p'; }
call create --bundle "$work/bundle" check
sleep 0.2
at_most "init Pss, KiB" "$(sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$(pid_of check)/smaps_rollup")" "$(budget pss_kib)"
call delete -f check

# Traced: every phase of init begins with a look at the clock (--timing), which is not counted.
strace -f -o "$work/trace" "$harness" --root "$work/state" create --timing --bundle "$work/bundle" check &
tracer=$!
for _ in $(seq 100); do
    sleep 0.1
    [ "$(call state check 2>/dev/null | grep -c created)" = 1 ] && grep -q '"self/fd/' "$work/trace" && break
done
call delete -f check
wait "$tracer" || true
main=$(head -n 1 "$work/trace" | cut -d' ' -f1)
calls() { grep -v -e '<\.\.\. ' -e '+++' -e '---' "$work/trace"; }
at_most "harness create system calls" "$(calls | grep -c "^$main ")" "$(budget create_syscalls)"
calls | grep -v "^$main " | awk '
    BEGIN {
        count = split("config parent keyring console rootfs mounts devices links readonlyPaths maskedPaths " \
            "finalize network mounts pivot identity sysctl readonlyPaths maskedPaths process ready finalize readonly " \
            "finalize parent lookPath seal gate", order, " ")
        phase = "config"
    }
    /execveat/ { inside = 1; next }
    !inside { next }
    /clock_gettime/ { visit++; phase = order[visit]; next }
    done { next }
    { spent[phase]++; total++ }
    /"self\/fd\// { done = 1 }
    END {
        if (visit != count) { print "phases: " visit ", expected " count; exit 1 }
        for (i = 1; i <= count; i++) if (!(order[i] in seen)) {
            seen[order[i]] = 1; printf "  %-16s%d\n", order[i], spent[order[i]]
        }
        print "total " total
    }' >"$work/phases" || { cat "$work/phases" >&2; failed=1; }
at_most "init system calls, execveat to the gate" "$(sed -n 's/^total //p' "$work/phases")" "$(budget syscalls)"
grep '^  ' "$work/phases"

sed -i 's/"pause"/"true"/' "$work/bundle/config.json"
if prlimit --stack="$(budget stack_bytes)" "$harness" --root "$work/state" run --bundle "$work/bundle" check; then
    echo "stack: runs under $(budget stack_bytes) bytes ($(budget stack_bytes))"
else
    echo "over budget: stack of $(budget stack_bytes) bytes" >&2; failed=1
fi
exit "$failed"
