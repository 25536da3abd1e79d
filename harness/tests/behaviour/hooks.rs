//! Hooks: what each of the six kinds is given, and what comes of one that misbehaves.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{Fixture, Needs, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("hooks::state_environment_and_arguments", Needs::Root, given),
        trial("hooks::order_within_a_kind", Needs::Root, order),
        trial("hooks::timeout_kills_the_tree", Needs::Root, timeout),
        trial("hooks::endless_output", Needs::Root, endless),
        trial("hooks::output_is_shortened", Needs::Root, shortened),
        trial("hooks::inside_the_container", Needs::Root, inside),
        trial("hooks::interrupted", Needs::Root, interrupted),
        trial("hooks::start_twice", Needs::Root, start_twice),
        trial("hooks::no_signal_is_blocked", Needs::Root, unblocked),
    ]
}

const HOST: [&str; 5] = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];

fn script(text: &str, env: &[&str]) -> Value {
    json!({ "path": "/bin/sh", "args": ["own-name", "-c", text, "zero", "one two"], "env": env })
}

/// A harness that forwards signals has blocked them; its hooks have not.
fn unblocked() {
    let mut fixture = Fixture::script("sleep 0.1");
    let file = fixture.path().join("masks");
    let hook = script(&format!("grep SigBlk /proc/self/status >> {}", file.display()), &[]);
    fixture.config["hooks"] = json!({ "poststart": [hook], "poststop": [hook] });
    fixture.run().prints("");
    fixture.config["process"]["args"] = json!(["/nothing"]);
    assert_eq!(fixture.run().code, Some(1));
    assert_eq!(fs::read_to_string(file).unwrap(), "SigBlk:\t0000000000000000\n".repeat(3));
}

/// A start that comes too late leaves the container as it is, whether its hooks run or it does.
fn start_twice() {
    let mut fixture = Fixture::script("sleep 100");
    fixture.config["hooks"] = json!({ "startContainer": [
        { "path": "/bin/sh", "args": ["sh", "-c", "touch /here; while test -e /here; do sleep 0.05; done"] },
    ]});
    fixture.config["root"]["readonly"] = json!(false);
    let id = fixture.id.clone();
    fixture.create();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| fixture.verb("start"));
        fixture.await_file("here");
        fixture.verb("start").fails_with(&format!(
            "cannot start container {id:?}: its startContainer hooks run, or were cut off (delete --force)"
        ));
        fs::remove_file(fixture.rootfs().join("here")).unwrap();
        first.join().unwrap().prints("");
    });
    fixture.verb("start").fails_with(&format!("cannot start container {id:?}: it is already running"));
    assert_eq!(fixture.status(), "running");
    fixture.call(&["delete", "--force", &id]).prints("");
    fixture.assert_gone();
}

