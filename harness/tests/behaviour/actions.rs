//! Each action of a filter, inside a container.

use std::os::unix::net::UnixListener;
use std::path::Path;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::notify::{Answer, supervise};
use crate::support::{Fixture, Needs, config, outcome, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("actions::allow_and_errno", Needs::Root, errno),
        trial("actions::kill_thread_and_kill_process", Needs::Root, kill),
        trial("actions::trap_is_a_signal", Needs::Root, trap),
        trial("actions::trace_without_and_with_a_tracer", Needs::Strace, trace),
        trial("actions::log_leaves_a_record", Needs::Log, log),
        trial("actions::notify_emulates", Needs::Root, emulated),
        trial("actions::notify_in_exec", Needs::Root, notify_in_exec),
        trial("actions::supervisor_that_goes", Needs::Root, gone),
        trial("actions::listener_that_never_accepts", Needs::Root, deaf),
        trial("actions::listener_that_never_answers", Needs::Root, mute),
    ]
}

/// Roles that this program has in containers; see `main`.
pub const ROLE: &str = "HARNESS_TEST_ROLE";

/// The role `thread`: makes a directory in a second thread, and says once that has ended.
pub fn play(role: &str) {
    assert_eq!(role, "thread");
    std::thread::spawn(|| std::fs::create_dir("/dev/x"));
    while std::fs::read_dir("/proc/self/task").unwrap().count() > 1 {
        std::thread::yield_now();
    }
    println!("alive, {}", if Path::new("/dev/x").exists() { "made" } else { "not made" });
}

fn on_mkdir(rule: Value) -> Value {
    let mut rule = rule;
    rule["names"] = json!(["mkdir", "mkdirat"]);
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] })
}

fn with(profile: Value, script: &str) -> Fixture {
    let mut fixture = Fixture::script(script);
    fixture.config["linux"]["seccomp"] = profile;
    fixture
}

const MKDIR: &str = "busybox mkdir /dev/x; echo $?";

fn errno() {
    with(on_mkdir(json!({ "action": "SCMP_ACT_ALLOW" })), MKDIR).run().prints("0\n");
    for (rule, text) in [
        (json!({ "action": "SCMP_ACT_ERRNO" }), "Operation not permitted"),
        (json!({ "action": "SCMP_ACT_ERRNO", "errnoRet": 30 }), "Read-only file system"),
        (json!({ "action": "SCMP_ACT_ERRNO", "errnoRet": 4095 }), "Unknown error 4095"),
    ] {
        let ran = with(on_mkdir(rule), MKDIR).run();
        let line = format!("mkdir: can't create directory '/dev/x': {text}\n");
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr), (Some(0), "1\n", line));
    }
    // 0 is a success that nothing was done for.
    let nothing = json!({ "action": "SCMP_ACT_ERRNO", "errnoRet": 0 });
    with(on_mkdir(nothing), "busybox mkdir /dev/x; echo $?; busybox test -d /dev/x || echo none")
        .run()
        .prints("0\nnone\n");
    // The default has an errno of its own. What busybox needs is what the rule allows.
    let mut fixture = with(Value::Null, "");
    fixture.config["process"]["args"] = json!(["/bin/busybox", "mkdir", "/dev/x"]);
    let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 30, "syscalls": [{
        "names": ["execve", "exit_group", "write", "writev", "brk", "mmap", "mprotect", "arch_prctl", "umask", "openat2"],
        "action": "SCMP_ACT_ALLOW" }] });
    fixture.config["linux"]["seccomp"] = profile;
    let ran = fixture.run();
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(1), "mkdir: can't create directory '/dev/x': Read-only file system\n")
    );
}

