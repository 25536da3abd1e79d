use std::cell::Cell;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::samples::{Breadth, check};
use crate::seccomp::engine::{self, Target};
use crate::seccomp::machine::{self, Call};
use crate::seccomp::rules::{Condition, Conditional, Op};
use crate::seccomp::{Arch, Filter, Instruction, action, code, compile, find_number};
use crate::spec::Seccomp;

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

/// The samples that one run of the tests takes at least, counted: those of `just seccomp-oracle` are
/// many more.
const SAMPLES: u64 = 5_000_000;

#[test]
fn filters_mean_what_profiles_say() {
    let (engines, random) = (engines(), random_ones());
    println!("samples: {engines} of profiles of engines, {random} of random ones");
    assert!(engines + random >= SAMPLES, "{engines} + {random}");
}

fn engines() -> u64 {
    let mut samples = 0;
    for name in ["docker.json", "podman.json"] {
        for arch in Arch::ALL {
            samples += check(&compiled(name, arch, &["CAP_BPF"]), Breadth::Near);
        }
        for arch in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
            for capabilities in [&[][..], &["CAP_SYS_ADMIN", "CAP_AUDIT_WRITE", "CAP_SYS_PTRACE"]] {
                samples += check(&compiled(name, arch, capabilities), Breadth::Wide);
            }
        }
    }
    samples
}

/// Where the crate that the table is made from differs from the kernel.
#[test]
fn the_table_has_the_numbers_of_the_kernel() {
    for (arch, name, number) in [
        (Arch::X86, "break", Some(17)),
        (Arch::X86_64, "map_shadow_stack", Some(453)),
        (Arch::X32, "map_shadow_stack", None),
        (Arch::Arm, "clock_gettime64", Some(403)),
        (Arch::Aarch64, "clock_gettime64", None),
        (Arch::Aarch64, "futex_time64", None),
        (Arch::Aarch64, "newfstatat", Some(79)),
    ] {
        assert_eq!(find_number(arch, name), number, "{name} of {}", arch.name());
    }
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

fn random_ones() -> u64 {
    let config = Config { cases: 320, failure_persistence: None, ..Config::default() };
    let samples = Cell::new(0);
    TestRunner::new(config)
        .run(&random(), |profile| {
            let text = profile.to_string();
            let parsed: Seccomp<'_> = serde_json::from_str(&text).unwrap();
            let filter = Filter::new(&parsed, Arch::X86_64, "").unwrap();
            samples.set(samples.get() + check(&filter, Breadth::Wide));
            Ok(())
        })
        .unwrap();
    samples.get()
}
