//! The log of `--log FILE --log-format json`, as containerd's shim reads it after a call that failed.

use std::fs;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{Fixture, Needs, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("log::one_error", Needs::Root, one_error),
        trial("log::several_records", Needs::Root, several_records),
        trial("log::warnings", Needs::Root, warnings),
    ]
}

/// What a failing call does to the container of this table before, and what it is.
type Failing = (&'static str, fn(&mut Fixture), &'static [&'static str], &'static str);

fn created(fixture: &mut Fixture) {
    fixture.create();
}

fn running(fixture: &mut Fixture) {
    fixture.create();
    fixture.verb("start").prints("");
}

fn paused(fixture: &mut Fixture) {
    running(fixture);
    fixture.verb("pause").prints("");
}

fn stopped(fixture: &mut Fixture) {
    running(fixture);
    fixture.call(&["kill", &fixture.id, "KILL"]).prints("");
    fixture.await_status("stopped");
}

fn written(fixture: &mut Fixture) {
    fixture.write();
}

/// @ID is the container. What a client may look for is in the message: go-runc's users `does not exist`
/// and `container does not exist`, containerd's shim `container not running` for a process that has
/// finished, moby and podman the words of a program that is not there.
const FAILING: [Failing; 42] = [
    (
        "create, nothing there",
        |_| (),
        &["create", "-b", "/nowhere", "@ID"],
        "/nowhere: bundle does not exist",
    ),
    (
        "create, no bundle here",
        |f| fs::remove_file(f.bundle().join("config.json")).unwrap(),
        &["create", "@ID"],
        "@BUNDLE/config.json: does not exist",
    ),
    ("create, an id in use", created, &["create", "@ID"], "container \"@ID\" already exists"),
    (
        "create, a wrong id",
        written,
        &["create", "a/b"],
        "invalid id \"a/b\": only letters, digits, and _ . + - are allowed",
    ),
    ("create, without an id", written, &["create"], "create: ID is missing"),
    (
        "create, an unknown option",
        written,
        &["create", "--frob", "@ID"],
        "create: unknown option --frob; see --help",
    ),
    (
        "create, no JSON",
        |f| f.write_text("{"),
        &["create", "@ID"],
        "config.json: 1:1: EOF while parsing an object",
    ),
    (
        "create, a wrong value",
        |f| {
            f.write_text(r#"{"ociVersion":"1.0.0","root":7}"#);
        },
        &["create", "@ID"],
        "config.json: 1:30: /root: invalid type: integer `7`, expected struct Root",
    ),
    (
        "create, no such program",
        |f| {
            f.config["process"]["args"] = json!(["nosuch"]);
            f.write();
        },
        &["create", "@ID"],
        "exec: \"nosuch\": executable file not found in $PATH",
    ),
    (
        "create, init fails",
        |f| {
            f.config["process"]["cwd"] = json!("/bin/sh");
            f.write();
        },
        &["create", "@ID"],
        "init: finalize: chdir /bin/sh: not a directory",
    ),
    (
        "run, no such program",
        |f| {
            f.config["process"]["args"] = json!(["/no\nsuch\"\\"]);
            f.write();
        },
        &["run", "@ID"],
        "exec: \"/no\\nsuch\\\"\\\\\": stat /no\\nsuch\"\\: no such file or directory",
    ),
    ("run, an id in use", created, &["run", "@ID"], "container \"@ID\" already exists"),
    ("start, unknown", |_| (), &["start", "@ID"], "container does not exist: \"@ID\""),
    ("start, running", running, &["start", "@ID"], "cannot start container \"@ID\": it is already running"),
    ("start, stopped", stopped, &["start", "@ID"], "cannot start container \"@ID\": it has stopped"),
    ("state, unknown", |_| (), &["state", "@ID"], "container does not exist: \"@ID\""),
    ("exec, unknown", |_| (), &["exec", "@ID", "true"], "container does not exist: \"@ID\""),
    (
        "exec, created",
        created,
        &["exec", "@ID", "nosuch"],
        "exec: \"nosuch\": executable file not found in $PATH",
    ),
    ("exec, stopped", stopped, &["exec", "@ID", "true"], "cannot exec in container \"@ID\": it has stopped"),
    ("exec, paused", paused, &["exec", "@ID", "true"], "cannot exec in container \"@ID\": it is paused"),
    (
        "exec, no such program",
        running,
        &["exec", "@ID", "nosuch"],
        "exec: \"nosuch\": executable file not found in $PATH",
    ),
    (
        "exec, no such file",
        running,
        &["exec", "@ID", "/nosuch"],
        "exec: \"/nosuch\": stat /nosuch: no such file or directory",
    ),
    ("exec, a directory", running, &["exec", "@ID", "/bin"], "exec: \"/bin\": is a directory"),
    (
        "exec, not executable",
        running,
        &["exec", "@ID", "/proc/version"],
        "exec: \"/proc/version\": permission denied",
    ),
    (
        "exec, no such directory",
        running,
        &["exec", "--cwd", "/nosuch", "@ID", "true"],
        "init: finalize: chdir /nosuch: no such file or directory",
    ),
    ("kill, unknown", |_| (), &["kill", "@ID", "9"], "container does not exist: \"@ID\""),
    ("kill, all of unknown", |_| (), &["kill", "--all", "@ID", "9"], "container does not exist: \"@ID\""),
    ("kill, stopped", stopped, &["kill", "@ID", "9"], "container not running: \"@ID\""),
    ("kill, stopped, by name", stopped, &["kill", "@ID", "SIGTERM"], "container not running: \"@ID\""),
    ("kill, a wrong signal", running, &["kill", "@ID", "SIGNEVER"], "unknown signal \"SIGNEVER\""),
    ("delete, unknown", |_| (), &["delete", "@ID"], "container does not exist: \"@ID\""),
    (
        "delete, created",
        created,
        &["delete", "@ID"],
        "cannot delete container \"@ID\": it is created; stop it first or use --force",
    ),
    (
        "delete, running",
        running,
        &["delete", "@ID"],
        "cannot delete container \"@ID\": it is running; stop it first or use --force",
    ),
    (
        "delete, paused",
        paused,
        &["delete", "@ID"],
        "cannot delete container \"@ID\": it is paused; stop it first or use --force",
    ),
    ("pause, unknown", |_| (), &["pause", "@ID"], "container does not exist: \"@ID\""),
    ("pause, stopped", stopped, &["pause", "@ID"], "cannot pause container \"@ID\": it is stopped"),
    ("resume, running", running, &["resume", "@ID"], "cannot resume container \"@ID\": it is running"),
    ("update, unknown", |_| (), &["update", "--pids-limit", "9", "@ID"], "container does not exist: \"@ID\""),
    ("ps, unknown", |_| (), &["ps", "--format", "json", "@ID"], "container does not exist: \"@ID\""),
    ("events, stopped", stopped, &["events", "--stats", "@ID"], "container \"@ID\" is not running"),
    ("checkpoint", running, &["checkpoint", "@ID"], "checkpoint: not supported"),
    ("an unknown verb", |_| (), &["frob", "@ID"], "unknown command \"frob\"; see --help"),
];

/// The log as go-runc's users read it: of the records, all of which must be JSON, the last error.
fn one_error() {
    for (name, before, args, message) in FAILING {
        let mut fixture = Fixture::script("sleep 100");
        before(&mut fixture);
        let log = fixture.path().join("log.json");
        let option = format!("--log={}", log.display());
        let id = fixture.id.clone();
        let args = args.iter().map(|arg| if *arg == "@ID" { id.as_str() } else { arg });
        let ran = fixture.call(&[&option, "--log-format=json"].into_iter().chain(args).collect::<Vec<_>>());
        let message = message.replace("@ID", &id).replace("@BUNDLE", &fixture.bundle().display().to_string());
        let stderr = format!("error: {message}\n");
        assert_eq!((ran.code, ran.stderr), (Some(1), stderr), "{name}");
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(text.lines().count(), 1, "{name}: {text:?}");
        let record: Value = serde_json::from_str(&text).unwrap();
        let time = record["time"].as_str().unwrap();
        humantime::parse_rfc3339(time).unwrap();
        assert_eq!(record, json!({ "level": "error", "msg": message, "time": time }), "{name}");
    }
}

/// What does not fail leaves no error; one that follows another is behind it; and with --debug
/// there are records of another level.
fn several_records() {
    let fixture = Fixture::script("sleep 100");
    fixture.write();
    let log = fixture.path().join("log.json");
    let name = log.to_str().unwrap();
    let call =
        |args: &[&str]| fixture.call(&[&["--debug", "--log", name, "--log-format", "json"], args].concat());
    let id = fixture.id.as_str();
    let levels = || {
        let text = fs::read_to_string(&log).unwrap();
        let record = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let level = |line: &str| record(line)["level"].as_str().unwrap().to_owned();
        text.lines().map(level).filter(|level| level != "debug").collect::<Vec<_>>()
    };
    for args in
        [&["create", id][..], &["start", id], &["delete", "--force", id], &["delete", "--force", "nobody"]]
    {
        assert_eq!(call(args).code, Some(0));
    }
    assert_eq!(levels(), Vec::<String>::new());
    assert!(fs::read_to_string(&log).unwrap().contains("\"level\":\"debug\""));
    assert_eq!(call(&["state", "first"]).code, Some(1));
    assert_eq!(call(&["state", "second"]).code, Some(1));
    assert_eq!(levels(), ["error", "error"]);
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.lines().last().unwrap().contains("container does not exist: \\\"second\\\""), "{text}");
    // A log that cannot be written changes nothing else.
    let unwritten = fixture.call(&["--log", "/nowhere/log", "--log-format", "json", "state", "nobody"]);
    assert_eq!(
        (unwritten.code, unwritten.stderr.as_str()),
        (
            Some(1),
            "warning: --log /nowhere/log: No such file or directory (os error 2)\nerror: container does not exist: \"nobody\"\n"
        )
    );
}

/// Where there is a log warnings are there and nowhere else: engines take what is on stderr for the
/// container's.
fn warnings() {
    let mut fixture = Fixture::script("sleep 100");
    fixture.config["process"]["capabilities"]["bounding"] = json!(["CAP_FROB"]);
    fixture.config["hooks"] = json!({ "poststop": [{ "path": "/bin/false" }] });
    fixture.config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        // The first two are in podman's own profile.
        { "names": ["swapcontext", "timerfd", "frob"], "action": "SCMP_ACT_ERRNO" }] });
    fixture.write();
    let told = [
        "config.json: /process/capabilities/bounding/0: unknown capability \"CAP_FROB\" is ignored",
        "config.json: /linux/seccomp/syscalls: unknown system calls are ignored: frob",
        "poststop hook #1 /bin/false: exit status: 1",
    ];
    let log = fixture.path().join("log.json");
    let name = log.to_str().unwrap();
    for logs in [true, false] {
        let global: &[&str] = if logs { &["--log", name, "--log-format", "json"] } else { &[] };
        let mut stderr = String::new();
        for args in [&["create", &fixture.id][..], &["delete", "--force", &fixture.id]] {
            let ran = fixture.call(&[global, args].concat());
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
            stderr += &ran.stderr;
        }
        let lines: String = told.iter().map(|line| format!("warning: {line}\n")).collect();
        assert_eq!(stderr, if logs { "" } else { &lines });
        let text = fs::read_to_string(&log).unwrap();
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let records = records.map(|record| json!([record["level"], record["msg"]]));
        assert_eq!(records.collect::<Vec<_>>(), told.map(|line| json!(["warning", line])));
    }
}
