//! Generates the table of system calls: the names of all architectures, sorted, each with its
//! numbers, from the crate `syscalls` and the few that it does not have.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Columns: x86-64, x86, x32, aarch64, arm, riscv64, as `seccomp::Arch` counts them.
const COLUMNS: usize = 6;

/// Calls of x86-64 that x32 does not have (`64` in syscall_64.tbl, without an x32 twin).
const NOT_X32: [&str; 12] = [
    "_sysctl",
    "create_module",
    "epoll_ctl_old",
    "epoll_wait_old",
    "get_kernel_syms",
    "get_thread_area",
    "map_shadow_stack",
    "nfsservctl",
    "query_module",
    "set_thread_area",
    "uselib",
    "vserver",
];

/// Calls that have a number of their own on x32, from 512 on.
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// Private calls of 32-bit ARM (asm/unistd.h).
const ARM: [(&str, i32); 6] = [
    ("breakpoint", 0xf_0001),
    ("cacheflush", 0xf_0002),
    ("usr26", 0xf_0003),
    ("usr32", 0xf_0004),
    ("set_tls", 0xf_0005),
    ("get_tls", 0xf_0006),
];

/// Calls of 32-bit x86 that also go through socketcall, 102, or ipc, 117, and their number there
/// (linux/net.h, linux/ipc.h).
const MULTIPLEXED: [(&str, u32, u32); 32] = [
    ("socket", 102, 1),
    ("bind", 102, 2),
    ("connect", 102, 3),
    ("listen", 102, 4),
    ("accept", 102, 5),
    ("getsockname", 102, 6),
    ("getpeername", 102, 7),
    ("socketpair", 102, 8),
    ("send", 102, 9),
    ("recv", 102, 10),
    ("sendto", 102, 11),
    ("recvfrom", 102, 12),
    ("shutdown", 102, 13),
    ("setsockopt", 102, 14),
    ("getsockopt", 102, 15),
    ("sendmsg", 102, 16),
    ("recvmsg", 102, 17),
    ("accept4", 102, 18),
    ("recvmmsg", 102, 19),
    ("sendmmsg", 102, 20),
    ("semop", 117, 1),
    ("semget", 117, 2),
    ("semctl", 117, 3),
    ("semtimedop", 117, 4),
    ("msgsnd", 117, 11),
    ("msgrcv", 117, 12),
    ("msgget", 117, 13),
    ("msgctl", 117, 14),
    ("shmat", 117, 21),
    ("shmdt", 117, 22),
    ("shmget", 117, 23),
    ("shmctl", 117, 24),
];

/// The table as a Rust source.
pub fn generate() -> String {
    let mut rows: BTreeMap<&str, [i32; COLUMNS]> = BTreeMap::new();
    let mut put = |column: usize, name: &'static str, number: i32| {
        // The crate's names are identifiers, and one call's is a keyword.
        let name = name.strip_prefix("r#").unwrap_or(name);
        if let Some(slot) = rows.entry(name).or_insert([-1; COLUMNS]).get_mut(column) {
            *slot = number;
        }
    };
    for call in syscalls::x86_64::Sysno::iter() {
        put(0, call.name(), call.id());
        let own = X32_OWN.iter().position(|name| *name == call.name());
        match own {
            Some(place) => put(2, call.name(), 512 + place as i32),
            None if NOT_X32.contains(&call.name()) => {}
            None => put(2, call.name(), call.id()),
        }
    }
    for call in syscalls::x86::Sysno::iter() {
        put(1, call.name(), call.id());
    }
    for call in syscalls::aarch64::Sysno::iter() {
        // The crate lists calls of 32-bit kernels here, too; and calls fstatat by its kernel's name.
        match (call.name(), call.id()) {
            (_, 403..=423) => {}
            ("fstatat", id) => put(3, "newfstatat", id),
            (name, id) => put(3, name, id),
        }
    }
    for call in syscalls::arm::Sysno::iter() {
        put(4, call.name(), call.id());
    }
    for (name, number) in ARM {
        put(4, name, number);
    }
    for call in syscalls::riscv64::Sysno::iter() {
        put(5, call.name(), call.id());
    }
    for (name, ..) in MULTIPLEXED {
        rows.entry(name).or_insert([-1; COLUMNS]);
    }
    let mut source = format!("/// Sorted by name.\npub static ROWS: [Row; {}] = [\n", rows.len());
    for (name, numbers) in &rows {
        let through = MULTIPLEXED.iter().find(|(other, ..)| other == name);
        let through = through.map(|(_, call, number)| (call, number));
        let _to_a_string =
            writeln!(source, "Row {{ name: {name:?}, numbers: {numbers:?}, multiplexed: {through:?} }},");
    }
    source + "];\n"
}