/// Of two threads the one that makes the call ends, or both do.
fn kill() {
    for (action, code, text) in [
        ("SCMP_ACT_KILL", 0, "alive, not made\n"),
        ("SCMP_ACT_KILL_THREAD", 0, "alive, not made\n"),
        ("SCMP_ACT_KILL_PROCESS", 159, ""),
        ("SCMP_ACT_ALLOW", 0, "alive, made\n"),
    ] {
        let mut fixture = with(on_mkdir(json!({ "action": action })), "");
        let own = std::env::current_exe().unwrap();
        let mounts = fixture.config["mounts"].as_array_mut().unwrap();
        for path in ["/usr", "/lib", "/lib64"].into_iter().filter(|path| Path::new(path).exists()) {
            mounts.push(
                json!({ "destination": path, "source": path, "type": "bind", "options": ["bind", "ro"] }),
            );
        }
        mounts.push(
            json!({ "destination": "/role", "source": own, "type": "bind", "options": ["bind", "ro"] }),
        );
        fixture.config["root"]["readonly"] = json!(false);
        fixture.config["process"]["args"] = json!(["/role"]);
        fixture.config["process"]["env"] = json!([format!("{ROLE}=thread")]);
        let ran = fixture.run();
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), text), "{action}: {}", ran.stderr);
    }
}

fn trap() {
    let umask = json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["umask"], "action": "SCMP_ACT_TRAP" }] });
    // The shell makes the call itself, and its handler runs.
    with(umask.clone(), "trap 'echo SIGSYS seen' SYS; umask 077; echo on").run().prints("SIGSYS seen\non\n");
    // Without a handler the signal ends it.
    assert_eq!(with(umask, "umask 077; echo on").run().code, Some(159));
}

fn trace() {
    let fixture = with(on_mkdir(json!({ "action": "SCMP_ACT_TRACE", "errnoRet": 7 })), MKDIR);
    let alone = fixture.run();
    let line = "mkdir: can't create directory '/dev/x': Function not implemented\n";
    assert_eq!((alone.code, alone.stdout.as_str(), alone.stderr.as_str()), (Some(0), "1\n", line));
    // strace takes the event and lets the call be made.
    let log = fixture.path().join("strace");
    let traced = outcome(
        std::process::Command::new("strace")
            .args(["-f", "--seccomp-bpf", "-e", "trace=mkdir,mkdirat", "-o", log.to_str().unwrap()])
            .arg(crate::support::binary())
            .arg("--root")
            .arg(fixture.root())
            .args(["run", &fixture.id])
            .current_dir(fixture.bundle()),
    );
    assert_eq!((traced.code, traced.stdout.as_str()), (Some(0), "0\n"), "{}", traced.stderr);
    let seen = std::fs::read_to_string(&log).unwrap();
    let made = |line: &str| line.contains("\"/dev/x\", 0777)") && line.ends_with("= 0");
    assert!(seen.lines().any(made), "{seen}");
}

