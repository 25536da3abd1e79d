//! What the sweep must find, or its silence means nothing.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::libc;
use serde_json::{Value, json};

use crate::deaths;
use crate::hooked::{Row, Victim};
use crate::judge::{self, LIMIT, Reference, Verdict, clear, failure, left, same, settled};
use crate::scenario::{Scenario, children};
use crate::tracer::{Ended, Site, Strike};

/// All controls; panics where one is not found.
pub fn run() {
    let mut scenario = Scenario::new("plain");
    let reference = judge::reference(&scenario);
    weakened(&mut scenario, &reference);
    hang(&scenario, &reference);
    leftovers(&scenario);
    messages();
    verdicts(&scenario, &reference);
    again(&mut scenario, &reference);
    hooked();
}

/// Containers that lack one protection, or have one thing too many.
fn weakened(scenario: &mut Scenario, reference: &Reference) {
    let more = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_CHOWN"]);
    let device = json!([{ "type": "c", "path": "/dev/fuse", "major": 10, "minor": 229 }]);
    let changes: [(&str, Value, &str); 14] = [
        ("/linux/maskedPaths", json!([]), "- mount /null /proc/timer_list "),
        ("/linux/readonlyPaths", json!([]), " /proc/sys ro"),
        ("/linux/maskedPaths/3", json!("/proc/nonexistent"), "- mount /null /proc/keys "),
        ("/linux/devices", device, "+ /dev/fuse "),
        ("/linux/sysctl", json!({}), "- 99"),
        ("/process/capabilities/bounding", more, "+ CapBnd 0000000020000421"),
        ("/process/capabilities/inheritable", json!(["CAP_KILL"]), "+ CapInh 0000000000000020"),
        ("/process/noNewPrivileges", json!(false), "+ NoNewPrivs 0"),
        ("/process/user/additionalGids", json!([7]), "+ Groups 7"),
        ("/process/rlimits", json!([]), "- Max open files"),
        ("/process/cwd", json!("/bin"), "+ 0 /bin"),
        ("/process/env/1", json!("TERM=other"), "+ TERM=other"),
        ("/hostname", json!("other"), "+ 1 other"),
        ("/root/readonly", json!(true), " / ro,"),
    ];
    let original = scenario.fixture.config.clone();
    for (pointer, value, line) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match scenario.fixture.config.pointer_mut(parent).unwrap() {
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
            parent => parent[key] = value,
        }
        found_different(scenario, reference, line);
        scenario.fixture.config.clone_from(&original);
    }
    let namespaces = scenario.fixture.config["linux"]["namespaces"].as_array().unwrap().clone();
    for (index, namespace) in namespaces.iter().enumerate().filter(|(_, one)| one["type"] != "mount") {
        let config = &mut scenario.fixture.config;
        config["linux"]["namespaces"].as_array_mut().unwrap().remove(index);
        // What needs the namespace goes with it.
        config["hostname"] = json!("");
        config["linux"]["sysctl"] = json!({});
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| namespace["type"] != "ipc" || mount["type"] != "mqueue");
        let kind = namespace["type"].as_str().unwrap().replace("network", "net");
        found_different(scenario, reference, &format!(" {kind} -> of the host"));
        scenario.fixture.config.clone_from(&original);
    }
    scenario.fixture.write();
}

/// The container of the configuration as it is now differs in `line`.
fn found_different(scenario: &Scenario, reference: &Reference, line: &str) {
    scenario.fixture.write();
    scenario.reset();
    for command in &scenario.commands {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        scenario.fixture.call(&words).prints("");
    }
    assert!(settled(scenario, LIMIT));
    let error = same(scenario, reference).unwrap_err();
    assert!(error.starts_with("another container:") && error.contains(line), "{line}: {error}");
    scenario.fixture.verb("delete").prints("");
}

fn hang(scenario: &Scenario, reference: &Reference) {
    for call in [reference.init.len() / 2, reference.init.len() - 5] {
        let held =
            judge::strike(scenario, reference, reference.init[call], Strike::Hold, Duration::from_secs(1));
        let error = held.unwrap_err();
        assert!(error.ends_with(" hangs") || error.starts_with("processes are left"), "{error}");
        clear(scenario);
    }
}

