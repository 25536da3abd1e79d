//! Random profiles, each from its number.

use fastrand::Rng;
use serde_json::{Value, json};

/// What profiles are to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Everything: conditions, overlaps, conflicting actions, multiplexed calls.
    Any,
    /// Rules without conditions.
    Unconditional,
    /// The same, and none of calls that are multiplexed.
    Plain,
    /// At most one rule a call, and none of calls that are multiplexed.
    Single,
}

const ACTIONS: [&str; 6] = ["ALLOW", "ERRNO", "KILL_PROCESS", "LOG", "TRAP", "TRACE"];
const OPS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
const ARCHES: [&str; 5] = ["X86", "X32", "AARCH64", "ARM", "RISCV64"];

/// First those that 32-bit x86 has no other way for, or a second one.
const NAMES: [&str; 40] = [
    "accept",
    "accept4",
    "bind",
    "connect",
    "ipc",
    "msgctl",
    "msgget",
    "recv",
    "recvfrom",
    "semop",
    "semtimedop",
    "send",
    "shmat",
    "shmctl",
    "socket",
    "socketcall",
    "socketpair",
    "_sysctl",
    "bpf",
    "breakpoint",
    "chmod",
    "clone",
    "clone3",
    "close_range",
    "execve",
    "execveat",
    "fcntl64",
    "futex",
    "ioctl",
    "keyctl",
    "mmap2",
    "newfstatat",
    "openat2",
    "personality",
    "preadv2",
    "prctl",
    "read",
    "set_tls",
    "setns",
    "unshare",
];
const MULTIPLEXED: usize = 17;

/// The profile of a number, in the format of config.json.
pub fn profile(class: Class, number: u64) -> Value {
    let mut rng = Rng::with_seed(number);
    let arches: Vec<String> =
        ARCHES.iter().filter(|_| rng.bool()).map(|name| format!("SCMP_ARCH_{name}")).collect();
    let skipped = if matches!(class, Class::Plain | Class::Single) { MULTIPLEXED } else { 0 };
    let mut names: Vec<&str> = NAMES.iter().skip(skipped).copied().collect();
    // Few names that occur often are what makes rules overlap.
    rng.shuffle(&mut names);
    names.truncate(rng.usize(1..16));
    let rules: Vec<Value> = (0..rng.usize(0..14)).filter_map(|_| rule(class, &mut rng, &mut names)).collect();
    json!({ "defaultAction": action(&mut rng), "architectures": arches, "syscalls": rules })
}

fn action(rng: &mut Rng) -> String {
    format!("SCMP_ACT_{}", ACTIONS[rng.usize(..ACTIONS.len())])
}

fn rule(class: Class, rng: &mut Rng, names: &mut Vec<&str>) -> Option<Value> {
    let mut own = Vec::new();
    for _ in 0..rng.usize(1..4) {
        if class == Class::Single {
            own.extend(names.pop());
        } else {
            own.push(names[rng.usize(..names.len())]);
        }
    }
    let action = action(rng);
    let errno = (action.ends_with("ERRNO") && rng.bool()).then(|| rng.u32(0..4096));
    let mut args = Vec::new();
    if matches!(class, Class::Any | Class::Single) {
        let mut indexes = [0, 1, 2, 3, 4, 5];
        rng.shuffle(&mut indexes);
        for index in &indexes[..rng.usize(0..4)] {
            // Twice the same makes alternatives of all.
            let index = if class == Class::Any && rng.u8(..) < 16 { indexes[0] } else { *index };
            let op = format!("SCMP_CMP_{}", OPS[rng.usize(..OPS.len())]);
            args.push(json!({ "index": index, "value": operand(rng), "valueTwo": operand(rng), "op": op }));
        }
    }
    (!own.is_empty()).then(|| json!({ "names": own, "action": action, "errnoRet": errno, "args": args }))
}

/// Few values, so that rules meet; either half, the borders of both, or any.
fn operand(rng: &mut Rng) -> u64 {
    let small = rng.u64(0..4);
    match rng.u8(0..6) {
        0 | 1 => small,
        2 => small << 32,
        3 => small << 32 | rng.u64(0..4),
        4 => u64::from(u32::MAX).wrapping_add(small).wrapping_sub(2),
        _ => rng.u64(..),
    }
}
