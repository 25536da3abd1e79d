//! Init dies: at any point before Done the create fails, says how and where, and leaves nothing.

use std::process::Command;

use libtest_mimic::Trial;

use crate::support::lab::{injected, injected_verb, injecting};
use crate::support::{Fixture, Needs, outcome, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("death::killed_in_each_phase", Needs::Strace, killed),
        trial("death::failing_calls_name_the_phase", Needs::Strace, failing),
        trial("death::exec_dies_behind_its_last_word", Needs::Strace, exec_dies),
        trial("death::harness_dies", Needs::Strace, harness_dies),
        trial("death::run_is_interrupted", Needs::Strace, run_is_interrupted),
    ]
}

fn killed() {
    for (call, phase) in [
        ("setns:signal=KILL:when=1", "clone"),
        ("keyctl:signal=KILL:when=2", "keyring"),
        ("setsid:signal=KILL", "console"),
        ("chroot:signal=KILL", "rootfs"),
        ("fsopen:signal=KILL:when=2", "mounts"),
        ("mount:signal=KILL:when=2", "mounts"),
        ("mknodat:signal=KILL:when=4", "devices"),
        ("symlinkat:signal=KILL:when=2", "links"),
        ("sethostname:signal=KILL", "identity"),
        ("setgroups:signal=KILL", "finalize"),
        ("capset:signal=KILL", "finalize"),
        ("faccessat2:signal=KILL", "lookPath"),
    ] {
        let fixture = Fixture::script("true");
        // The template exists, so that its making is not what is hit.
        fixture.create();
        fixture.call(&["delete", "-f", &fixture.id]).prints("");
        let failed = injected(&fixture, call);
        failed.fails_with(&format!(
            "init was killed by SIGKILL in phase {phase} before the container was created"
        ));
        fixture.assert_gone();
    }
}

fn failing() {
    for (call, message) in [
        ("setsid:error=EIO", "init: console: setsid: i/O error"),
        ("keyctl:error=EDQUOT:when=1", "init: keyring: keyctl _ses.ID: disk quota exceeded"),
        (
            "fsopen:error=ENODEV:when=2",
            "config.json: /mounts/1/type: \"tmpfs\": no such device (unknown file system type)",
        ),
        ("symlinkat:error=ENOSPC", "init: links: symlink /dev/fd: no space left on device"),
        ("setresuid:error=EAGAIN", "init: finalize: setresuid: resource temporarily unavailable"),
        (
            "capset:error=EPERM",
            "init: finalize: capset: operation not permitted (the runtime itself does not have all of these capabilities)",
        ),
        ("setgroups:error=EPERM", "init: finalize: setgroups: operation not permitted"),
    ] {
        let fixture = Fixture::script("true");
        fixture.create();
        fixture.call(&["delete", "-f", &fixture.id]).prints("");
        let failed = injected(&fixture, call);
        let message = message.replace("ID", &fixture.id);
        let found = failed.stderr.trim_end().strip_prefix("error: ").unwrap_or(&failed.stderr);
        // The C libraries differ in how they spell EIO.
        let same = |text: &str| text.replace("input/output error", "i/O error");
        assert_eq!((failed.code, same(found)), (Some(1), message));
        fixture.assert_gone();
    }
}

/// `procDone` is said, the execve is not made: nothing has been started.
fn exec_dies() {
    let fixture = Fixture::script("sleep 100");
    fixture.create();
    fixture.verb("start").prints("");
    let words = ["exec", "-d", &fixture.id, "true"];
    injected_verb(&fixture, "close_range:signal=KILL:when=2", &words)
        .fails_with("init was killed by SIGKILL in phase seal before the container was created");
}

/// Killed at any point, the harness leaves what `start` refuses and `delete` finds. Up to procDone init ends
/// with it.
fn harness_dies() {
    for (call, status) in [
        // Before the state is written, and before procRun is sent.
        ("write:signal=KILL:when=3", &["creating"][..]),
        ("sendto:signal=KILL:when=2", &["stopped"]),
        // Behind procRun, where it brings lo up and init may be done.
        ("socket:signal=KILL", &["stopped", "creating"]),
        // Behind procDone: what is prepared is not in force.
        ("renameat:signal=KILL", &["creating"]),
    ] {
        let fixture = Fixture::script("sleep 100");
        fixture.create();
        fixture.call(&["delete", "-f", &fixture.id]).prints("");
        let killed = outcome(&mut injecting(&fixture, &[], call, &["create", &fixture.id]));
        assert_eq!(killed.code, None, "{call}");
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(status.contains(&&*fixture.status()), "{call}: {}", fixture.status());
        assert_eq!(fixture.verb("start").code, Some(1), "{call}");
        if call.starts_with("renameat") {
            let why = format!("cannot exec in container {:?}: it is being created", fixture.id);
            fixture.call(&["exec", &fixture.id, "true"]).fails_with(&why);
        }
        fixture.call(&["delete", "-f", &fixture.id]).prints("");
        fixture.assert_gone();
    }
}

/// While init hangs, a `run` that keeps signals for the process still ends by one, and takes all back.
fn run_is_interrupted() {
    let fixture = Fixture::script("true");
    fixture.write();
    let mut strace =
        injecting(&fixture, &["-f"], "setsid:signal=STOP", &["run", &fixture.id]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let harness = std::fs::read_to_string(children).unwrap();
    let began = std::time::Instant::now();
    assert!(Command::new("kill").args(["-INT", harness.trim()]).status().unwrap().success());
    // strace ends as the harness has.
    assert_eq!(strace.wait().unwrap().code(), None);
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
    fixture.assert_gone();
}
