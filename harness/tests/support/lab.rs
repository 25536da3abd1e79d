//! Worlds that the harness is put into: another user, another cgroup file system, failing calls.

use std::process::Command;

use super::{Fixture, Outcome, binary, outcome};

/// Runs a shell command in a mount namespace of its own, with the harness as `$H`, the id as `$ID`.
pub fn in_shell(fixture: &Fixture, unshare: &[&str], script: &str) -> Outcome {
    fixture.write();
    let script = format!(
        "H='{} --root {}'; ID={}; {script}",
        binary().display(),
        fixture.root().display(),
        fixture.id
    );
    let mut command = Command::new("unshare");
    command.args(unshare).args(["sh", "-c", &script]);
    outcome(command.current_dir(fixture.bundle()))
}

/// Runs a shell command with a pure cgroup2 hierarchy on /sys/fs/cgroup.
pub fn in_cgroup2(fixture: &Fixture, then: &str) -> Outcome {
    let script = format!(
        "mount --make-rprivate / && umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 99
        {then}"
    );
    in_shell(fixture, &["-m"], &script)
}

/// A verb under strace with an injection: into the harness, and with `-f` among `options` also into init.
pub fn injecting(fixture: &Fixture, options: &[&str], inject: &str, verb: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command
        .args(options)
        .args(["-o", "/dev/null", "-e", &format!("inject={inject}")])
        .arg(binary())
        .arg("--root")
        .arg(fixture.root())
        .args(verb)
        .current_dir(fixture.bundle());
    command
}

/// Runs a verb under strace with an injection: `setsid` and the like are init's alone.
pub fn injected_verb(fixture: &Fixture, inject: &str, verb: &[&str]) -> Outcome {
    outcome(&mut injecting(fixture, &["-f"], inject, verb))
}

/// Creates under strace with an injection into init.
pub fn injected(fixture: &Fixture, inject: &str) -> Outcome {
    fixture.write();
    injected_verb(fixture, inject, &["create", &fixture.id])
}

/// The harness as uid 1000, from a copy that it can reach.
pub fn ordinary(fixture: &Fixture) -> Command {
    let copy = fixture.path().join("harness");
    // By a process of its own, as the fixture's busybox.
    let mut copied = Command::new("cp");
    assert!(copied.arg(binary()).arg(&copy).status().unwrap().success());
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "1000", "--regid", "1000", "--clear-groups"]).arg(copy);
    command.arg("--root").arg(fixture.root()).current_dir(fixture.bundle());
    command
}

/// Runs the harness as uid 1000.
pub fn as_ordinary(fixture: &Fixture, args: &[&str]) -> Outcome {
    outcome(ordinary(fixture).args(args))
}
