//! The text of a failure in each phase of the standard and the setns list: phase, operation, path,
//! errno and hint, on one line.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use init_core::failure::Phase;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::lab::injected_verb;
use crate::support::{Fixture, Needs, Outcome, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("errors::every_phase_has_a_row", Needs::Nothing, every_phase),
        trial("errors::configuration", Needs::Root, configuration),
        trial("errors::failing_calls", Needs::Strace, failing_calls),
        trial("errors::exec", Needs::Strace, exec),
    ]
}

/// A change of the bundle, and what `run` says of it.
type Row = (fn(&mut Fixture), &'static str);

fn mount(fixture: &mut Fixture, mount: Value) {
    fixture.config["mounts"].as_array_mut().unwrap().push(mount);
}

const CONFIGURATION: [Row; 18] = [
    (
        |f| mount(f, json!({ "destination": "/bin", "type": "nosuchfs", "source": "x" })),
        "config.json: /mounts/7/type: \"nosuchfs\": no such device (unknown file system type)",
    ),
    (
        |f| {
            mount(
                f,
                json!({ "destination": "/bin", "type": "tmpfs", "source": "x", "options": ["size=much"] }),
            );
        },
        "init: mounts: fsconfig size: invalid argument",
    ),
    // Of a mount that mount(2) is tried for.
    (
        |f| {
            mount(
                f,
                json!({ "destination": "/dev/x", "type": "tmpfs", "source": "x", "options": ["size=much"] }),
            );
        },
        "init: mounts: fsconfig size: invalid argument",
    ),
    (
        |f| mount(f, json!({ "destination": "/bin", "type": "tmpfs", "source": "x", "options": ["frob"] })),
        "init: mounts: fsconfig frob: invalid argument",
    ),
    (
        |f| mount(f, json!({ "destination": "/bin/busybox/y", "type": "tmpfs", "source": "x" })),
        "init: mounts: open /bin/busybox/y: not a directory",
    ),
    (
        |f| {
            mount(
                f,
                json!({ "destination": format!("/{}", "x".repeat(300)), "type": "tmpfs", "source": "x" }),
            );
        },
        "init: mounts: open /x: file name too long",
    ),
    (
        |f| {
            mount(
                f,
                json!({ "destination": format!("/{}", "x/".repeat(3000)), "type": "tmpfs", "source": "x" }),
            );
        },
        "init: mounts: open /x: file name too long",
    ),
    (
        |f| {
            fs::create_dir(f.rootfs().join("dev")).unwrap();
            f.config["mounts"].as_array_mut().unwrap().retain(|one| one["destination"] == "/proc");
            fs::write(f.rootfs().join("dev/null"), "").unwrap();
        },
        "init: devices: verify inode /dev/null (the file is not what its name says)",
    ),
    (
        |f| {
            f.config["annotations"] =
                json!({ "harness.network": "{\"routes\":[{\"gateway\":\"10.9.9.9\"}]}" });
        },
        "init: network: netlink request 1: network is unreachable",
    ),
    (
        |f| f.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "yes" }),
        "init: sysctl: write net/ipv4/ip_forward: invalid argument",
    ),
    (
        |f| f.config["linux"]["sysctl"] = json!({ "net.ipv4.nosuch": "1" }),
        "init: sysctl: open net/ipv4/nosuch: no such file or directory",
    ),
    (
        |f| {
            symlink("loop", f.rootfs().join("loop")).unwrap();
            f.config["linux"]["readonlyPaths"] = json!(["/loop"]);
        },
        "init: readonlyPaths: open /loop: too many levels of symbolic links",
    ),
    (
        |f| {
            symlink("loop", f.rootfs().join("loop")).unwrap();
            f.config["linux"]["maskedPaths"] = json!(["/loop/x"]);
        },
        "init: maskedPaths: open /loop/x: too many levels of symbolic links",
    ),
    (
        |f| f.config["process"]["cwd"] = json!("/bin/busybox"),
        "init: finalize: chdir /bin/busybox: not a directory",
    ),
    (
        |f| f.config["process"]["args"] = json!(["nosuch"]),
        "exec: \"nosuch\": executable file not found in $PATH",
    ),
    (
        |f| f.config["process"]["args"] = json!(["true", "x".repeat(140_000)]),
        "init: exec: execve /bin/true: argument list too long",
    ),
    (
        |f| {
            let limit = json!([{ "type": "RLIMIT_NOFILE", "soft": 1, "hard": 1_u64 << 40 }]);
            f.config["process"]["rlimits"] = limit;
        },
        "config.json: /process/rlimits/0: hard limit 1099511627776 cannot be set: operation not permitted",
    ),
    (
        |f| f.config["linux"]["sysctl"] = json!({ "kernel/hostname": "other" }),
        "config.json: /linux/sysctl/kernel~1hostname: /hostname sets it, too",
    ),
];