/// The call is made, and the kernel's log has a record of it. The kernel limits their rate, so
/// another try may be needed.
fn log() {
    let (audit, number) = crate::support::needs::mkdir_number();
    let script = "echo $$; exec busybox mkdir /dev/x";
    let mut fixture = with(on_mkdir(json!({ "action": "SCMP_ACT_LOG" })), script);
    config::share(&mut fixture.config, "pid");
    let start = std::time::Instant::now();
    loop {
        let ran = fixture.run();
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        let pid = format!(" pid={} ", ran.stdout.trim());
        let call = format!(" sig=0 arch={audit} syscall={number} ");
        let kernel = outcome(std::process::Command::new("/bin/busybox").arg("dmesg")).stdout;
        let record = |line: &&str| {
            line.contains("type=1326 ")
                && line.contains(&pid)
                && line.contains(&call)
                && line.ends_with("code=0x7ffc0000")
        };
        if kernel.lines().any(|line| record(&line)) {
            return;
        }
        assert!(start.elapsed().as_secs() < 30, "no record of {pid} {call}");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}

/// The path that a process passes to a call, read from its memory.
fn text(pid: u32, address: u64) -> String {
    use std::os::unix::fs::FileExt;
    let mut bytes = [0; 64];
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let count = memory.read_at(&mut bytes, address).unwrap();
    let length = bytes[..count].iter().position(|byte| *byte == 0).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

/// Makes the directory in place of the process, named otherwise, and refuses one of them.
fn make(notification: &crate::support::notify::Notification) -> Answer {
    let path = notification.args[usize::from(crate::support::needs::mkdir_number().1 != 83)];
    let path = text(notification.pid, path);
    if path.ends_with("refused") {
        return Answer { error: -28, ..Answer::default() };
    }
    std::fs::create_dir(format!("/proc/{}/root{path}.made", notification.pid)).unwrap();
    Answer::default()
}

fn notifying(script: &str) -> (Fixture, UnixListener) {
    let mut fixture = with(on_mkdir(json!({ "action": "SCMP_ACT_NOTIFY" })), script);
    let socket = fixture.path().join("listener");
    fixture.config["linux"]["seccomp"]["listenerPath"] = json!(socket);
    (fixture, UnixListener::bind(socket).unwrap())
}

fn emulated() {
    let script = "busybox mkdir /dev/one; ls -d /dev/one* ; busybox mkdir /dev/refused";
    let (fixture, listener) = notifying(script);
    let supervisor = supervise(listener, make);
    let ran = fixture.run();
    let line = "mkdir: can't create directory '/dev/refused': No space left on device\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(1), "/dev/one.made\n", line));
    assert_eq!(supervisor.join().unwrap().1, 2);
    fixture.assert_gone();
}

/// A process of `exec` has a listener of its own, and the state that comes with it is its own too.
fn notify_in_exec() {
    let (fixture, listener) = notifying("sleep 1000");
    fixture.create();
    let first = supervise(listener.try_clone().unwrap(), make);
    fixture.verb("start").prints("");
    let second = supervise(listener, make);
    // Whichever is served, it is one connection each.
    let exec = fixture.call(&["exec", &fixture.id, "sh", "-c", "busybox mkdir /dev/two; ls -d /dev/two*"]);
    exec.prints("/dev/two.made\n");
    let pid = fixture.state()["pid"].clone();
    fixture.call(&["delete", "-f", &fixture.id]).prints("");
    let mut told = [first, second].map(|supervisor| supervisor.join().unwrap());
    told.sort_by_key(|(_, count)| *count);
    assert_eq!(told.each_ref().map(|(_, count)| *count), [0, 1]);
    let [first, second] = told.map(|(state, _)| state);
    assert_eq!((&first["pid"], &first["state"]["pid"]), (&pid, &pid));
    assert_eq!(second["state"]["pid"], pid);
    assert_ne!(second["pid"], pid);
    assert_eq!(second["state"]["id"], fixture.id);
}

/// A supervisor that takes the listener and closes it: the call does not exist.
fn gone() {
    let (fixture, listener) = notifying(MKDIR);
    let supervisor = std::thread::spawn(move || drop(crate::support::accept(&listener)));
    let ran = fixture.run();
    let line = "mkdir: can't create directory '/dev/x': Function not implemented\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "1\n", line));
    supervisor.join().unwrap();
    fixture.assert_gone();
}

/// A listener whose queue is full, since it never accepts.
fn deaf() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let fixture = with(on_mkdir(json!({ "action": "SCMP_ACT_NOTIFY" })), "true");
    let path = fixture.path().join("listener");
    let socket = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
    };
    let (listener, address) = (socket(), SocketAddrUnix::new(&path).unwrap());
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let mut waiting = Vec::new();
    let full = loop {
        let one = socket();
        match rustix::net::connect(&one, &address) {
            Ok(()) => waiting.push(one),
            Err(errno) => break errno,
        }
    };
    assert_eq!(full, rustix::io::Errno::AGAIN);
    let mut fixture = fixture;
    fixture.config["linux"]["seccomp"]["listenerPath"] = json!(path);
    let line = format!("/linux/seccomp/listenerPath: {}: nobody accepts within 10 s", path.display());
    fixture.run().fails_with(&line);
    fixture.assert_gone();
}

/// A listener with room in its queue, which never answers for the execve.
fn mute() {
    let mut fixture = with(on_mkdir(json!({ "action": "SCMP_ACT_NOTIFY" })), "true");
    let path = fixture.path().join("listener");
    let _listens = UnixListener::bind(&path).unwrap();
    let seccomp = &mut fixture.config["linux"]["seccomp"];
    seccomp["syscalls"][0]["names"] = json!(["execve"]);
    seccomp["listenerPath"] = json!(path);
    let line = format!("/linux/seccomp/listenerPath: {}: execve is not answered within 10 s", path.display());
    fixture.run().fails_with(&format!("config.json: {line}"));
    fixture.assert_gone();
}
