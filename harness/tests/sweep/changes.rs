//! What the scenarios' configurations have beyond the default one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::report::SCRIPT;
use crate::support::config;

/// Every kind of hook.
pub const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

pub fn user(config: &mut Value) {
    config::user_namespace(config);
    config["process"]["user"] = json!({ "uid": 5, "gid": 6, "additionalGids": [9] });
}

pub fn idmap(config: &mut Value, source: &str) {
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    config["mounts"].as_array_mut().unwrap().push(json!({ "destination": "/data", "type": "bind",
        "source": source, "options": ["bind", "ro", "nosuid"], "uidMappings": map, "gidMappings": map }));
}

pub fn readonly(config: &mut Value) {
    config["root"]["readonly"] = json!(true);
    config["mounts"].as_array_mut().unwrap().push(json!({ "destination": "/scratch", "type": "tmpfs",
        "source": "tmpfs", "options": ["ro", "nosuid", "size=64k"] }));
    config["linux"]["maskedPaths"].as_array_mut().unwrap().push(json!("/secret"));
    config["linux"]["readonlyPaths"].as_array_mut().unwrap().push(json!("/dev/shm"));
}

pub fn hooks(config: &mut Value) {
    let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "exit 0"], "env": ["PATH=/usr/bin:/bin"] }]);
    config["hooks"] = KINDS.iter().map(|kind| ((*kind).to_owned(), hook.clone())).collect();
}

/// Hooks that leave a mark and wait where there is a fifo of the name of their kind; with a child
/// where it ends with the container. The process waits where a `poststart` hook does.
pub fn held(config: &mut Value, data: &str) {
    fs::set_permissions(data, fs::Permissions::from_mode(0o777)).unwrap();
    let namespaces = config["linux"]["namespaces"].as_array().unwrap();
    let pids = namespaces.iter().any(|namespace| namespace["type"] == "pid");
    let hook = |kind: &str| {
        let place = if kind == "startContainer" { "/data" } else { data };
        let before = if kind == "poststop" { "echo poststop >>ended; " } else { "" };
        let (child, after) = match kind {
            "startContainer" => ("sleep 10000 & ", "; kill $!"),
            "createContainer" if pids => ("sleep 10000 & ", "; kill $!"),
            _ => ("", ""),
        };
        let text =
            format!("cd {place}; {before}[ -p {kind} ] || exit 0; {child}>mark; read line <{kind}{after}");
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", text], "env": ["PATH=/usr/bin:/bin"] }])
    };
    config["hooks"] = KINDS.iter().map(|kind| ((*kind).to_owned(), hook(kind))).collect();
    config["process"]["args"][2] =
        json!(format!("{SCRIPT}; [ ! -p /data/poststart ] || read line </data/poststart"));
    config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "destination": "/data", "type": "bind", "source": data, "options": ["bind", "rw"] }));
}

pub fn share_pids(config: &mut Value) {
    config::share(config, "pid");
}

/// A filter that needs capabilities to be loaded, another user, and ambient capabilities.
pub fn seccomp(config: &mut Value) {
    config["process"]["user"] =
        json!({ "uid": 1234, "gid": 5678, "additionalGids": [7, 40], "umask": 0o027 });
    config["process"]["noNewPrivileges"] = json!(false);
    config["process"]["capabilities"] = json!({
        "bounding": ["CAP_CHOWN", "CAP_NET_RAW", "CAP_KILL"], "effective": ["CAP_KILL", "CAP_NET_RAW"],
        "permitted": ["CAP_KILL", "CAP_NET_RAW"], "inheritable": ["CAP_NET_RAW"], "ambient": ["CAP_NET_RAW"] });
    config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }] });
}

/// Whatever else init does.
pub fn full(config: &mut Value) {
    config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 64, "hard": 64 },
        { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }]);
    config["process"]["oomScoreAdj"] = json!(321);
    config["process"]["cwd"] = json!("/var/made/here");
    config["domainname"] = json!("example.org");
    config["linux"]["devices"] = json!([{ "type": "c", "path": "/dev/fuse", "major": 10, "minor": 229,
        "fileMode": 0o640, "uid": 7, "gid": 8 }]);
    config["linux"]["personality"] = json!({ "domain": "LINUX32" });
    config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }] });
    config["annotations"] = json!({ "harness.network":
        "{\"addresses\": [{\"device\": \"lo\", \"address\": \"10.9.8.7/24\"}]}" });
    config["mounts"].as_array_mut().unwrap().push(json!({ "destination": "/etc", "type": "tmpfs",
        "source": "tmpfs", "options": ["nosuid", "tmpcopyup"] }));
}
