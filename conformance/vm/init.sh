#!/bin/sh
# PID 1 of the VM lane (see run.sh). Lays the layout that the kernel's vm.boot=NAME asks for, unpacks
# the files on the first disk, runs the command among them, writes what it says to the ports `stdout`
# and `stderr`, then an archive of its exit status and of the wanted files to the port `result`.
# Whatever fails here ends the VM without a result; the reason is then on the serial console.
set -eu
trap 'poweroff -f' EXIT

# A container's pivot_root(2) is refused on the initramfs itself, so everything lives in a bind mount
# of it, laid over it.
leave_initramfs() {
    mount --bind / /mnt
    cd /mnt
    mount --move . /
    exec chroot . /init inside
}

mount_basics() {
    mount -t proc -o nosuid,nodev,noexec proc /proc
    mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
    mount -t devtmpfs -o nosuid,mode=755 devtmpfs /dev
    mkdir -p /dev/pts /dev/shm /dev/mqueue
    mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts /dev/pts
    mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
    mount -t mqueue -o nosuid,nodev,noexec mqueue /dev/mqueue
    mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
    mount -t tmpfs -o nosuid,nodev tmpfs /tmp
    mount -t securityfs -o nosuid,nodev,noexec securityfs /sys/kernel/security
    ln -s /proc/self/fd /dev/fd
    ln -s fd/0 /dev/stdin
    ln -s fd/1 /dev/stdout
    ln -s fd/2 /dev/stderr
    # As systemd does: what is mounted later reaches the namespaces that want it.
    mount --make-rshared /
}

# linux_cgroups_network wants interfaces; nothing here needs to reach anywhere.
lay_network() {
    hostname vm
    modprobe dummy numdummies=2
    for interface in lo dummy0 dummy1; do ip link set "$interface" up; done
}

# Every controller on a v1 hierarchy, in the places where systemd put them.
mount_cgroup_v1() {
    mount -t tmpfs -o nosuid,nodev,noexec,mode=755 tmpfs /sys/fs/cgroup
    for hierarchy in cpuset cpu,cpuacct blkio memory devices freezer net_cls,net_prio perf_event \
        hugetlb pids rdma misc; do
        mkdir "/sys/fs/cgroup/$hierarchy"
        mount -t cgroup -o "nosuid,nodev,noexec,$hierarchy" cgroup "/sys/fs/cgroup/$hierarchy"
    done
    for alias in cpu cpuacct; do ln -s cpu,cpuacct "/sys/fs/cgroup/$alias"; done
    for alias in net_cls net_prio; do ln -s net_cls,net_prio "/sys/fs/cgroup/$alias"; done
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o nosuid,nodev,noexec,none,name=systemd cgroup /sys/fs/cgroup/systemd
}

# Every controller on the one v2 hierarchy, and handed down from its root.
mount_cgroup_v2() {
    mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
    sed 's/[^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
}

load_apparmor() {
    apparmor_parser --replace --skip-cache /etc/apparmor.profile
}

load_selinux() {
    mount -t selinuxfs selinuxfs /sys/fs/selinux
    checkpolicy -M -U allow -o /run/policy /etc/selinux.conf >/dev/null
    # The kernel takes a policy in one write.
    dd if=/run/policy of=/sys/fs/selinux/load bs=1M 2>/dev/null
}

lay_boot() {
    boot=$(sed 's/.*vm\.boot=\([^ ]*\).*/\1/' /proc/cmdline)
    case $boot in
    v1) mount_cgroup_v1; load_apparmor ;;
    selinux) mount_cgroup_v1; load_selinux ;;
    v2) mount_cgroup_v2; load_apparmor ;;
    *) echo "init: no such boot: $boot" >&2; exit 1 ;;
    esac
}

# The port's device, by the name that run.sh gave it.
port() {
    for entry in /sys/class/virtio-ports/*; do
        if [ "$(cat "$entry/name")" = "$1" ]; then echo "/dev/${entry##*/}"; return; fi
    done
    echo "init: no port $1" >&2; exit 1
}

# A port can be open once only, and a program may well reopen /dev/stdout: hence the pipes.
run_command() {
    mkdir /run/vm
    mkfifo /run/vm/stdout /run/vm/stderr
    cat /run/vm/stdout >"$(port stdout)" & stdout=$!
    cat /run/vm/stderr >"$(port stderr)" & stderr=$!
    status=0
    setsid sh /vm/command </dev/null >/run/vm/stdout 2>/run/vm/stderr || status=$?
    # Until the ports have all of it, but not for ever for a process that keeps a pipe open.
    { sleep 5; kill "$stdout" "$stderr"; } &
    wait "$stdout" "$stderr" || true
}

send_result() {
    echo "$status" >/vm/status
    while read -r path; do
        if [ -e "$path" ] || [ -L "$path" ]; then printf '%s\n' "$path"; fi
    done </vm/wanted >/vm/found
    tar -cf - --absolute-names --files-from /vm/found /vm/status | cat >"$(port result)"
}

if [ "$#" = 0 ]; then leave_initramfs; fi
export PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin HOME=/root
mount_basics
modprobe -a virtio_pci virtio_console virtio_blk
lay_network
lay_boot
tar -xf /dev/vda -C /
run_command
send_result
