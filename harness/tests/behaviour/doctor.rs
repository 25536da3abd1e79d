//! `doctor`: features that are there, and features that are taken away.

use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::{Needs, binary, outcome, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("doctor::finds_what_is_required", Needs::Root, finds),
        trial("doctor::tells_what_is_missing", Needs::Strace, tells),
        trial("doctor::leaves_nothing", Needs::Root, leaves_nothing),
    ]
}

fn finds() {
    let done = outcome(Command::new(binary()).args(["doctor", "--json"]));
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let findings: Vec<Value> = serde_json::from_str(&done.stdout).unwrap();
    let required: Vec<&Value> = findings.iter().filter(|one| one["severity"] == "required").collect();
    assert_eq!(required.len(), 11);
    assert!(required.iter().all(|one| one["works"] == true), "{required:?}");
    // What the machine says of itself by other means.
    for (name, there) in [
        ("AppArmor", std::path::Path::new("/sys/kernel/security/apparmor").exists()),
        ("Intel RDT", std::path::Path::new("/sys/fs/resctrl/schemata").exists()),
    ] {
        let found = findings.iter().find(|one| one["name"] == name).unwrap();
        assert_eq!(found["works"], there, "{name}");
    }
}

/// Takes a system call away with strace; the line of the probe that needs it, and the status.
fn without(call: &str, error: &str, probe: &str) -> (String, Option<i32>) {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={call}:error={error}")]);
    let done = outcome(command.arg(binary()).arg("doctor"));
    let line = done.stdout.lines().find(|line| line.contains(probe)).unwrap_or_default().to_owned();
    (line.split_once(" no: ").map_or(line.clone(), |(_, why)| why.to_owned()), done.code)
}

fn tells() {
    for (call, error, probe, why, code) in [
        ("openat2", "ENOSYS", "openat2(2)", "function not implemented; Linux 5.12 or newer", 3),
        ("mount_setattr", "ENOSYS", "mounts by", "function not implemented; Linux 5.12 or newer", 3),
        (
            "bpf",
            "EPERM",
            "device policy",
            "operation not permitted; CONFIG_CGROUP_BPF, CAP_BPF or CAP_SYS_ADMIN",
            0,
        ),
        ("seccomp", "EINVAL", "seccomp filters", "invalid argument; CONFIG_SECCOMP_FILTER", 0),
    ] {
        assert_eq!(without(call, error, probe), (why.to_owned(), Some(code)), "{call}");
    }
}

/// In a mount namespace of its own: other trials mount meanwhile.
fn leaves_nothing() {
    // A mount on a directory that another trial removes vanishes here as well, so the count tells nothing.
    let script = "cat /proc/self/mountinfo; echo; \"$0\" doctor > /dev/null; cat /proc/self/mountinfo";
    let mut command = Command::new("unshare");
    let done = outcome(command.args(["--mount", "sh", "-c", script]).arg(binary()));
    let (before, after) = done.stdout.split_once("\n\n").unwrap();
    let left: Vec<&str> = after.lines().filter(|mount| !before.lines().any(|one| one == *mount)).collect();
    assert!(after.contains(" / / ") && left.is_empty(), "{left:?}");
}
