use std::path::Path;

use proptest::prelude::*;

use super::engine::Target;
use super::rules::{Condition, Conditional, Op};
use super::*;

/// Arguments around every operand of a filter.
pub fn vectors(filter: &Filter) -> Vec<[u64; 6]> {
    let mut args: Vec<[u64; 6]> = vec![[0; 6], [u64::MAX; 6]];
    for rule in filter.rules.tables.iter().flat_map(|table| &table.conditional) {
        for condition in &rule.conditions {
            let mask = if let Op::MaskedEq(mask) = condition.op { mask } else { u64::MAX };
            for value in [
                condition.value,
                condition.value.wrapping_add(1),
                condition.value.wrapping_sub(1),
                condition.value.wrapping_add(1 << 32),
                condition.value.wrapping_sub(1 << 32),
                condition.value & 0xffff_ffff,
                condition.value | !mask,
                !condition.value,
            ] {
                for base in [0, u64::MAX] {
                    let mut vector = [base; 6];
                    for other in &rule.conditions {
                        vector[usize::from(other.index)] = other.value;
                    }
                    vector[usize::from(condition.index)] = value;
                    args.push(vector);
                }
            }
        }
    }
    args.sort_unstable();
    args.dedup();
    args
}

/// The compiled filter in the machine against the rules, over numbers, architectures and arguments
/// around every operand; how many samples that were.
fn equal(filter: &Filter) -> u64 {
    let mut samples = 0;
    let args = vectors(filter);
    let mut numbers: Vec<u32> = (0..620).flat_map(|number| [number, number | arch::X32_BIT]).collect();
    numbers.extend([0x3fff_ffff, 0x4000_0000, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX]);
    numbers.extend([0xf_0000, 0xf_0001, 0xf_0005, 0xf_0006, 0xf_0007]);
    let audits = Arch::ALL.map(Arch::audit).into_iter().chain([0, 1]);
    for audit in audits {
        for number in &numbers {
            let base = number & !arch::X32_BIT;
            let conditional = filter.rules.tables.iter().any(|table| !table.conditional(base).is_empty());
            for vector in args.iter().take(if conditional { usize::MAX } else { 2 }) {
                let call = Call { audit, number: *number, args: *vector };
                let (verdict, _) = machine::run(&filter.program, &call).unwrap();
                assert_eq!(verdict, filter.rules.evaluate(audit, *number, vector).0, "{call:x?}");
                samples += 1;
            }
        }
    }
    samples
}

fn profile(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/seccomp").join(name)).unwrap()
}

fn compiled(name: &str, arch: Arch, capabilities: &[&str]) -> Filter {
    let text = profile(name);
    let capabilities = capabilities.iter().map(|name| (*name).to_owned()).collect();
    let target = Target { arch, capabilities, kernel: (6, 1) };
    let parsed = engine::parse(Path::new(name), &text, &target).unwrap();
    Filter::new(&parsed, arch, "").unwrap()
}

#[test]
fn profiles_of_engines_mean_what_they_say() {
    let mut samples = 0;
    for name in ["docker.json", "podman.json"] {
        for arch in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
            for capabilities in [&[][..], &["CAP_SYS_ADMIN", "CAP_AUDIT_WRITE", "CAP_SYS_PTRACE"]] {
                samples += equal(&compiled(name, arch, capabilities));
            }
        }
    }
    assert!(samples > 100_000, "{samples}");
}

/// The sizes that `conformance/budgets.toml` promises; none of it depends on the clock.
#[test]
fn profiles_of_engines_stay_small() {
    let docker = compiled("docker.json", Arch::X86_64, &[]).program;
    assert!(docker.len() <= 450, "docker: {}", docker.len());
    let podman = compiled("podman.json", Arch::X86_64, &[]).program;
    assert!(podman.len() <= 370, "podman: {}", podman.len());
    let filter = compiled("docker.json", Arch::X86_64, &[]);
    let allowed: Vec<u32> = (0..600)
        .filter_map(|number| {
            let call = Call { audit: Arch::X86_64.audit(), number, args: [0; 6] };
            let (verdict, steps) = machine::run(&filter.program, &call)?;
            (verdict == action::ALLOW).then_some(steps)
        })
        .collect();
    let mean = f64::from(allowed.iter().sum::<u32>()) / allowed.len() as f64;
    assert!(mean <= 12.0, "mean path {mean}");
}

/// What `conditions` relies on: seccompiler's code for a rule falls off its end if it matches, and
/// otherwise jumps one past that.
#[test]
fn seccompiler_keeps_its_contract() {
    for (op, value, yes, no) in [
        (Op::Eq, 5 << 32 | 7, 5 << 32 | 7, 7),
        (Op::Ne, 7, 1 << 32 | 7, 7),
        (Op::Lt, 1 << 32, 7, 1 << 32),
        (Op::Le, 7, 7, 8),
        (Op::Ge, 1 << 32, 1 << 32, 7),
        (Op::Gt, 7, 8, 7),
        (Op::MaskedEq(0xff00), 0x1200, 0x12ff, 0x1300),
        (Op::MaskedEq(0xff << 32), 0x12 << 32, 0x12 << 32 | 9, 0x13 << 32),
    ] {
        let rule = Conditional { number: 0, entry: 0, conditions: vec![Condition { index: 3, op, value }] };
        let mut program = compile::conditions(&rule, true).unwrap();
        program.push(Instruction { code: code::RETURN, jt: 0, jf: 0, k: 1 });
        program.push(Instruction { code: code::RETURN, jt: 0, jf: 0, k: 2 });
        for (argument, verdict) in [(yes, 1), (no, 2)] {
            let call = Call { audit: 0, number: 0, args: [0, 0, 0, argument, 0, 0] };
            assert_eq!(machine::run(&program, &call).unwrap().0, verdict, "{op:?} {argument:#x}");
        }
    }
}

