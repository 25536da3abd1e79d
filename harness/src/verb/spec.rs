//! `spec`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use serde_json::{Value, json};

use crate::cli::{Args, Global};
use crate::error::{Context, Error, Result};
use crate::spec::OCI_VERSION;

/// Writes a default config.json; an existing one is left alone.
pub fn run(_: &Global, args: &Args) -> Result<u8> {
    let path = args.bundle().join("config.json");
    let mut config = default(&["sh"]);
    // A terminal as runc has it would be refused by this version.
    if args.has("rootless") {
        rootless(&mut config, rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    }
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o666 & !0o022).open(&path);
    match file {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::file(&path, "exists already"))
        }
        file => {
            let text = format!("{config:#}\n");
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .host("write", path.display())
                .map(|()| 0)
        }
    }
}

/// The default configuration, as `runc spec` has it, with a cgroup namespace and no terminal.
pub fn default(args: &[&str]) -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "harness",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
              "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
              "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs",
              "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
              "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] },
        ],
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "mount" }, { "type": "cgroup" },
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

/// Changes a configuration for an ordinary user: a user namespace with one id, no cgroup, no group
/// that the namespace does not have.
pub fn rootless(config: &mut Value, uid: u32, gid: u32) {
    let map = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 1 }]);
    config["linux"]["uidMappings"] = map(uid);
    config["linux"]["gidMappings"] = map(gid);
    if let Some(linux) = config["linux"].as_object_mut() {
        linux.remove("resources");
    }
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
        namespaces.push(json!({ "type": "user" }));
    }
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["type"] != "cgroup");
        for options in mounts.iter_mut().filter_map(|mount| mount["options"].as_array_mut()) {
            options.retain(|option| option != "gid=5");
        }
    }
}
