#!/bin/sh
# Runs a command in a virtual machine whose kernel, cgroups and security modules are known, whatever
# the host offers: Debian's cloud kernel under QEMU (KVM where it works, else emulation).
# Needs the package qemu-system-x86, but not root; build.sh lists what it needs for the initramfs.
#
# usage: conformance/vm/run.sh --boot v1|v2|selinux [OPTION]... -- COMMAND [ARG]...
#   --boot v1          every cgroup v1 controller, AppArmor with the profile acme_secure_profile
#   --boot selinux     the same with SELinux, permissive, instead of AppArmor
#   --boot v2          cgroup2 alone on /sys/fs/cgroup, every controller, AppArmor as above
#   --put PATH         carry a file or folder in; it has the same absolute path inside
#   --get PATH DIR     bring a file or folder out into DIR when the command has ended
#   --peers            carry in what `just peers` left
#   --timeout SECONDS  end the VM after so long (default 400)
#   --console FILE     keep the kernel's console
#
# The command starts as root with every capability in the folder of the same name as here, without
# input, with target/dist/harness (carried in where built) and target/peers on its PATH. There are
# two CPUs, two dummy interfaces and an empty disk /dev/vdb. What it prints is streamed; its exit
# status is the exit status, 124 is the timeout, and 125 a VM that did not come to an end of its own.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
workspace=$(cd "$here/../.." && pwd)
memory=2G
disk=1G

fail() { echo "vm: $1" >&2; exit 125; }

absolute() { case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s\n' "$PWD/$1" ;; esac; }

# The word as sh reads it back.
quote() { printf '%s\n' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"; }

put() {
    path=$(absolute "$1")
    [ -e "$path" ] || fail "no such file: $path"
    printf '%s\n' "${path#/}" >>"$work/put"
}

get() {
    [ -d "$2" ] || fail "no such folder: $2"
    absolute "$1" >>"$work/vm/wanted"
    absolute "$2" >>"$work/get"
}

parse() {
    while [ "$#" -gt 0 ]; do
        case $1 in
        --boot) boot=${2-}; shift 2 ;;
        --put) put "$2"; shift 2 ;;
        --get) get "$2" "$3"; shift 3 ;;
        --peers) put "$workspace/target/peers"; shift ;;
        --timeout) timeout=$2; shift 2 ;;
        --console) console=$2; shift 2 ;;
        --) shift; break ;;
        *) fail "no such option: $1 (see the head of $0)" ;;
        esac
    done
    case $boot in
    v1) kernel='' ;;
    v2) kernel='cgroup_no_v1=all' ;;
    selinux) kernel='security=selinux selinux=1 enforcing=0' ;;
    *) fail "--boot wants v1, v2 or selinux" ;;
    esac
    [ "$#" -gt 0 ] || fail "no command"
    write_command "$@"
}

write_command() {
    folder=$(quote "$PWD")
    {
        echo "mkdir -p $folder && cd $folder || exit"
        echo "export PATH=$(quote "$workspace/target/dist:$workspace/target/peers"):\$PATH"
        printf exec
        for word in "$@"; do printf ' %s' "$(quote "$word")"; done
        echo
    } >"$work/vm/command"
}

# The first disk is an archive: the command, and the files at their own paths.
pack_disk() {
    for program in harness harness-conformance; do
        if [ -x "$workspace/target/dist/$program" ]; then put "$workspace/target/dist/$program"; fi
    done
    tar -cf "$work/disk" -C "$work" vm
    tar -rf "$work/disk" -C / --files-from "$work/put"
    truncate -s "$disk" "$work/empty"
}

# Whether a KVM guest can exist: on some hosts /dev/kvm is there and QEMU aborts all the same.
has_kvm() {
    [ -w /dev/kvm ] || return 1
    # In a subshell, whose complaint about an abort can be silenced.
    (echo quit | qemu-system-x86_64 -accel kvm -cpu host -nodefaults -display none -S -monitor stdio) \
        >/dev/null 2>&1
}

boot() {
    if has_kvm; then set -- kvm -cpu host; else set -- tcg,thread=multi -cpu max,la57=off; fi
    # Below what builds and measures on the same machine.
    # no_timer_check: an emulator that others keep off the processors fails that test, and Linux panics.
    nice -n 10 timeout --kill-after=5 "$timeout" \
        qemu-system-x86_64 -accel "$@" -machine q35 -smp 2 -m "$memory" -nodefaults -no-user-config \
        -nic none -display none -no-reboot \
        -kernel "$image/vmlinuz" -initrd "$image/initramfs" \
        -append "console=ttyS0 quiet panic=-1 no_timer_check vm.boot=$boot $kernel" \
        -serial "file:$console" \
        -drive "file=$work/disk,format=raw,if=virtio,readonly=on" -drive "file=$work/empty,format=raw,if=virtio" \
        -device virtio-serial-pci \
        -chardev "file,id=stdout,path=$work/stdout" -device virtserialport,chardev=stdout,name=stdout \
        -chardev "file,id=stderr,path=$work/stderr" -device virtserialport,chardev=stderr,name=stderr \
        -chardev "file,id=result,path=$work/result" -device virtserialport,chardev=result,name=result \
        2>"$work/qemu" &
    machine=$!
}

# Streams from two pipes. Held open here, they end when QEMU has ended, even if it never opened them.
# Where nobody reads any more, nobody waits for the rest either.
stream() {
    mkfifo "$work/stdout" "$work/stderr"
    (cat "$work/stdout" || kill "$$") & stdout=$!
    (cat "$work/stderr" >&2 || kill "$$") & stderr=$!
    exec 3>"$work/stdout" 4>"$work/stderr"
    boot 3>&- 4>&-
    ended=0
    wait "$machine" || ended=$?
    machine=
    exec 3>&- 4>&-
    wait "$stdout" "$stderr" || true
    stdout='' stderr=''
}

unpack_result() {
    [ "$ended" != 124 ] || fail_as 124 "not done after $timeout s"
    mkdir "$work/out"
    tar -xf "$work/result" -C "$work/out" 2>/dev/null || fail_as 125 "the VM gave no result"
    status=$(cat "$work/out/vm/status")
    paste "$work/vm/wanted" "$work/get" | while IFS='	' read -r path folder; do
        cp -a "$work/out$path" "$folder/" 2>/dev/null || { echo "vm: no $path to bring out" >&2; exit 1; }
    done || [ "$status" != 0 ] || status=1
}

fail_as() {
    echo "vm: $2" >&2
    tail -n 30 "$work/qemu" "$console" >&2
    exit "$1"
}

# shellcheck disable=SC2317
cleanup() {
    for child in $machine $stdout $stderr; do kill "$child" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}

command -v qemu-system-x86_64 >/dev/null ||
    fail "qemu-system-x86_64 is missing: apt-get install --no-install-recommends qemu-system-x86"
work=$(mktemp -d)
machine='' stdout='' stderr='' boot='' timeout=400 console=$work/console
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$work/vm"
touch "$work/put" "$work/get" "$work/vm/wanted"
parse "$@"
image=$("$here/build.sh")
pack_disk
stream
unpack_result
exit "$status"
