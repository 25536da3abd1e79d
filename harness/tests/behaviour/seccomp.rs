//! Filters in force: what a container's process may do, and who is asked.
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{Fixture, Needs, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("seccomp::actions", Needs::Root, actions),
        trial("seccomp::nothing_but_execve_is_needed", Needs::Root, least),
        trial("seccomp::refused_profiles", Needs::Root, refused),
        trial("seccomp::missing_interpreter", Needs::Root, interpreter),
        trial("seccomp::notify", Needs::Root, notify),
        trial("seccomp::notify_about_everything", Needs::Root, notify_all),
        trial("seccomp::listener_that_is_not_there", Needs::Root, no_listener),
        trial("seccomp::tools", Needs::Nothing, tools),
    ]
}

fn with(profile: Value, script: &str) -> Fixture {
    let mut fixture = Fixture::script(script);
    fixture.config["linux"]["seccomp"] = profile;
    fixture
}

fn on_mkdir(action: &str) -> Value {
    json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": action }] })
}

fn actions() {
    let script = "busybox grep Seccomp: /proc/self/status; busybox mkdir /dev/x; echo $?";
    let errno = with(on_mkdir("SCMP_ACT_ERRNO"), script).run();
    assert_eq!(errno.stdout, "Seccomp:\t2\n1\n");
    assert_eq!(errno.stderr, "mkdir: can't create directory '/dev/x': Operation not permitted\n");
    assert_eq!(with(on_mkdir("SCMP_ACT_LOG"), script).run().stdout, "Seccomp:\t2\n0\n");
    // 128 + SIGSYS.
    for action in ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP", "SCMP_ACT_KILL"] {
        assert_eq!(with(on_mkdir(action), script).run().stdout, "Seccomp:\t2\n159\n", "{action}");
    }
    // Without a tracer the call does not exist.
    let traced = with(on_mkdir("SCMP_ACT_TRACE"), script).run();
    assert_eq!(traced.stderr, "mkdir: can't create directory '/dev/x': Function not implemented\n");
    // The first process itself: its end says why.
    let mut fixture = with(on_mkdir("SCMP_ACT_KILL_PROCESS"), "");
    fixture.config["process"]["args"] = json!(["/bin/busybox", "mkdir", "/dev/x"]);
    let killed = fixture.run();
    assert_eq!(killed.code, Some(159));
    assert!(killed.stderr.starts_with("warning: the process was killed by SIGSYS: "), "{}", killed.stderr);
}

/// Behind the filter init makes the calls of PROTOCOL.md and no other: with `no_new_privs` execve
/// alone, without capset as well. Everything else is death.
fn least() {
    for (no_new_privs, names) in [(true, json!(["execve"])), (false, json!(["execve", "capset"]))] {
        let mut fixture = Fixture::new();
        fixture.config["process"]["args"] = json!(["/bin/true"]);
        fixture.config["process"]["noNewPrivileges"] = json!(no_new_privs);
        fixture.config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS",
            "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }] });
        let ran = fixture.run();
        // The start succeeds, so the execve was made; the program's own first call ends it.
        assert_eq!(ran.code, Some(159), "{}", ran.stderr);
        assert!(!ran.stderr.contains("error:"), "{}", ran.stderr);
    }
}

fn refused() {
    let deny = |name: &str| json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": [name], "action": "SCMP_ACT_ERRNO" }] });
    with(deny("execve"), "true")
        .run()
        .fails_with("config.json: /linux/seccomp/syscalls/0: ERRNO(1) for execve, which starts the process");
    let mut fixture = with(deny("capset"), "true");
    fixture.run().prints("");
    fixture.config["process"]["noNewPrivileges"] = json!(false);
    fixture
        .run()
        .fails_with("config.json: /linux/seccomp/syscalls/0: ERRNO(1) for capset, which starts the process");
    let unknown = with(deny("no_such_call"), "true").run();
    assert_eq!(
        (unknown.code, unknown.stderr.as_str()),
        (
            Some(0),
            "warning: config.json: /linux/seccomp/syscalls: unknown system calls are ignored: no_such_call\n"
        )
    );
    // Calls that init needs itself, before the filter, are the profile's to deny.
    for name in ["getcwd", "openat", "openat2", "prctl", "close_range", "write", "setresuid"] {
        let mut fixture = with(deny(name), "");
        fixture.config["process"]["args"] = json!(["/bin/true"]);
        let ran = fixture.run();
        assert!(!ran.stderr.contains("error:"), "{name}: {}", ran.stderr);
    }
}

/// Behind a filter init could not say what is missing, so it says so before.
fn interpreter() {
    for filtered in [true, false] {
        let mut fixture = Fixture::new();
        let script = fixture.rootfs().join("bin/script");
        std::fs::write(&script, "#!/no/such/interpreter -x\n").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fixture.config["process"]["args"] = json!(["/bin/script"]);
        if filtered {
            fixture.config["linux"]["seccomp"] = on_mkdir("SCMP_ACT_ERRNO");
        }
        let phase = if filtered { "lookPath" } else { "exec" };
        fixture.run().fails_with(&format!(
            "init: {phase}: interpreter /no/such/interpreter: no such file or directory"
        ));
    }
}

