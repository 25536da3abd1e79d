//! What clients rely on.

use std::fs;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{Fixture, Needs, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("clients::phrases", Needs::Root, phrases),
        trial("clients::features", Needs::Nothing, features),
    ]
}

/// What docker, podman, containerd and CRI-O look for in messages.
fn phrases() {
    let mut fixture = Fixture::script("sleep 100");
    fs::write(fixture.rootfs().join("plain"), "x").unwrap();
    let log = fixture.path().join("log");
    let log = log.to_str().unwrap();
    let last = || {
        let text = fs::read_to_string(log).unwrap();
        let record: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(record["level"], "error");
        record["msg"].as_str().unwrap().to_owned()
    };
    for (program, phrases) in [
        ("nosuch", &["executable file not found in $PATH", "executable file not found"][..]),
        ("/nosuch", &["no such file or directory"]),
        ("/plain", &["permission denied"]),
        ("/bin", &["is a directory"]),
        ("/plain/x", &["not a directory"]),
    ] {
        fixture.config["process"]["args"] = json!([program]);
        fixture.write();
        assert_eq!(
            fixture.call(&["--log", log, "--log-format", "json", "create", &fixture.id]).code,
            Some(1)
        );
        assert!(phrases.iter().all(|phrase| last().contains(phrase)), "{program}: {}", last());
    }
    fixture.config["process"]["args"] = json!(["true"]);
    fixture.create();
    fixture.verb("start").prints("");
    fixture.await_status("stopped");
    fixture.call(&["--log", log, "--log-format", "json", "kill", &fixture.id, "9"]);
    assert!(last().starts_with("container not running"), "{}", last());
    fixture.verb("delete").prints("");
    for verb in ["kill", "state", "start", "delete", "exec", "ps", "pause", "resume", "update", "events"] {
        fixture.call(&["--log", log, "--log-format", "json", verb, &fixture.id, "9"]);
        if verb != "kill" && !["exec", "ps"].contains(&verb) {
            fixture.call(&["--log", log, "--log-format", "json", verb, &fixture.id]);
        }
        assert_eq!(last(), format!("container does not exist: {:?}", fixture.id), "{verb}");
    }
}

fn features() {
    let fixture = Fixture::new();
    let shown: Value = serde_json::from_str(&fixture.call(&["features"]).stdout).unwrap();
    for option in ["rro", "ridmap", "idmap", "tmpcopyup", "rbind", "nosymfollow"] {
        assert!(shown["mountOptions"].as_array().unwrap().contains(&json!(option)), "{option}");
    }
    for namespace in ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"] {
        assert!(shown["linux"]["namespaces"].as_array().unwrap().contains(&json!(namespace)), "{namespace}");
    }
    for hook in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        assert!(shown["hooks"].as_array().unwrap().contains(&json!(hook)), "{hook}");
    }
    assert_eq!(shown["linux"]["mountExtensions"]["idmap"]["enabled"], json!(true));
    assert_eq!(shown["linux"]["cgroup"]["v1"], json!(true));
    assert_eq!(shown["linux"]["cgroup"]["v2"], json!(true));
    assert_eq!(shown["linux"]["cgroup"]["systemd"], json!(false));
    assert_eq!(shown["linux"]["intelRdt"]["enabled"], json!(true));
    assert_eq!(shown["linux"]["netDevices"]["enabled"], json!(true));
}