fn leftovers(scenario: &Scenario) {
    let fixture = &scenario.fixture;
    assert_eq!(left(scenario), Vec::<String>::new());
    let state = fixture.root().join(&fixture.id);
    fs::create_dir(&state).unwrap();
    assert_eq!(left(scenario), std::slice::from_ref(&fixture.id));
    fs::remove_dir(&state).unwrap();
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    if let Some(parent) = hierarchies.map(|entry| entry.path()).find(|path| path.is_dir()) {
        let cgroup = parent.join(&fixture.id);
        if fs::create_dir(&cgroup).is_ok() {
            assert_eq!(left(scenario), [cgroup.display().to_string()]);
            fs::remove_dir(&cgroup).unwrap();
        }
    }
    let place = fixture.path().join("data");
    assert!(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&place).status().unwrap().success());
    assert_eq!(left(scenario).len(), 1);
    assert!(Command::new("umount").arg(&place).status().unwrap().success());
    let mut sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
    assert!(!settled(scenario, Duration::from_millis(50)));
    assert!(children().contains(&(sleeper.id() as i32)));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

/// Failures without a step, with the wrong status, with more than they should say.
fn messages() {
    let judged = |code: Option<i32>, stderr: &str| {
        failure(&Ended { code, stderr: stderr.into(), hung: false }, Some(5))
    };
    for (code, stderr) in [
        (Some(1), "error: clone3 of init: operation not permitted\n"),
        (Some(1), "error: init exited with status 1 before its first phase\n"),
        (Some(1), "error: init: nosuch: setsid: i/O error\n"),
        (Some(1), ""),
        (Some(1), "error: init: console: setsid: i/O error\nmore\n"),
        (Some(2), "error: init: console: setsid: i/O error\n"),
        (None, "error: init: console: setsid: i/O error\n"),
    ] {
        assert!(judged(code, stderr).is_err(), "{code:?} {stderr}");
    }
    let exact = |exact| Ok(Verdict::Failed { exact });
    assert_eq!(judged(Some(1), "error: init: console: setsid: i/O error\n"), exact(true));
    assert_eq!(judged(Some(1), "error: init: keyring: keyctl: i/O error\n"), exact(false));
}

/// The judge itself, on calls of which the end is known.
fn verdicts(scenario: &Scenario, reference: &Reference) {
    let site =
        |wanted: &str| *reference.init.iter().find(|(_, number)| judge::name(*number) == wanted).unwrap();
    let judged = |call: (Site, i64), strike| judge::strike(scenario, reference, call, strike, LIMIT);
    let failed = Ok(Verdict::Failed { exact: true });
    assert_eq!(judged(site("setsid"), Strike::Fail(libc::EIO)), failed);
    assert_eq!(judged(site("setsid"), Strike::Kill), failed);
    let (site, number) = site("setsid");
    assert_eq!(judged((site, number + 1), Strike::Fail(libc::EIO)).unwrap_err(), "setsid was struck instead");
    let nowhere = Site { ordinal: 100_000, ..site };
    assert_eq!(judged((nowhere, number), Strike::Kill).unwrap_err(), "the call was not made");
}

/// The id makes another container than before.
fn again(scenario: &mut Scenario, reference: &Reference) {
    scenario.fixture.config["hostname"] = json!("other");
    scenario.fixture.write();
    let (site, _) = reference.harness[reference.harness.len() / 4];
    let error = deaths::strike(scenario, reference, site, Strike::Kill).unwrap_err();
    assert!(error.starts_with("made again: another container:"), "{error}");
    clear(scenario);
}

/// Hooks that leave a process, or do not run.
fn hooked() {
    let mut scenario = Scenario::new("held");
    let reference = judge::reference(&scenario);
    let original = scenario.fixture.config.clone();
    let script = original["hooks"]["prestart"][0]["args"][2].as_str().unwrap();
    let changes = [
        ("/hooks/prestart/0/args/2", script.replace(">mark", "sleep 10000 & >mark"), Victim::Harness),
        ("/hooks/prestart/0/args/2", "exit 0".into(), Victim::Init),
        ("/hooks/poststop/0/args/2", "exit 0".into(), Victim::Hook),
    ];
    let found = ["processes run on: ", "no hook has run: ", "poststop hooks: \"\" "];
    for ((pointer, value, victim), words) in changes.into_iter().zip(found) {
        *scenario.fixture.config.pointer_mut(pointer).unwrap() = json!(value);
        scenario.fixture.write();
        let limit = Duration::from_secs(1);
        let row = Row { scenario: &scenario, reference: &reference, kind: "prestart", victim, limit };
        let error = row.run().unwrap_err();
        assert!(error.starts_with(words), "{words}: {error}");
        clear(&scenario);
        scenario.fixture.config.clone_from(&original);
    }
}