/// `struct seccomp_notif` of linux/seccomp.h, as words.
#[repr(C)]
#[derive(Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    rest: [u64; 7],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// Accepts a listener and answers every notification; the state it was told, and how many there
/// were when its last task had ended.
fn supervise(socket: UnixListener, flags: u32) -> JoinHandle<(Value, u32)> {
    const RECEIVE: usize = 0xc050_2100;
    const SEND: usize = 0xc018_2101;
    std::thread::spawn(move || {
        let (file, text) = crate::support::accept(&socket);
        let state = serde_json::from_slice(&text).unwrap();
        let number = file.as_raw_fd() as usize;
        let mut count = 0;
        loop {
            let mut poll = [rustix::event::PollFd::new(&file, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut poll, None).unwrap();
            if !poll[0].revents().contains(rustix::event::PollFlags::IN) {
                return (state, count);
            }
            let mut notification = Notification::default();
            let args = [number, RECEIVE, &raw mut notification as usize, 0, 0];
            // SAFETY: the kernel writes one struct seccomp_notif, which is borrowed exclusively.
            let got = unsafe { init_core::sys::arch::syscall(linux_raw_sys::general::__NR_ioctl, args) };
            if got < 0 {
                continue;
            }
            count += 1;
            let answer = Answer { id: notification.id, value: 0, error: 0, flags };
            let args = [number, SEND, &raw const answer as usize, 0, 0];
            // SAFETY: the kernel reads one struct seccomp_notif_resp, which outlives the call.
            let _gone_meanwhile =
                unsafe { init_core::sys::arch::syscall(linux_raw_sys::general::__NR_ioctl, args) };
        }
    })
}

fn notify() {
    let mut profile = on_mkdir("SCMP_ACT_NOTIFY");
    let script = "busybox mkdir /dev/x; echo $?; busybox test -d /dev/x; echo $?";
    let fixture = with(Value::Null, script);
    let socket = fixture.path().join("listener");
    profile["listenerPath"] = json!(socket);
    profile["listenerMetadata"] = json!("for the supervisor");
    let mut fixture = fixture;
    fixture.config["linux"]["seccomp"] = profile;
    // It says that the call has succeeded, and does nothing.
    let supervisor = supervise(UnixListener::bind(&socket).unwrap(), 0);
    fixture.run().prints("0\n1\n");
    let (state, count) = supervisor.join().unwrap();
    assert_eq!(count, 1);
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["metadata"], "for the supervisor");
    assert_eq!((&state["state"]["id"], &state["state"]["status"]), (&json!(fixture.id), &json!("running")));
    assert_eq!(state["pid"], state["state"]["pid"]);
}

fn notify_all() {
    const CONTINUE: u32 = 1;
    let mut fixture = Fixture::script("echo alive");
    let socket = fixture.path().join("listener");
    fixture.config["linux"]["seccomp"] =
        json!({ "defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": socket });
    let supervisor = supervise(UnixListener::bind(&socket).unwrap(), CONTINUE);
    fixture.run().prints("alive\n");
    assert!(supervisor.join().unwrap().1 > 10);
    fixture.assert_gone();
}

fn no_listener() {
    let mut fixture = with(on_mkdir("SCMP_ACT_NOTIFY"), "true");
    fixture.run().fails_with(
        "config.json: /linux/seccomp/listenerPath: missing, and SCMP_ACT_NOTIFY needs a listener",
    );
    let socket = fixture.path().join("listener");
    fixture.config["linux"]["seccomp"]["listenerPath"] = json!(socket);
    let line = format!("/linux/seccomp/listenerPath: {}: no such file or directory", socket.display());
    fixture.run().fails_with(&line);
    fixture.assert_gone();
}

fn tools() {
    let fixture = Fixture::new();
    let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/seccomp/docker.json");
    fixture
        .call(&["seccomp", "explain", profile, "personality", "8"])
        .prints("X86_64 personality: ALLOW by syscalls[3] (arg0 == 0x8)\n");
    let denied = fixture.call(&["seccomp", "explain", profile, "mount"]);
    assert_eq!((denied.code, denied.stdout.as_str()), (Some(3), "X86_64 mount: ERRNO(1) by defaultAction\n"));
    let blob = fixture.path().join("blob");
    let compile = |arch: &str| {
        let name = blob.to_str().unwrap();
        let done = fixture.call(&["seccomp", "compile", "--arch", arch, profile, "-o", name]);
        let warning =
            format!("warning: {profile}: /syscalls: unknown system calls are ignored: sync_file_range2\n");
        assert_eq!((done.code, done.stderr), (Some(0), warning));
        std::fs::read(&blob).unwrap()
    };
    let (first, second) = (compile("aarch64"), compile("aarch64"));
    assert_eq!(first, second);
    assert_eq!(&first[..6], b"BPFi\x01\0");
    assert_eq!(&first[8..12], 0xc000_00b7_u32.to_le_bytes());
    let listing = fixture.call(&["seccomp", "dis", profile]).stdout;
    assert!(listing.starts_with("    0  load architecture\n    1  if == 0xc000003e"), "{listing}");
    fixture
        .call(&["seccomp", "explain", profile, "nosuch"])
        .fails_with("seccomp explain: X86_64 has no system call \"nosuch\"");
    fixture
        .call(&["seccomp", "paint", profile])
        .fails_with("seccomp: unknown tool \"paint\": compile, check, explain or dis");
}