fn configuration() {
    for (change, message) in CONFIGURATION {
        let mut fixture = Fixture::script("true");
        change(&mut fixture);
        let ran = shortened(fixture.run());
        ran.fails_with(message);
        fixture.assert_gone();
    }
}

/// With long names written as one letter.
fn shortened(mut ran: Outcome) -> Outcome {
    for pair in ["xx", "x/x"] {
        while ran.stderr.contains(pair) {
            ran.stderr = ran.stderr.replace(pair, "x");
        }
    }
    ran
}

fn hooked(fixture: &mut Fixture) {
    fixture.config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/true" }] });
}

fn bare(fixture: &mut Fixture) {
    fixture.config["mounts"].as_array_mut().unwrap().truncate(1);
    fixture.config["linux"].as_object_mut().unwrap().remove("readonlyPaths");
}

fn filtered(fixture: &mut Fixture) {
    fixture.config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
}

fn terminal(fixture: &mut Fixture) {
    fixture.config["process"]["terminal"] = json!(true);
}

/// A change of the bundle, a failing call of init, and what `run` says of it.
type Injected = (fn(&mut Fixture), &'static str, &'static str);

const INJECTED: [Injected; 19] = [
    (
        |_| (),
        "execveat:error=EACCES",
        "init: clone: execveat init: permission denied (vm.memfd_noexec forbids executable memfds)",
    ),
    (|_| (), "setns:error=EPERM:when=1", "init: clone: setns template: operation not permitted"),
    (|_| (), "prctl:error=EPERM:when=2", "init: parent: prctl PR_SET_PDEATHSIG: operation not permitted"),
    (|_| (), "keyctl:error=ENOKEY:when=2", "init: keyring: keyctl _ses.ID: required key not available"),
    (|_| (), "setsid:error=EACCES", "init: console: setsid: permission denied"),
    (terminal, "ioctl:error=ENXIO:when=1", "init: console: ioctl /dev/pts/ptmx: no such device or address"),
    (|_| (), "chroot:error=EPERM", "init: rootfs: chroot ROOTFS: operation not permitted"),
    (|_| (), "fsmount:error=EPERM:when=2", "init: mounts: fsmount /dev: operation not permitted"),
    (|_| (), "mknodat:error=EPERM:when=2", "init: devices: mknod /dev/zero: operation not permitted"),
    (|_| (), "symlinkat:error=EROFS", "init: links: symlink /dev/fd: read-only file system"),
    (hooked, "setns:error=EPERM", "init: network: setns network: operation not permitted"),
    (hooked, "pivot_root:error=EINVAL", "init: pivot: pivot_root /: invalid argument"),
    (hooked, "umount2:error=EPERM", "init: pivot: umount /: operation not permitted"),
    (|_| (), "sethostname:error=EPERM", "init: identity: sethostname harness: operation not permitted"),
    (bare, "mount_setattr:error=EPERM:when=2", "init: readonly: mount_setattr /: operation not permitted"),
    // Behind 39 that drop the bounding set and find its end.
    (|_| (), "prctl:error=EINVAL:when=42", "init: process: prctl PR_SET_NO_NEW_PRIVS: invalid argument"),
    (|_| (), "setresgid:error=EINVAL", "init: finalize: setresgid: invalid argument"),
    (|_| (), "close_range:error=EINVAL:when=5+", "init: seal: close_range: invalid argument"),
    (filtered, "seccomp:error=EINVAL", "init: exec: seccomp: invalid argument"),
];

