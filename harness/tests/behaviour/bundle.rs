//! Bundles and configurations that are wrong: one line, at once, and nothing left.

use std::process::Command;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{Fixture, Needs, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("bundle::directory", Needs::Nothing, directory),
        trial("bundle::text", Needs::Nothing, text),
        trial("bundle::values", Needs::Nothing, values),
        trial("bundle::refused", Needs::Nothing, refused),
        trial("bundle::newer_minor_is_accepted", Needs::Root, newer_minor),
    ]
}

fn directory() {
    let fixture = Fixture::new();
    let path = |name: &str| fixture.path().join(name).display().to_string();
    std::fs::write(path("file"), "").unwrap();
    std::fs::create_dir(path("empty")).unwrap();
    fixture
        .call(&["create", "-b", &path("none"), "x"])
        .fails_with(&format!("{}: bundle does not exist", path("none")));
    fixture
        .call(&["create", "--bundle", &path("file"), "x"])
        .fails_with(&format!("{}: bundle is not a directory", path("file")));
    fixture
        .call(&["create", "x", "-b", &path("empty")])
        .fails_with(&format!("{}/config.json: does not exist", path("empty")));
    let config = fixture.bundle().join("config.json");
    std::fs::remove_file(&config).unwrap();
    assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
    fixture.verb("create").fails_with(&format!("{}: is not a regular file", config.display()));
    std::fs::remove_file(&config).unwrap();
    std::fs::File::create(&config).unwrap().set_len(1 << 30).unwrap();
    fixture.verb("create").fails_with(&format!("{}: is larger than 16 MiB", config.display()));
    assert!(!fixture.root().exists());
}

fn text() {
    let fixture = Fixture::new();
    let deep = format!("{{\"x\":{}", "[".repeat(200_000));
    for (text, message) in [
        (&b""[..], "config.json: empty"),
        (b"{\"ociVersion\":", "config.json: 1:14: EOF while parsing a value"),
        (b"{} {}", "config.json: 1:4: trailing characters"),
        (b"{\"hostname\":\"a\",\"hostname\":\"b\"}", "config.json: 1:26: duplicate field `hostname`"),
        (deep.as_bytes(), "config.json: 1:132: nested more than 127 levels deep"),
        (b"{\"hostname\":\"\xff\"}", "config.json: 1:14: not UTF-8"),
        (b"\xef\xbb\xbf{}", "config.json: 1:1: byte order mark"),
        (
            b"{\"ociVersion\":7}",
            "config.json: 1:15: /ociVersion: invalid type: integer `7`, expected a string",
        ),
    ] {
        fixture.write_text(text);
        fixture.verb("create").fails_with(message);
    }
    assert!(!fixture.root().exists());
}

/// Sets one value of the default configuration and expects an error.
fn wrong(pointer: &str, value: Value, message: &str) {
    let mut fixture = Fixture::new();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = fixture.config.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        parent => parent[key] = value,
    }
    fixture.write();
    let failed = fixture.verb("create");
    let line = failed.stderr.strip_prefix("error: config.json: ").unwrap_or(&failed.stderr);
    // The place of a wrong type is a line and column, which are not what is tested here.
    let line = match line.split_once(": /") {
        Some((place, rest)) if place.starts_with(|first: char| first.is_ascii_digit()) => {
            &line[line.len() - rest.len() - 1..]
        }
        _ => line,
    };
    assert_eq!((failed.code, line.trim_end()), (Some(1), message), "{pointer}");
    assert!(!fixture.root().exists());
}

#[allow(clippy::too_many_lines)] // A table.
fn values() {
    let map = |id: u32, size: u32| json!([{ "containerID": id, "hostID": 1000, "size": size }]);
    for (pointer, value, message) in [
        ("/ociVersion", Value::Null, "/ociVersion: missing"),
        ("/ociVersion", json!("bad"), "/ociVersion: \"bad\" is not a version"),
        ("/ociVersion", json!("99.0.0"), "/ociVersion: \"99.0.0\": only version 1 is supported"),
        ("/process/user/uid", json!("0"), "/process/user/uid: invalid type: string \"0\", expected u32"),
        (
            "/process/user/uid",
            json!(1.0),
            "/process/user/uid: invalid type: floating point `1.0`, expected u32",
        ),
        ("/process/user/uid", json!(-1), "/process/user/uid: invalid value: integer `-1`, expected u32"),
        (
            "/process/user/uid",
            json!(4_294_967_296_u64),
            "/process/user/uid: invalid value: integer `4294967296`, expected u32",
        ),
        ("/process/user/gid", json!(u32::MAX), "/process/user/gid: 4294967295 is not an id"),
        (
            "/process/user/additionalGids",
            json!([5, u32::MAX]),
            "/process/user/additionalGids/1: 4294967295 is not an id",
        ),
        ("/process/user/umask", json!(0o1777), "/process/user/umask: 1023 exceeds 511 (0777)"),
        ("/process/args", json!([]), "/process/args: empty"),
        ("/process/args", json!([""]), "/process/args/0: empty"),
        ("/process/args", json!(["a", "b\0c"]), "/process/args/1: contains a NUL"),
        ("/process/cwd", json!("work"), "/process/cwd: \"work\" must be absolute"),
        ("/process/cwd", json!("/a\0"), "/process/cwd: contains a NUL"),
        ("/process/env", json!(["A=1", "B"]), "/process/env/1: \"B\" has no '='"),
        ("/process/env", json!(["=x"]), "/process/env/0: the name is empty"),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_X", "soft": 1, "hard": 1 }]),
            "/process/rlimits/0: unknown limit \"RLIMIT_X\"",
        ),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_CORE", "soft": 2, "hard": 1 }]),
            "/process/rlimits/0: soft limit 2 exceeds hard limit 1",
        ),
        ("/process/oomScoreAdj", json!(5000), "/process/oomScoreAdj: 5000 is outside -1000 to 1000"),
        ("/hostname", json!("a\0b"), "/hostname: contains a NUL"),
        (
            "/linux/namespaces",
            json!([{ "type": "mount" }, { "type": "quux" }]),
            "/linux/namespaces/1/type: unknown namespace \"quux\"",
        ),
        (
            "/linux/namespaces",
            json!([{ "type": "mount" }, { "type": "pid" }, { "type": "pid" }]),
            "/linux/namespaces/2/type: pid is there twice",
        ),
        ("/linux/namespaces", json!([{ "type": "mount" }]), "/hostname: needs a uts namespace"),
        ("/linux/uidMappings", map(0, 1), "/linux/uidMappings: needs a user namespace"),
        (
            "/linux/sysctl",
            json!({ "kernel.core_pattern": "x" }),
            "/linux/sysctl/kernel.core_pattern: belongs to no namespace of the container",
        ),
        (
            "/linux/sysctl",
            json!({ "net/../kernel/x": "x" }),
            "/linux/sysctl/net~1..~1kernel~1x: not the name of a kernel parameter",
        ),
        ("/linux/maskedPaths", json!(["proc/x"]), "/linux/maskedPaths/0: \"proc/x\" must be absolute"),
        ("/linux/cgroupsPath", json!("/../x"), "/linux/cgroupsPath: \"/../x\" must not contain \"..\""),
        (
            "/mounts/0/destination",
            json!("/"),
            "/mounts/0/destination: a mount over / would hide the root file system",
        ),
        (
            "/mounts/0/destination",
            json!("/proc/self/attr"),
            "/mounts/0: /proc/self/attr is not among the files of /proc that may be covered",
        ),
        ("/mounts/0/type", json!("tmpfs"), "/mounts/0: only procfs may be mounted on /proc"),
        (
            "/linux/resources/devices",
            json!([{ "allow": true, "type": "x" }]),
            "/linux/resources/devices/0/type: unknown device type \"x\"",
        ),
        ("/root/path", json!(""), "/root/path: empty"),
    ] {
        wrong(pointer, value, message);
    }
}

