//! Bad profiles, each refused with its place or taken for what it is (81 to 87 of the table of
//! hostile inputs), and what a profile must allow at least.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{Fixture, Needs, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("profiles::81_unknown_architecture", Needs::Root, architecture),
        trial("profiles::82_unknown_action", Needs::Root, action),
        trial("profiles::83_argument_six", Needs::Root, argument),
        trial("profiles::84_unknown_call", Needs::Root, unknown),
        trial("profiles::85_notify_without_listener", Needs::Root, notify),
        trial("profiles::86_too_many_instructions", Needs::Root, too_many),
        trial("profiles::87_calls_that_init_makes", Needs::Root, init),
        trial("profiles::published_list_is_enough", Needs::Root, published),
        trial("profiles::compiled_once", Needs::Root, compiled_once),
    ]
}

/// `create` refuses the profile and leaves nothing.
fn refused(profile: Value, message: &str) {
    let mut fixture = Fixture::script("true");
    fixture.config["linux"]["seccomp"] = profile;
    fixture.write();
    fixture.verb("create").fails_with(&format!("config.json: /linux/seccomp{message}"));
    fixture.assert_gone();
}

fn rule(extra: &Value) -> Value {
    let mut rule = json!({ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" });
    rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] })
}

/// The filter that a container had is the next one's if nobody else could have changed it, and only with the
/// same profile.
fn compiled_once() {
    let mut fixture = Fixture::script("busybox mkdir /dev/x 2>/dev/null || echo denied");
    fixture.config["linux"]["seccomp"] = rule(&json!({ "names": ["mkdir", "mkdirat"] }));
    let run = |fixture: &mut Fixture| fixture.run().stdout;
    assert_eq!(run(&mut fixture), "denied\n");
    let directory = fixture.root().join(".template.filters");
    let kept: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &kept[..] else { panic!("{kept:?}") };
    // SECCOMP_RET_ERRNO | EPERM becomes SECCOMP_RET_ALLOW, as only root could do it.
    let mut bytes = std::fs::read(file).unwrap();
    let at = bytes.windows(4).rposition(|word| word == 0x0005_0001_u32.to_le_bytes()).unwrap();
    bytes[at..at + 4].copy_from_slice(&0x7fff_0000_u32.to_le_bytes());
    std::fs::write(file, &bytes).unwrap();
    assert_eq!(run(&mut fixture), "");
    let old = fixture.config["linux"]["seccomp"].clone();
    fixture.config["linux"]["seccomp"]["syscalls"][0]["names"] = json!(["mkdirat", "mkdir"]);
    assert_eq!(run(&mut fixture), "denied\n");
    fixture.config["linux"]["seccomp"] = old;
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    assert_eq!(run(&mut fixture), "denied\n");
    assert_eq!(fixture.call(&["cleanup"]).code, Some(0));
    assert!(!directory.exists());
}

fn architecture() {
    let mut profile = rule(&json!({}));
    profile["architectures"] = json!(["SCMP_ARCH_X86", "SCMP_ARCH_VAX"]);
    refused(profile, "/architectures/1: unknown architecture \"SCMP_ARCH_VAX\"");
}

fn action() {
    refused(
        json!({ "defaultAction": "SCMP_ACT_MAYBE" }),
        "/defaultAction: unknown action \"SCMP_ACT_MAYBE\"",
    );
    refused(rule(&json!({ "action": "ERRNO" })), "/syscalls/0/action: unknown action \"ERRNO\"");
}

fn argument() {
    let compare = |index: u64| json!({ "args": [{ "index": index, "value": 1, "op": "SCMP_CMP_EQ" }] });
    refused(rule(&compare(6)), "/syscalls/0/args/0/index: 6 exceeds 5");
    refused(rule(&compare(4_294_967_295)), "/syscalls/0/args/0/index: 4294967295 exceeds 5");
}

fn unknown() {
    let mut fixture = Fixture::script("busybox mkdir /dev/x || echo denied");
    fixture.config["linux"]["seccomp"] =
        rule(&json!({ "names": ["no_such_call", "mkdir", "mkdirat", "nor_this"] }));
    let ran = fixture.run();
    let warning = "warning: config.json: /linux/seccomp/syscalls: unknown system calls are ignored: no_such_call, nor_this\n\
        mkdir: can't create directory '/dev/x': Operation not permitted\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "denied\n", warning));
}