fn failing_calls() {
    for (change, inject, message) in INJECTED {
        let mut fixture = Fixture::script("sleep 5");
        // The template exists, so that its making is not what is hit.
        fixture.create();
        fixture.call(&["delete", "-f", &fixture.id]).prints("");
        change(&mut fixture);
        fixture.write();
        let ran = injected_verb(&fixture, inject, &["run", &fixture.id]);
        let rootfs = fixture.rootfs().display().to_string();
        ran.fails_with(&message.replace("ID", &fixture.id).replace("ROOTFS", &rootfs));
        fixture.assert_gone();
    }
}

fn exec() {
    let fixture = Fixture::script("sleep 100");
    fixture.create();
    fixture.verb("start").prints("");
    for (inject, message) in EXEC {
        let ran = injected_verb(&fixture, inject, &["exec", &fixture.id, "true"]);
        ran.fails_with(&message.replace("ID", &fixture.id));
    }
    // None of them harms the container, or stays in it.
    let members = fixture.call(&["ps", "--format", "json", &fixture.id]).stdout;
    assert_eq!(members, format!("[{}]\n", fixture.state()["pid"]));
}

const EXEC: [(&str, &str); 9] = [
    (
        "execveat:error=EACCES",
        "init: clone: execveat init: permission denied (vm.memfd_noexec forbids executable memfds)",
    ),
    ("setns:error=EPERM", "init: namespaces: setns namespace: operation not permitted"),
    ("keyctl:error=EDQUOT", "init: keyring: keyctl _ses.ID: disk quota exceeded"),
    ("setsid:error=EACCES", "init: console: setsid: permission denied"),
    ("fstatfs:error=EACCES", "init: process: stat /proc: permission denied"),
    ("setgroups:error=EPERM", "init: finalize: setgroups: operation not permitted"),
    (
        "capset:error=EPERM",
        "init: finalize: capset: operation not permitted (the runtime itself does not have all of these capabilities)",
    ),
    ("faccessat2:error=EACCES", "exec: \"true\": permission denied"),
    ("close_range:error=EINVAL:when=2", "init: seal: close_range: invalid argument"),
];

/// Phases that no row reaches, and where they are tested instead.
const ELSEWHERE: [(Phase, &str); 7] = [
    (Phase::Config, "protocol::refused_frames"),
    (Phase::Ready, "death::harness_dies"),
    (Phase::Hooks, "death::killed_in_each_phase"),
    (Phase::Gate, "lifecycle::gate"),
    (Phase::AppArmor, "needs AppArmor: the VM lane"),
    (Phase::Label, "needs SELinux: the VM lane"),
    (Phase::Seccomp, "loaded in the phase of the execve"),
];

fn every_phase() {
    let rows = CONFIGURATION.iter().map(|row| row.1).chain(INJECTED.iter().map(|row| row.2));
    let messages: Vec<&str> = rows.chain(EXEC.iter().map(|row| row.1)).collect();
    let named: BTreeSet<&str> =
        messages.iter().filter_map(|text| text.strip_prefix("init: ")?.split(':').next()).collect();
    for phase in Phase::ALL {
        let looked_up = *phase == Phase::LookPath && messages.iter().any(|text| text.starts_with("exec: "));
        let elsewhere = ELSEWHERE.iter().any(|(other, _)| other == phase);
        assert_ne!(named.contains(phase.name()) || looked_up, elsewhere, "{}", phase.name());
    }
}