fn given() {
    let mut fixture = Fixture::script("sleep 0.1");
    fixture.config["annotations"] = json!({ "org.example": "x" });
    let directory = fixture.path().join("given");
    fs::create_dir(&directory).unwrap();
    let text = |kind: &str| {
        let file = directory.join(kind).display().to_string();
        format!(
            "cat > {file}.state; env | grep -v '^_=' > {file}.env; echo \"$0 $1\" > {file}.args; ls /proc/self/fd | wc -l > {file}.fds"
        )
    };
    let all = HOST
        .iter()
        .map(|kind| ((*kind).to_owned(), json!([script(&text(kind), &["PATH=/usr/bin:/bin", "A=b=c"])])));
    fixture.config["hooks"] = all.collect();
    fixture.run().prints("");
    let read = |kind: &str, what: &str| fs::read_to_string(directory.join(format!("{kind}.{what}"))).unwrap();
    let mut pids = Vec::new();
    for (kind, status) in HOST.into_iter().zip(["created", "creating", "creating", "running", "stopped"]) {
        let state: Value = serde_json::from_str(&read(kind, "state")).unwrap();
        let expected = json!({
            "ociVersion": fixture.config["ociVersion"], "id": fixture.id, "status": status, "pid": state["pid"],
            "bundle": fixture.bundle(), "annotations": { "org.example": "x" },
        });
        // A container that has stopped has no process.
        let mut expected = expected;
        if status == "stopped" {
            expected.as_object_mut().unwrap().remove("pid");
        } else {
            pids.push(state["pid"].as_i64().unwrap());
        }
        assert_eq!(state, expected, "{kind}");
        let env = read(kind, "env");
        let mut env: Vec<&str> = env.lines().filter(|line| !line.starts_with("PWD=")).collect();
        env.sort_unstable();
        assert_eq!(env, ["A=b=c", "PATH=/usr/bin:/bin"], "{kind}");
        assert_eq!(read(kind, "args"), "zero one two\n", "{kind}");
        // The three streams, and what ls reads.
        assert_eq!(read(kind, "fds"), "4\n", "{kind}");
    }
    // createContainer runs in the container's namespaces, and gets the pid that is seen there.
    assert!(matches!(pids[..], [a, b, 1, c] if a == b && b == c && a > 1), "{pids:?}");
    fixture.assert_gone();
}

fn order() {
    for kind in HOST {
        let mut fixture = Fixture::script("sleep 100");
        let log = fixture.path().join("log");
        let say = |word: &str, rest: &str| {
            script(&format!("echo {word} >> {}; {rest}", log.display()), &["PATH=/bin"])
        };
        fixture.config["hooks"] =
            json!({ kind: [say("first", ""), say("second", "exit 9"), say("third", "")] });
        fixture.write();
        let log = || fs::read_to_string(&log).unwrap_or_default();
        let message = format!("{kind} hook #2 /bin/sh: exit status: 9");
        if kind == "poststop" {
            // All of them run, and deletion goes on.
            fixture.verb("create").prints("");
            let deleted = fixture.call(&["delete", "-f", &fixture.id]);
            assert_eq!((deleted.code, deleted.stderr), (Some(0), format!("warning: {message}\n")));
            assert_eq!(log(), "first\nsecond\nthird\n");
        } else if kind == "poststart" {
            fixture.verb("create").prints("");
            fixture.verb("start").fails_with(&message);
            assert_eq!(log(), "first\nsecond\n");
            // Its process does not stay.
            assert_eq!(fixture.status(), "stopped");
            fixture.verb("delete").prints("");
        } else {
            fixture.verb("create").fails_with(&message);
            assert_eq!(log(), "first\nsecond\n", "{kind}");
        }
        fixture.assert_gone();
    }
}

/// Processes of this test, by a word in their arguments.
fn living(word: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()))
        })
        .count()
}

fn timeout() {
    for kind in ["prestart", "createContainer"] {
        let mut fixture = Fixture::script("true");
        let word = format!("3{}.{}", fixture.id.rsplit('-').next().unwrap(), std::process::id());
        // A child, one in a session of its own, and one whose parent has left it.
        let text = format!("sleep {word} & setsid sleep {word} & (sleep {word} &) & sleep {word}");
        let mut hook = script(&text, &["PATH=/usr/bin:/bin"]);
        hook["timeout"] = json!(1);
        fixture.config["hooks"] = json!({ kind: [hook] });
        fixture.run().fails_with(&format!("{kind} hook #1 /bin/sh: timed out after 1 s"));
        fixture.assert_gone();
        let start = Instant::now();
        while living(&word) > 0 && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(living(&word), 0, "{kind}");
    }
}

fn endless() {
    let mut fixture = Fixture::script("true");
    let mut hook = script("while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", &["PATH=/bin"]);
    hook["timeout"] = json!(1);
    fixture.config["hooks"] = json!({ "createRuntime": [hook] });
    fixture.write();
    // Not what it says is kept, but the last of it.
    let script = format!(
        "ulimit -v 300000; exec {} --root {} run {}",
        crate::support::binary().display(),
        fixture.root().display(),
        fixture.id
    );
    crate::support::outcome(Command::new("sh").args(["-c", &script]).current_dir(fixture.bundle()))
        .fails_with("createRuntime hook #1 /bin/sh: timed out after 1 s");
    fixture.assert_gone();
}

