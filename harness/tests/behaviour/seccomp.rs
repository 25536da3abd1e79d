//! Filters in force: what a container's process may do, and who is asked.

use std::os::unix::net::UnixListener;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::notify::{Answer, CONTINUE, supervise};
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
        trial("seccomp::lints_name_the_file", Needs::Nothing, lints),
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

/// With `no_new_privs` init needs execve alone behind its filter, without capset as well; the
/// program's own first call is death.
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
    let supervisor = supervise(UnixListener::bind(&socket).unwrap(), |_| Answer::default());
    fixture.run().prints("0\n1\n");
    let (state, count) = supervisor.join().unwrap();
    assert_eq!(count, 1);
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["metadata"], "for the supervisor");
    assert_eq!((&state["state"]["id"], &state["state"]["status"]), (&json!(fixture.id), &json!("created")));
    assert_eq!(state["pid"], state["state"]["pid"]);
}

fn notify_all() {
    for no_new_privs in [true, false] {
        let mut fixture = Fixture::script("echo alive");
        let socket = fixture.path().join("listener");
        fixture.config["process"]["noNewPrivileges"] = json!(no_new_privs);
        fixture.config["linux"]["seccomp"] =
            json!({ "defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": socket });
        let supervisor = supervise(UnixListener::bind(&socket).unwrap(), |_| CONTINUE);
        fixture.run().prints("alive\n");
        assert!(supervisor.join().unwrap().1 > 10);
        fixture.assert_gone();
    }
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
    // AUDIT_ARCH_* of linux/audit.h; x32 has none of its own.
    for (arch, audit) in [("x86", 0x4000_0003_u32), ("x32", 0xc000_003e), ("arm", 0x4000_0028)] {
        let name = blob.to_str().unwrap();
        // Which names an architecture lacks, and is warned of, is another matter.
        assert_eq!(fixture.call(&["seccomp", "compile", "--arch", arch, profile, "-o", name]).code, Some(0));
        assert_eq!(&std::fs::read(&blob).unwrap()[8..12], audit.to_le_bytes(), "{arch}");
    }
    let listing = fixture.call(&["seccomp", "dis", profile]).stdout;
    assert!(listing.starts_with("    0  load architecture\n    1  if == 0xc000003e"), "{listing}");
    fixture
        .call(&["seccomp", "explain", profile, "nosuch"])
        .fails_with("seccomp explain: X86_64 has no system call \"nosuch\"");
    fixture
        .call(&["seccomp", "paint", profile])
        .fails_with("seccomp: unknown tool \"paint\": compile, check, explain or dis");
}

/// Every lint, mistake and warning is of the file that was given, with its place there.
fn lints() {
    let fixture = Fixture::new();
    let file = fixture.path().join("profile.json");
    let name = file.to_str().unwrap();
    let compare = |index: u32, value: u32| json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" });
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
        { "names": ["no_such_call", "kill"], "action": "SCMP_ACT_ERRNO" },
        { "names": ["kill"], "action": "SCMP_ACT_LOG", "args": [compare(1, 9)] },
        { "names": ["dup3"], "action": "SCMP_ACT_ERRNO", "args": [compare(2, 1), compare(2, 2)] },
        { "names": ["dup3"], "action": "SCMP_ACT_LOG", "args": [compare(1, 5)] },
        { "names": ["personality"], "action": "SCMP_ACT_ERRNO", "args": [compare(0, 8)] },
        { "names": ["execve"], "action": "SCMP_ACT_ERRNO" },
    ]});
    std::fs::write(&file, profile.to_string()).unwrap();
    let lints = [
        "/syscalls: unknown system calls are ignored: no_such_call",
        "/syscalls/2: an argument is compared twice, so any one of the comparisons is enough",
        "/syscalls/1: never reached for kill: /syscalls/0 is unconditional",
        "/syscalls/2 and /syscalls/3: both may match dup3, with different actions; the first decides",
        "/syscalls/4: personality takes an int, and all 64 bits of it are compared: other high bits do not match",
        "/syscalls/5: ERRNO(1) for execve, which starts the process",
    ];
    let checked = fixture.call(&["seccomp", "check", name]);
    let lines: String = lints.map(|lint| format!("{name}: {lint}\n")).concat();
    assert_eq!((checked.code, checked.stderr.as_str(), checked.stdout), (Some(3), "", lines));
    let json: Value =
        serde_json::from_str(&fixture.call(&["seccomp", "check", "--json", name]).stdout).unwrap();
    assert_eq!(json["lints"], json!(lints));
    let blob = fixture.path().join("blob");
    let compiled = fixture.call(&["seccomp", "compile", name, "-o", blob.to_str().unwrap()]);
    assert_eq!((compiled.code, compiled.stderr), (Some(0), format!("warning: {name}: {}\n", lints[0])));
    for (text, reason) in [
        (r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#, "/defaultAction: unknown action \"SCMP_ACT_MAYBE\""),
        ("{\n  ]", "2:3: key must be a string"),
        ("", "empty"),
    ] {
        std::fs::write(&file, text).unwrap();
        for tool in ["compile", "check", "explain", "dis"] {
            let line = format!("{name}: {reason}");
            fixture.call(&["seccomp", tool, name, "mkdir", "-o", blob.to_str().unwrap()]).fails_with(&line);
        }
    }
}
