//! A container that its filter ends: what `run`, `exec` and `events` say of it, with the kernel's
//! log as they find it.

use std::process::Command;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{Fixture, Needs, Outcome, config, outcome, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("sigsys::recorded", Needs::Cgroup2, recorded),
        trial("sigsys::not_recorded", Needs::Cgroup2, not_recorded),
        trial("sigsys::the_real_log", Needs::Log, real),
    ]
}

const BEGIN: &str = "the process was killed by SIGSYS: its seccomp filter forbids";
const NO_RECORD: &str = "a system call of which /dev/kmsg has no record (the kernel limits their rate); \
    strace -f -p PID between create and start shows it";
const NO_LOG: &str = "a system call that /dev/kmsg would name: no such device or address; \
    strace -f -p PID between create and start shows it";

/// A container whose process makes a directory, which its filter forbids by rule 1; `script` first.
fn forbidden(script: &str) -> Fixture {
    let mut fixture = Fixture::script(&format!("{script}; exec busybox mkdir /dev/x"));
    fixture.config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["chroot"], "action": "SCMP_ACT_KILL_PROCESS" },
        { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS" },
    ]});
    fixture.config["root"]["readonly"] = json!(false);
    // The pid that the process sees is the one in the log.
    config::share(&mut fixture.config, "pid");
    fixture
}

/// Runs harness where `log`, of the fixture's directory, is the kernel's log.
fn with_log(fixture: &Fixture, log: &str, script: &str) -> Outcome {
    fixture.write();
    let script = format!(
        "mount --make-rprivate / && mount --bind {} /dev/kmsg || exit 99; H='{} --root {}'; ID={}; {script}",
        fixture.path().join(log).display(),
        crate::support::binary().display(),
        fixture.root().display(),
        fixture.id,
    );
    outcome(Command::new("unshare").args(["-m", "sh", "-c", &script]).current_dir(fixture.bundle()))
}

/// What a container's process writes to `/log`: the record that its filter is going to leave.
const RECORD: &str = "echo \"5,1,2,-;audit: type=1326 audit($(busybox date +%s).000:43): auid=0 uid=0 gid=0 \
    ses=1 pid=$$ comm=mkdir exe=/bin/busybox sig=31 arch=ARCH syscall=NUMBER compat=0 ip=0x1 code=0x80000000\" >/log";

fn recorded() {
    let mkdir = crate::support::needs::mkdir_number();
    for (arch, number, named) in [
        (mkdir.0, mkdir.1, "mkdir, by /linux/seccomp/syscalls/1 of config.json"),
        // The same by an architecture that the profile does not have.
        ("40000003", 39, "mkdir of X86, by /linux/seccomp/architectures of config.json"),
        ("c0000016", 7, "7 of architecture 0xc0000016 (harness seccomp explain PROFILE 7)"),
        // A call of another profile than today's.
        (mkdir.0, mkdir.1 - 1, "rename (harness seccomp explain PROFILE rename)"),
    ] {
        let record = RECORD.replace("ARCH", arch).replace("NUMBER", &number.to_string());
        let fixture = forbidden(&record);
        std::fs::write(fixture.rootfs().join("log"), "").unwrap();
        let ran = with_log(&fixture, "bundle/rootfs/log", "$H run $ID");
        let line = format!("warning: {BEGIN} {named}\n");
        assert_eq!((ran.code, ran.stderr), (Some(159), line));
    }
    let record = RECORD.replace("ARCH", mkdir.0).replace("NUMBER", &mkdir.1.to_string());
    // It runs until its events are listened to.
    let mut fixture = forbidden(&format!("busybox sleep 2; {record}"));
    std::fs::write(fixture.rootfs().join("log"), "").unwrap();
    let script = "$H create $ID && { $H events $ID & $H start $ID; wait; }";
    let expected = json!({ "type": "seccomp", "id": fixture.id,
        "data": { "message": format!("{BEGIN} mkdir, by /linux/seccomp/syscalls/1 of config.json") } });
    assert_eq!(seccomp_events(&with_log(&fixture, "bundle/rootfs/log", script)), [expected]);
    fixture.call(&["delete", &fixture.id]).prints("");
    // A process that a handler saves, or that ends otherwise, was not ended by its filter.
    fixture.config["process"]["args"] = json!(["sh", "-c", format!("busybox sleep 2; {record}")]);
    assert_eq!(seccomp_events(&with_log(&fixture, "bundle/rootfs/log", script)), Vec::<Value>::new());
}

/// The events of the filter among those that `events` prints.
fn seccomp_events(ran: &Outcome) -> Vec<Value> {
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let events = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["type"] == "seccomp").collect()
}

fn not_recorded() {
    let fixture = forbidden("true");
    std::fs::write(fixture.path().join("empty"), "").unwrap();
    // What cannot be opened.
    let _socket = std::os::unix::net::UnixListener::bind(fixture.path().join("socket")).unwrap();
    // A record of that pid that is older than the container.
    let old = forbidden(&RECORD.replace("$(busybox date +%s)", "1000000000").replace("ARCH", "c000003e"));
    std::fs::write(old.rootfs().join("log"), "").unwrap();
    for (fixture, log, reason) in
        [(&fixture, "empty", NO_RECORD), (&old, "bundle/rootfs/log", NO_RECORD), (&fixture, "socket", NO_LOG)]
    {
        let ran = with_log(fixture, log, "$H run $ID");
        assert_eq!((ran.code, ran.stderr), (Some(159), format!("warning: {BEGIN} {reason}\n")), "{log}");
    }
    let exec = "$H create $ID && $H exec $ID busybox mkdir /dev/x";
    let ran = with_log(&fixture, "empty", exec);
    assert_eq!((ran.code, ran.stderr), (Some(159), format!("warning: {BEGIN} {NO_RECORD}\n")));
    fixture.call(&["delete", "-f", &fixture.id]).prints("");
    // It runs until its events are listened to.
    let late = forbidden("busybox sleep 2");
    std::fs::write(late.path().join("empty"), "").unwrap();
    let events = "$H create $ID && { $H events $ID & $H start $ID; wait; }";
    let expected =
        json!({ "type": "seccomp", "id": late.id, "data": { "message": format!("{BEGIN} {NO_RECORD}") } });
    assert_eq!(seccomp_events(&with_log(&late, "empty", events)), [expected]);
}

/// What the kernel itself writes is what is read. It limits the rate, so another try may be needed.
fn real() {
    let named = format!("warning: {BEGIN} mkdir, by /linux/seccomp/syscalls/1 of config.json\n");
    let limited = format!("warning: {BEGIN} {NO_RECORD}\n");
    let fixture = forbidden("true");
    for _ in 0..60 {
        let ran = fixture.run();
        assert_eq!(ran.code, Some(159));
        if ran.stderr == named {
            return;
        }
        assert_eq!(ran.stderr, limited);
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    panic!("no record in a minute");
}