fn refused() {
    let long = json!({ "policy": "SCHED_FIFO", "priority": 0 });
    for (pointer, value, message) in [
        (
            "/hooks",
            json!({ "prestart": [{ "path": "true" }] }),
            "/hooks/prestart/0/path: \"true\" must be absolute",
        ),
        (
            "/hooks",
            json!({ "poststop": [{ "path": "/x", "timeout": 0 }] }),
            "/hooks/poststop/0/timeout: must be greater than 0",
        ),
        ("/process/terminal", json!(true), "/process/terminal: needs --console-socket"),
        ("/process/scheduler", long, "/process/scheduler/priority: 0 is outside 1 to 99"),
        (
            "/process/ioPriority",
            json!({ "class": "IOPRIO_CLASS_X" }),
            "/process/ioPriority/class: unknown: \"IOPRIO_CLASS_X\"",
        ),
        (
            "/process/ioPriority",
            json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 }),
            "/process/ioPriority/priority: 8 is outside 0 to 7",
        ),
        (
            "/linux/intelRdt",
            json!({ "closID": "a/b" }),
            "/linux/intelRdt/closID: must be a single name, or /",
        ),
        (
            "/linux/personality",
            json!({ "domain": "BSD" }),
            "/linux/personality/domain: unknown domain \"BSD\"",
        ),
        (
            "/linux/netDevices",
            json!({ "a/b": {} }),
            "/linux/netDevices/a~1b: \"a/b\" is not the name of a device",
        ),
        ("/linux/memoryPolicy", json!({ "mode": "MPOL_BIND" }), "/linux/memoryPolicy/nodes: missing"),
        (
            "/linux/timeOffsets",
            json!({ "boottime": { "secs": 1 } }),
            "/linux/timeOffsets/boottime: needs a new time namespace",
        ),
        (
            "/linux/resources/unified",
            json!({ "../cgroup.procs": "1" }),
            "/linux/resources/unified/..~1cgroup.procs: is not the name of a cgroup file",
        ),
        (
            "/mounts/1/uidMappings",
            json!([{ "containerID": 0, "hostID": 1, "size": 1 }]),
            "/mounts/1: an idmapped mount must be a bind mount",
        ),
        ("/mounts/0/options", json!(["remount"]), "/mounts/0/options/0: \"remount\" is not supported"),
        ("/mounts/0/options", json!(["tmpcopyup"]), "/mounts/0: tmpcopyup needs a tmpfs"),
        ("/linux/rootfsPropagation", json!("x"), "/linux/rootfsPropagation: unknown propagation \"x\""),
    ] {
        wrong(pointer, value, message);
    }
    // A label without its security module would be no label.
    if !std::path::Path::new("/sys/module/apparmor").exists() {
        wrong(
            "/process/apparmorProfile",
            json!("x"),
            "/process/apparmorProfile: AppArmor is not enabled in this kernel",
        );
    }
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        wrong(
            "/process/selinuxLabel",
            json!("x"),
            "/process/selinuxLabel: SELinux is not enabled in this kernel",
        );
        wrong("/linux/mountLabel", json!("x"), "/linux/mountLabel: SELinux is not enabled in this kernel");
    }
}

fn newer_minor() {
    let mut fixture = Fixture::script("true");
    fixture.config["ociVersion"] = json!("1.99.0-dev");
    fixture.config["unknown"] = json!({ "field": [1, 2] });
    fixture.config["hooks"] = json!({});
    fixture.config["linux"]["resources"]["blockIO"] = json!({ "weight": 0 });
    fixture.run().prints("");
    fixture.assert_gone();
}
