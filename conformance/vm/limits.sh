# shellcheck shell=sh disable=SC2154
# Sourced by checks.sh: linux.resources in the files of cgroup v2, and how little memory is enough.

# file NAME EXPECTED: a file of the container's cgroup.
file() {
    cgroup=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(cat "$pid")/cgroup")
    equal "$1" "$2" "$(cat "$cgroup/$1" 2>&1)"
}

# As MAJOR:MINOR, the empty disk.
disk() { cat /sys/block/vdb/dev; }

limits() {
    # The kernel accepts weights only where a scheduler heeds them.
    modprobe bfq
    echo bfq >/sys/block/vdb/queue/scheduler
    numbers="\"major\": $(disk | cut -d: -f1), \"minor\": $(disk | cut -d: -f2)"
    bundle '' '' "
\"memory\": { \"limit\": 67108864, \"swap\": 100663296, \"reservation\": 33554432 },
\"cpu\": { \"shares\": 1024, \"quota\": 50000, \"period\": 100000, \"burst\": 10000, \"cpus\": \"0\", \"mems\": \"0\" },
\"pids\": { \"limit\": 17 },
\"blockIO\": { \"weight\": 300, \"weightDevice\": [{ $numbers, \"weight\": 500 }],
  \"throttleReadBpsDevice\": [{ $numbers, \"rate\": 1048576 }],
  \"throttleWriteIOPSDevice\": [{ $numbers, \"rate\": 120 }] },
\"unified\": { \"memory.high\": \"50331648\", \"pids.max\": \"19\" },"
    if launch limits; then
        file memory.max 67108864
        file memory.swap.max 33554432
        file memory.low 33554432
        file memory.high 50331648
        file cpu.weight 100
        file cpu.max "50000 100000"
        file cpu.max.burst 10000
        file cpu.idle 0
        file cpuset.cpus 0
        file cpuset.mems 0
        # unified comes last.
        file pids.max 19
        file io.max "$(disk) rbps=1048576 wbps=max riops=max wiops=120"
        file io.bfq.weight "default 300
$(disk) 500"
    fi
    remove
    bundle '' '' '"cpu": { "idle": 1 }, "memory": { "limit": 67108864, "swap": -1 },'
    if launch idle; then
        file cpu.idle 1
        file memory.max 67108864
        file memory.swap.max max
    fi
    remove
    bundle '' '' '"memory": { "limit": 67108864, "swap": 33554432 },'
    refused "swap below the memory limit" \
        "error: config.json: /linux/resources/memory/swap: is less than the memory limit"
    bundle '' '' '"unified": { "no.such": "1" },'
    refused "an unknown file in unified" \
        "error: config.json: /linux/resources/unified/no.such: cgroup controller no is not available"
}

update() {
    bundle '' '' '"memory": { "limit": 67108864 }, "pids": { "limit": 17 },'
    if launch update; then
        equal "update" "" "$(harness update --memory 83886080 --memory-swap 134217728 \
            --memory-reservation 16777216 --cpu-share 2048 --cpu-quota 20000 --cpu-period 50000 \
            --cpu-burst 5000 --cpuset-cpus 1 --cpuset-mems 0 --pids-limit -1 --blkio-weight 200 c 2>&1)"
        file memory.max 83886080
        file memory.swap.max 50331648
        file memory.low 16777216
        file cpu.weight 174
        file cpu.max "20000 50000"
        file cpu.max.burst 5000
        file cpuset.cpus 1
        file cpuset.mems 0
        file pids.max max
        file io.bfq.weight "default 200"
        equal "update -r" "" "$(echo '{ "unified": { "memory.high": "41943040" }, "cpu": { "idle": 1 } }' |
            harness update -r - c 2>&1)"
        file memory.high 41943040
        file cpu.idle 1
        file memory.max 83886080
    fi
    remove
}

# runs_in KIB: a container with that limit runs its program to the end.
runs_in() {
    bundle '' '' "\"memory\": { \"limit\": $(($1 * 1024)) },"
    listen timeout -k 1 20 harness run -b "$work" c && return
    remove
    return 1
}

# A program that only exits: an ELF file of one segment, mov $60, %eax; xor %edi, %edi; syscall.
write_noop() {
    {
        printf '\177ELF\002\001\001\000\000\000\000\000\000\000\000\000\002\000\076\000\001\000\000\000'
        printf '\170\000\100\000\000\000\000\000\100\000\000\000\000\000\000\000'
        printf '\000\000\000\000\000\000\000\000\000\000\000\000\100\000\070\000\001\000\000\000\000\000\000\000'
        printf '\001\000\000\000\005\000\000\000\000\000\000\000\000\000\000\000'
        printf '\000\000\100\000\000\000\000\000\000\000\100\000\000\000\000\000'
        printf '\201\000\000\000\000\000\000\000\201\000\000\000\000\000\000\000\000\020\000\000\000\000\000\000'
        printf '\270\074\000\000\000\061\377\017\005'
    } >"$work/rootfs/noop"
    chmod 755 "$work/rootfs/noop"
}

# What is charged depends on the processor, so only the bound is asserted, three times over; the least
# is told.
smallest() {
    write_noop
    args='"/noop"'
    for attempt in 1 2 3; do
        runs_in 512 || true
        equal "a program that only exits in 512 KiB, run $attempt" "0 " "$status $said"
    done
    low=0 high=1024
    while [ $((high - low)) -gt 4 ]; do
        middle=$(((low + high) / 8 * 4))
        if runs_in "$middle"; then high=$middle; else low=$middle short="$status $said"; fi
    done
    say "# it runs in $high KiB, and not in $low KiB, where run ends with ${short-}"
    args=
}
