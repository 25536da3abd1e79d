//! Root file systems that are wrong or hostile.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use libtest_mimic::Trial;
use serde_json::json;

use crate::support::{Fixture, Needs, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("image::root", Needs::Root, root),
        trial("image::program", Needs::Root, program),
        trial("image::linked_directories_are_refused", Needs::Root, linked_directories),
        trial("image::links_stay_inside", Needs::Root, links_stay_inside),
        trial("image::links_to_nothing_are_followed", Needs::Root, dangling),
        trial("image::mounts_do_not_reach_procfs_by_a_link", Needs::Root, link_to_procfs),
        trial("image::null_device_is_proved", Needs::Root, null_device),
    ]
}

fn root() {
    let mut fixture = Fixture::new();
    let base = fixture.bundle().display().to_string();
    fs::write(fixture.bundle().join("file"), "").unwrap();
    for (path, message) in [
        ("none", format!("config.json: /root/path: {base}/none does not exist")),
        ("file", format!("config.json: /root/path: {base}/file is not a directory")),
        ("/", "config.json: /root/path: / is the host's own root".into()),
        (
            "../../../../../../../..",
            format!("config.json: /root/path: {base}/../../../../../../../.. is the host's own root"),
        ),
    ] {
        fixture.config["root"]["path"] = json!(path);
        fixture.write();
        fixture.verb("create").fails_with(&message);
    }
    fixture.config["root"]["path"] = json!("rootfs");
    fixture.config["mounts"][0] =
        json!({ "destination": "/x", "type": "bind", "source": "/nowhere", "options": ["bind"] });
    fixture.write();
    fixture.verb("create").fails_with("config.json: /mounts/0/source: /nowhere: no such file or directory");
    fixture.assert_gone();
}

fn program() {
    let mut fixture = Fixture::new();
    fs::write(fixture.rootfs().join("plain"), "x").unwrap();
    fs::write(fixture.rootfs().join("bin/plain"), "x").unwrap();
    fs::create_dir(fixture.rootfs().join("directory")).unwrap();
    for (name, message) in [
        ("missing", "exec: \"missing\": executable file not found in $PATH"),
        ("/missing", "exec: \"/missing\": stat /missing: no such file or directory"),
        ("plain", "exec: \"plain\": permission denied"),
        ("/plain", "exec: \"/plain\": permission denied"),
        ("/directory", "exec: \"/directory\": is a directory"),
        ("/bin/sh/x", "exec: \"/bin/sh/x\": not a directory"),
    ] {
        fixture.config["process"]["args"] = json!([name]);
        fixture.write();
        fixture.verb("create").fails_with(message);
        fixture.assert_gone();
    }
    // Not a program at all: only execve finds out, after the gate.
    fs::set_permissions(fixture.rootfs().join("plain"), fs::Permissions::from_mode(0o755)).unwrap();
    fixture.config["process"]["args"] = json!(["/plain"]);
    fixture.run().fails_with("init: exec: execve /plain: exec format error");
    fixture.assert_gone();
}

fn linked_directories() {
    let canary = tempfile::tempdir().unwrap();
    for (name, phase) in [("dev", "mounts"), ("proc", "mounts"), ("sys", "mounts")] {
        let fixture = Fixture::new();
        symlink(canary.path(), fixture.rootfs().join(name)).unwrap();
        fixture.write();
        fixture.verb("create").fails_with(&format!(
            "init: {phase}: open /{name}: too many levels of symbolic links (it must be a real directory of the image)"
        ));
        fixture.assert_gone();
    }
    // Without a mount on it, too.
    let mut fixture = Fixture::new();
    symlink(canary.path(), fixture.rootfs().join("dev")).unwrap();
    fixture.config["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    fixture.write();
    fixture.verb("create").fails_with("init: devices: open /dev/null: too many levels of symbolic links");
    fixture.assert_gone();
    assert_eq!(fs::read_dir(canary.path()).unwrap().count(), 0);
}

fn links_stay_inside() {
    let canary = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::script("cat /inside/file; ls /data");
    let target = canary.path().display().to_string();
    fs::create_dir_all(fixture.rootfs().join(target.trim_start_matches('/'))).unwrap();
    symlink(&target, fixture.rootfs().join("inside")).unwrap();
    symlink("../../../../..", fixture.rootfs().join("up")).unwrap();
    let source = fixture.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "data\n").unwrap();
    let bind = |target: &str| json!({ "destination": target, "type": "bind", "source": source, "options": ["rbind", "ro"] });
    let mounts = fixture.config["mounts"].as_array_mut().unwrap();
    mounts.extend([bind("/inside"), bind("/up/data"), bind("/new/deep/er")]);
    fixture.run().prints("data\nfile\n");
    assert_eq!(fs::read_dir(canary.path()).unwrap().count(), 0);
    fixture.assert_gone();
}

fn dangling() {
    let mut fixture = Fixture::script(
        "cat /etc/resolv.conf; busybox readlink /etc/resolv.conf; ls /run /data; busybox pwd",
    );
    fs::create_dir(fixture.rootfs().join("etc")).unwrap();
    symlink("../run/stub/resolv.conf", fixture.rootfs().join("etc/resolv.conf")).unwrap();
    symlink("/run", fixture.rootfs().join("a")).unwrap();
    symlink("data", fixture.rootfs().join("w")).unwrap();
    symlink("self", fixture.rootfs().join("self")).unwrap();
    fs::write(fixture.path().join("resolv"), "nameserver\n").unwrap();
    let source = fixture.path().join("resolv");
    let mounts = fixture.config["mounts"].as_array_mut().unwrap();
    mounts.push(
        json!({ "destination": "/etc/resolv.conf", "type": "bind", "source": source, "options": ["bind"] }),
    );
    mounts.push(json!({ "destination": "/a/b/c", "type": "tmpfs", "source": "x" }));
    fixture.config["process"]["cwd"] = json!("/w/x");
    fixture.run().prints("nameserver\n../run/stub/resolv.conf\n/data:\nx\n\n/run:\nb\nstub\n/data/x\n");
    let mounts = fixture.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({ "destination": "/self/x", "type": "tmpfs", "source": "x" }));
    fixture.write();
    let failed = fixture.verb("create");
    assert!(failed.stderr.starts_with("error: init: mounts: open /self/x: "), "{}", failed.stderr);
    fixture.assert_gone();
}

fn link_to_procfs() {
    let mut fixture = Fixture::new();
    symlink("/proc/self", fixture.rootfs().join("trap")).unwrap();
    let mounts = fixture.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({ "destination": "/trap/attr", "type": "tmpfs", "source": "x" }));
    fixture.write();
    fixture.verb("create").fails_with(
        "init: mounts: verify target /trap/attr (mounts inside /proc are limited to a short list of files)",
    );
    fixture.assert_gone();
}

fn null_device() {
    let mut fixture = Fixture::new();
    let canary = fixture.path().join("canary");
    fs::write(&canary, "").unwrap();
    fs::create_dir(fixture.rootfs().join("dev")).unwrap();
    symlink(&canary, fixture.rootfs().join("dev/null")).unwrap();
    fixture.config["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    fixture.write();
    fixture
        .verb("create")
        .fails_with("init: devices: verify inode /dev/null (the file is not what its name says)");
    fixture.assert_gone();
}