fn shortened() {
    let mut fixture = Fixture::script("true");
    let text = "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; printf 'last \\033[1m\\nwords\\n' >&2; exit 1";
    fixture.config["hooks"] = json!({ "prestart": [script(text, &["PATH=/bin"])] });
    let ran = fixture.run();
    assert_eq!(ran.stderr.lines().count(), 1);
    assert!(ran.stderr.ends_with("\\n19999\\nlast \\u{1b}[1m\\nwords\n"), "{}", ran.stderr);
    assert!(ran.stderr.len() < 2048, "{}", ran.stderr.len());
}

fn inside() {
    // The sixth kind: in the container, as its process, before that.
    let mut fixture = Fixture::script("cat /dev/shm/seen");
    let text = "cat >/dev/shm/state; for n in pid mnt net ipc uts cgroup; do busybox readlink /proc/self/ns/$n; done >/dev/shm/seen; \
        busybox env | busybox sort >>/dev/shm/seen; busybox hostname >>/dev/shm/seen; busybox pwd >>/dev/shm/seen; \
        busybox grep -o '\"status\":\"[a-z]*\"' /dev/shm/state >>/dev/shm/seen";
    fixture.config["hooks"] = json!({ "startContainer": [
        { "path": "/bin/sh", "args": ["sh", "-c", text], "env": ["PATH=/bin", "ONLY=this"] }] });
    let pid = fixture.create();
    let links: String = ["pid", "mnt", "net", "ipc", "uts", "cgroup"]
        .map(|name| format!("{}\n", fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display()))
        .concat();
    fixture.call(&["delete", "-f", &fixture.id]).prints("");
    let ran = fixture.run();
    let kinds = |text: &str| {
        text.lines().take(6).map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&ran.stdout), kinds(&links));
    let host = fs::read_link("/proc/self/ns/mnt").unwrap().display().to_string();
    assert!(!ran.stdout.contains(&host));
    let rest: Vec<&str> = ran
        .stdout
        .lines()
        .skip(6)
        .filter(|line| !line.starts_with("SHLVL=") && !line.starts_with("PWD="))
        .collect();
    assert_eq!(rest, ["ONLY=this", "PATH=/bin", "harness", "/", "\"status\":\"created\""], "{ran:?}");
    // One that hangs is ended, and the container with it.
    fixture.config["hooks"]["startContainer"][0]["args"] = json!(["sh", "-c", "sleep 100"]);
    fixture.config["hooks"]["startContainer"][0]["timeout"] = json!(1);
    fixture.run().fails_with("startContainer hook #1 /bin/sh: timed out after 1 s");
    fixture.assert_gone();
}

fn interrupted() {
    // A hook without a limit that hangs: the runtime can be ended, and takes the hook along.
    let mut fixture = Fixture::script("true");
    let mark = fixture.path().join("mark");
    let word = format!("4{}.{}", fixture.id.rsplit('-').next().unwrap(), std::process::id());
    let text = format!("touch {}; exec sleep {word}", mark.display());
    fixture.config["hooks"] = json!({ "createRuntime": [script(&text, &["PATH=/usr/bin:/bin"])] });
    fixture.write();
    let mut child = fixture.harness().args(["create", &fixture.id]).spawn().unwrap();
    let start = Instant::now();
    while !Path::new(&mark).exists() || living(&word) == 0 {
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), None);
    let start = Instant::now();
    while living(&word) > 0 {
        assert!(start.elapsed() < Duration::from_secs(5), "the hook lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
    fixture.call(&["delete", "-f", &fixture.id]).prints("");
    fixture.assert_gone();
}
