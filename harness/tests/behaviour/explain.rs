//! `explain` against what init really does.

use std::process::Command;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{Fixture, Needs, binary, outcome, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("explain::tells_what_strace_sees", Needs::Strace, same_as_strace),
        trial("explain::names_the_place_in_the_configuration", Needs::Root, places),
        trial("explain::refuses_what_create_refuses", Needs::Root, refusals),
    ]
}

const CALLS: &str = "setsid,keyctl,fsopen,mount,mknodat,symlinkat,sethostname,setdomainname,setgroups,setresgid,setresuid,prctl,\
     openat2,seccomp,execve";

fn fixture() -> Fixture {
    let mut fixture = Fixture::script("exit 0");
    let config = &mut fixture.config;
    config["hostname"] = json!("explained");
    config["domainname"] = json!("example");
    config["process"]["user"] = json!({ "uid": 7, "gid": 8, "additionalGids": [9] });
    config["process"]["noNewPrivileges"] = json!(true);
    config["linux"]["maskedPaths"] = json!(["/sys/kernel/notes", "/proc/keys", "/proc/timer_list"]);
    config["linux"]["readonlyPaths"] = json!(["/proc/bus", "/proc/irq"]);
    config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
    config["linux"]["devices"] =
        json!([{ "path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666 }]);
    fixture.write();
    fixture
}

fn explained(fixture: &Fixture) -> Vec<Value> {
    let done = outcome(fixture.harness().args(["explain", "--json"]).arg(fixture.bundle()));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let value: Value = serde_json::from_str(&done.stdout).unwrap();
    value["steps"].as_array().unwrap().clone()
}

/// A step as a line that a trace gives as well; none for those that one call does not tell.
fn expected(step: &Value) -> Option<String> {
    let (phase, op) = (step["phase"].as_str().unwrap(), step["op"].as_str().unwrap());
    let what = step["what"].as_str().unwrap();
    let first = what.split(' ').next().unwrap();
    let base = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    Some(match (phase, op) {
        ("readonlyPaths" | "maskedPaths", _) => format!("path {first}"),
        (_, "mknodat") => format!("mknodat {}", base(first)),
        (_, "symlinkat") => format!("symlinkat {}", base(first)),
        (_, "fsopen" | "mount" | "sethostname" | "setdomainname" | "setresgid" | "setresuid") => {
            format!("{op} {first}")
        }
        (_, "prctl") if what == "PR_SET_NO_NEW_PRIVS" => what.into(),
        (_, "setsid" | "keyctl" | "setgroups" | "seccomp" | "execve") => op.into(),
        _ => return None,
    })
}

/// The same of a line of strace.
fn seen(call: &str, paths: &[String]) -> Option<String> {
    let (name, rest) = call.split_once('(')?;
    let texts: Vec<&str> = rest.split('"').skip(1).step_by(2).collect();
    let first = *texts.first().unwrap_or(&"");
    Some(match name {
        "openat2" => format!("path {}", paths.iter().find(|path| *path == first)?),
        "mknodat" | "fsopen" | "sethostname" | "setdomainname" => format!("{name} {first}"),
        "symlinkat" => format!("symlinkat {}", texts.get(1)?),
        "mount" => format!("mount {}", texts.get(2)?),
        "setresgid" | "setresuid" => format!("{name} {}", rest.split([',', ')']).next()?),
        "prctl" => rest.starts_with("PR_SET_NO_NEW_PRIVS").then(|| "PR_SET_NO_NEW_PRIVS".to_owned())?,
        "keyctl" => rest.starts_with("KEYCTL_JOIN").then(|| name.to_owned())?,
        "setsid" | "setgroups" | "seccomp" | "execve" => name.into(),
        _ => return None,
    })
}

fn same_as_strace() {
    compare(&fixture());
    // Some kinds of file system need the host's paths, and with them another way.
    let mut serial = fixture();
    let mounts = serial.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({ "destination": "/mnt", "type": "ramfs", "source": "x" }));
    serial.write();
    compare(&serial);
}

fn compare(fixture: &Fixture) {
    let steps: Vec<String> = explained(fixture).iter().filter_map(expected).collect();
    let paths: Vec<String> =
        steps.iter().filter_map(|step| step.strip_prefix("path ")).map(str::to_owned).collect();
    assert_eq!(paths.len(), 5);
    let trace = fixture.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", &format!("trace={CALLS}"), "-e", "signal=none", "-o"]).arg(&trace);
    command.arg(binary()).arg("--root").arg(fixture.root());
    command.args(["run", "--bundle"]).arg(fixture.bundle()).arg("explained");
    let done = outcome(&mut command);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let trace = std::fs::read_to_string(trace).unwrap();
    let lines: Vec<(&str, &str)> = trace.lines().filter_map(|line| line.split_once(' ')).collect();
    let init = lines.iter().find(|(_, call)| call.trim_start().starts_with("setsid")).unwrap().0;
    let of_init = lines.iter().filter(|(pid, _)| *pid == init).map(|(_, call)| call.trim_start());
    let mut calls: Vec<String> = of_init.filter_map(|call| seen(call, &paths)).collect();
    // A path may take more than one look; each stands once in the explanation.
    calls.dedup_by(|next, last| next == last && next.starts_with("path "));
    assert_eq!(calls, steps);
}

fn places() {
    let steps = explained(&fixture());
    let place = |what: &str| {
        let step = steps.iter().find(|step| step["what"] == what).unwrap_or_else(|| panic!("{what}"));
        step["pointer"].as_str().unwrap_or("none").to_owned()
    };
    for (what, pointer) in [
        ("proc on /proc", "/mounts/0"),
        ("/dev/null", "none"),
        ("/dev/mine", "/linux/devices/0"),
        ("/proc/keys", "/linux/maskedPaths/1"),
        ("/sys/kernel/notes", "/linux/maskedPaths/0"),
        ("/proc/irq", "/linux/readonlyPaths/1"),
        ("explained", "/hostname"),
        ("PR_SET_NO_NEW_PRIVS", "/process/noNewPrivileges"),
    ] {
        assert_eq!(place(what), pointer, "{what}");
    }
}

fn refusals() {
    let mut fixture = fixture();
    fixture.config["linux"]["sysctl"] = json!({ "vm.swappiness": "1" });
    fixture.write();
    let created = fixture.verb("create");
    let told = outcome(fixture.harness().arg("explain").arg(fixture.bundle()));
    assert_eq!((told.code, told.stderr), (created.code, created.stderr));
    fixture.assert_gone();
}