/// With a listener both work (`seccomp::notify_about_everything`); without, nobody would answer.
fn notify() {
    const MESSAGE: &str = "/listenerPath: missing, and SCMP_ACT_NOTIFY needs a listener";
    refused(json!({ "defaultAction": "SCMP_ACT_NOTIFY" }), MESSAGE);
    refused(rule(&json!({ "names": ["write"], "action": "SCMP_ACT_NOTIFY" })), MESSAGE);
}

fn too_many() {
    // Both halves of an argument are loaded and compared, and there is a verdict: five each.
    let rules: Vec<Value> = (0..1200u64)
        .map(|value| {
            let args = [json!({ "index": 1, "value": value << 32 | value, "op": "SCMP_CMP_EQ" })];
            json!({ "names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1000 + value, "args": args })
        })
        .collect();
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules });
    let message =
        |count: &str| format!("/syscalls: {count} instructions, more than the 4096 that the kernel accepts");
    let fixture = Fixture::new();
    let file = fixture.path().join("large.json");
    std::fs::write(&file, profile.to_string()).unwrap();
    let file = file.to_str().unwrap();
    for tool in ["check", "dis"] {
        let ran = fixture.call(&["seccomp", tool, "--arch", "x86_64", file]);
        ran.fails_with(&format!("{file}: {}", message("6013")));
    }
    // The tree around the rules has a size of its own on each machine.
    let own = fixture.call(&["seccomp", "check", file]).stderr;
    let count = own.split_once("/syscalls: ").unwrap().1.split_once(' ').unwrap().0;
    refused(profile, &message(count));
}

fn init() {
    let deny = |name: &str| rule(&json!({ "names": [name] }));
    for name in ["getcwd", "openat", "prctl"] {
        let mut fixture = Fixture::new();
        fixture.config["linux"]["seccomp"] = deny(name);
        fixture.config["process"]["args"] = json!(["/bin/true"]);
        fixture.run().prints("");
    }
    refused(deny("execve"), "/syscalls/0: ERRNO(1) for execve, which starts the process");
    refused(
        json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS" }),
        "/defaultAction: KILL_PROCESS for execve, which starts the process",
    );
}

/// The calls behind the filter that PROTOCOL.md names.
fn list() -> Vec<&'static str> {
    let text = include_str!("../../../init/PROTOCOL.md");
    let (_, rest) = text.split_once("- Once a filter is loaded").unwrap();
    let (paragraph, _) = rest.split_once("\n- ").unwrap();
    paragraph.split_whitespace().filter_map(|word| word.split_once("(2)").map(|(name, _)| name)).collect()
}

/// A profile that allows the published list and kills for everything else. A program whose only call
/// is `exit_group` runs to its end; one that cannot be executed is still reported.
fn published() {
    assert_eq!(list(), ["capset", "execve", "exit_group"]);
    for no_new_privs in [true, false] {
        let mut fixture = Fixture::new();
        let program = std::path::Path::new(env!("INIT_IMAGE")).with_file_name("witness.bin");
        let copy = |from: &std::path::Path, name: &str| {
            let to = fixture.rootfs().join(name);
            let done = std::process::Command::new("install").args(["-m", "755"]).arg(from).arg(to).status();
            assert!(done.unwrap().success());
        };
        copy(&program, "witness");
        let garbage = fixture.path().join("garbage");
        std::fs::write(&garbage, "garbage").unwrap();
        copy(&garbage, "garbage");
        fixture.config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS",
            "syscalls": [{ "names": list(), "action": "SCMP_ACT_ALLOW" }] });
        fixture.config["process"]["noNewPrivileges"] = json!(no_new_privs);
        fixture.config["process"]["args"] = json!(["/witness", "true"]);
        fixture.run().prints("");
        fixture.config["process"]["args"] = json!(["/garbage"]);
        fixture.run().fails_with("init: exec: execve the process: exec format error");
        fixture.assert_gone();
    }
}
