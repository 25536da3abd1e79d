//! The meaning of profiles against the kernel: every verdict is an errno of its own, so that what a
//! call returns tells which rule decided. Calls are those of x86-64, of x32 and, where the kernel
//! takes them, of 32-bit x86.
#![allow(clippy::unwrap_used)] // For tests; clippy does not see that in `cfg(all(test, ...))`.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::samples::vectors;
use crate::seccomp::arch::X32_BIT;
use crate::seccomp::machine::Call;
use crate::seccomp::{Arch, Filter, action};
use crate::seccomp_tests::random;
use crate::spec::Seccomp;
use crate::sys::probe::answers;

/// The errno of calls that no rule is about; that of rule N is 1000 + N.
const DEFAULT: u32 = 999;
/// What the thread that makes the calls needs for its own end.
const NEEDED: [&str; 10] = [
    "exit",
    "futex",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "rt_sigprocmask",
    "rseq",
    "set_robust_list",
    "sigaltstack",
];
/// uretprobe and uprobe: the kernel lets them pass every filter (seccomp_uprobe_exception), and
/// they are SIGILL to programs that are not probed.
const EXEMPT: [u32; 2] = [335, 336];

/// Whether the kernel takes calls of 32-bit x86 (arch/x86/entry, `ia32_emulation`).
fn takes_x86() -> bool {
    let text = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let off = ["0", "n", "off", "false"].map(|value| format!("ia32_emulation={value}"));
    let compiled = std::fs::exists("/proc/sys/abi/vsyscall32").unwrap();
    compiled && !text.split_whitespace().any(|word| off.iter().any(|off| off == word))
}

/// A profile with an errno for each rule.
fn numbered(mut profile: Value) -> Value {
    profile["defaultAction"] = json!("SCMP_ACT_ERRNO");
    profile["defaultErrnoRet"] = json!(DEFAULT);
    let rules = profile["syscalls"].as_array_mut().unwrap();
    for (index, rule) in rules.iter_mut().enumerate() {
        rule["action"] = json!("SCMP_ACT_ERRNO");
        rule["errnoRet"] = json!(1000 + index);
    }
    rules.insert(0, json!({ "names": NEEDED, "action": "SCMP_ACT_ALLOW" }));
    profile
}

/// Calls that the profile decides, without those that the thread needs.
fn calls(filter: &Filter) -> Vec<Call> {
    let vectors = vectors(filter.rules.tables.iter().flat_map(|table| &table.conditional));
    let mut calls = Vec::new();
    let audits = [Arch::X86_64.audit(), Arch::X86.audit()];
    for audit in audits.into_iter().take(if takes_x86() { 2 } else { 1 }) {
        let edges = [X32_BIT - 1, X32_BIT, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1];
        let numbers = (0..600).flat_map(|number| [number, number | X32_BIT]).chain(edges);
        for number in numbers.filter(|number| !EXEMPT.contains(number)) {
            let (arch, own) = Arch::of(audit, number).unwrap();
            let conditional =
                filter.rules.table(arch).is_some_and(|table| !table.conditional(own).is_empty());
            for args in vectors.iter().take(if conditional { usize::MAX } else { 2 }) {
                let verdict = filter.rules.evaluate(audit, number, args).0;
                if verdict & action::MASK == action::ERRNO {
                    calls.push(Call { audit, number, args: *args });
                }
            }
        }
    }
    calls
}

/// How many calls the kernel answers as the rules have it: all that it is asked.
fn agree(profile: &Value) -> usize {
    let text = profile.to_string();
    let parsed: Seccomp<'_> = serde_json::from_str(&text).unwrap();
    let filter = Filter::new(&parsed, Arch::X86_64, "").unwrap();
    let calls = calls(&filter);
    for (call, answer) in calls.iter().zip(answers(&filter, &calls)) {
        let verdict = filter.rules.evaluate(call.audit, call.number, &call.args).0;
        assert_eq!(answer, -((verdict & !action::MASK) as i32), "{call:x?} in {text}");
    }
    calls.len()
}

/// Every comparison, with operands in either half, alone and in company.
fn comparisons() -> Value {
    let rule = |names: &[&str], args: &[(u32, &str, u64, u64)]| {
        let args = args.iter().map(|(index, op, value, two)| {
            json!({ "index": index, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": two })
        });
        json!({ "names": names, "action": "", "args": args.collect::<Vec<_>>() })
    };
    let mask = 0x00ff_0000_0000_00f0;
    json!({ "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": [
        rule(&["getpriority"], &[(0, "NE", 1 << 32 | 5, 0)]),
        rule(&["dup2"], &[(1, "LT", 1 << 32 | 7, 0)]),
        rule(&["dup3"], &[(2, "LE", 1 << 32, 0)]),
        rule(&["lseek"], &[(3, "EQ", 3 << 32 | 9, 0)]),
        rule(&["pread64"], &[(4, "GE", 1 << 32, 0)]),
        rule(&["pwrite64"], &[(5, "GT", 1 << 32 | 1, 0)]),
        rule(&["fadvise64"], &[(3, "MASKED_EQ", mask, 0x0012_0000_0000_0030)]),
        rule(&["socket", "socketpair"], &[(0, "EQ", 2, 0), (1, "MASKED_EQ", 0xf, 1), (2, "LE", 17, 0)]),
        rule(&["socket"], &[(0, "EQ", 2, 0), (2, "GT", 3, 0)]),
        rule(&["personality"], &[(0, "EQ", 8, 0)]),
        rule(&["personality"], &[(0, "GE", 8, 0)]),
        rule(&["personality"], &[(0, "LT", 4, 0)]),
        rule(&["ioctl"], &[(1, "EQ", 0x5412, 0), (1, "NE", 0x541c, 0)]),
        rule(&["getppid", "gettid"], &[]),
    ]})
}

#[test]
fn comparisons_mean_to_the_kernel_what_they_say() {
    let profile = numbered(comparisons());
    let samples = agree(&profile);
    assert!(samples > 5000, "{samples}");
    let text = profile.to_string();
    let parsed: Seccomp<'_> = serde_json::from_str(&text).unwrap();
    let filter = Filter::new(&parsed, Arch::X86_64, "").unwrap();
    // Each rule decides some call, and none is left to pass for another.
    let mut decided: Vec<u32> = calls(&filter)
        .iter()
        .map(|call| filter.rules.evaluate(call.audit, call.number, &call.args).0 & !action::MASK)
        .collect();
    decided.sort_unstable();
    decided.dedup();
    let rules = 1000..1014;
    let expected: Vec<u32> = [38, DEFAULT].into_iter().chain(rules).collect();
    assert_eq!(decided, expected);
    let ops = filter.rules.tables[0].conditional.iter().flat_map(|rule| &rule.conditions);
    let kinds: std::collections::HashSet<_> = ops.map(|one| std::mem::discriminant(&one.op)).collect();
    assert_eq!(kinds.len(), 7);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_profiles_mean_to_the_kernel_what_they_say(profile in random()) {
        agree(&numbered(profile));
    }
}