#[test]
fn bad_profiles_are_refused_with_their_place() {
    let error = |text: &str| {
        let parsed: Seccomp<'_> = serde_json::from_str(text).unwrap();
        let filter = Filter::new(&parsed, Arch::X86_64, "/linux/seccomp");
        let done = filter.and_then(|filter| filter.preflight(true, "/linux/seccomp").map(|()| filter));
        done.err()
            .map(|error| error.to_string().replace("config.json: /linux/seccomp", ""))
            .unwrap_or_default()
    };
    for (text, message) in [
        (r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#, "/defaultAction: unknown action \"SCMP_ACT_MAYBE\""),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#,
            "/defaultErrnoRet: SCMP_ACT_ALLOW has no errno",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_VAX"]}"#,
            "/architectures/0: unknown architecture \"SCMP_ARCH_VAX\"",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_KILL","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
            "/syscalls/0/args/0/index: 6 exceeds 5",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_KILL","errnoRet":1}]}"#,
            "/syscalls/0/errnoRet: SCMP_ACT_KILL has no errno",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["execve"],"action":"SCMP_ACT_ERRNO"}]}"#,
            "/syscalls/0: ERRNO(1) for execve, which starts the process",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_KILL"}"#,
            "/defaultAction: KILL_THREAD for execve, which starts the process",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#,
            "/listenerPath: missing, and SCMP_ACT_NOTIFY needs a listener",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}"#,
            "/flags/0: needs a rule with SCMP_ACT_NOTIFY",
        ),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]}"#, "/flags/0: unknown flag \"X\""),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
}

#[test]
fn too_many_instructions_are_a_named_error() {
    let rules: Vec<String> = (0..1200)
        .map(|value| {
            format!(
                r#"{{"names":["ioctl"],"action":"SCMP_ACT_ERRNO","args":[{{"index":1,"value":{},"op":"SCMP_CMP_EQ"}}]}}"#,
                value * 4_294_967_297_u64
            )
        })
        .collect();
    let text = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{}]}}"#, rules.join(","));
    let parsed: Seccomp<'_> = serde_json::from_str(&text).unwrap();
    let error = Filter::new(&parsed, Arch::X86_64, "").unwrap_err().to_string();
    assert!(error.contains("instructions, more than the 4096 that the kernel accepts"), "{error}");
}

/// Random profiles: names, conditions, overlaps, actions, architectures.
pub fn random() -> impl Strategy<Value = serde_json::Value> {
    const NAMES: [&str; 14] = [
        "read",
        "socket",
        "connect",
        "clone",
        "personality",
        "ioctl",
        "semop",
        "execve",
        "openat2",
        "futex",
        "shmat",
        "setns",
        "breakpoint",
        "_sysctl",
    ];
    const ACTIONS: [&str; 6] = [
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_LOG",
        "SCMP_ACT_TRAP",
        "SCMP_ACT_TRACE",
    ];
    const OPS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let value = prop_oneof![
        0u64..4,
        any::<u64>(),
        (0u64..4).prop_map(|value| value << 32),
        Just(u64::from(u32::MAX))
    ];
    let argument = (0u32..6, value.clone(), value, 0usize..OPS.len()).prop_map(|(index, value, two, op)| {
        serde_json::json!({ "index": index, "value": value, "valueTwo": two, "op": format!("SCMP_CMP_{}", OPS[op]) })
    });
    let rule = (
        proptest::collection::vec(0usize..NAMES.len(), 1..4),
        0usize..ACTIONS.len(),
        proptest::collection::vec(argument, 0..4),
    )
        .prop_map(|(names, action, args)| {
            let names: Vec<&str> = names.into_iter().map(|name| NAMES[name]).collect();
            serde_json::json!({ "names": names, "action": ACTIONS[action], "args": args })
        });
    let archs = proptest::sample::subsequence(
        vec!["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_RISCV64"],
        0..=5,
    );
    (0usize..ACTIONS.len(), archs, proptest::collection::vec(rule, 0..12)).prop_map(|(default, archs, rules)| {
        serde_json::json!({ "defaultAction": ACTIONS[default], "architectures": archs, "syscalls": rules })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 320, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_profiles_mean_what_they_say(profile in random()) {
        let text = profile.to_string();
        let parsed: Seccomp<'_> = serde_json::from_str(&text).unwrap();
        let filter = Filter::new(&parsed, Arch::X86_64, "").unwrap();
        equal(&filter);
    }
}
