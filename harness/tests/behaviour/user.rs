//! User namespaces, as root and as an ordinary user.

use std::fs;

use libtest_mimic::Trial;
use serde_json::json;

use crate::support::lab::as_ordinary;
use crate::support::{Fixture, Needs, config, proc_status, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("user::maps", Needs::Root, maps),
        trial("user::devices_by_number", Needs::Root, devices),
        trial("user::mistakes", Needs::Nothing, mistakes),
        trial("user::ordinary", Needs::Setpriv, ordinary),
        trial("user::demo", Needs::Setpriv, demo),
    ]
}

fn maps() {
    let mut fixture = Fixture::script("sleep 100");
    config::user_namespace(&mut fixture.config);
    fixture.config["process"]["user"] = json!({ "uid": 5, "gid": 6, "additionalGids": [9] });
    // An image that the namespace's root may not write to has no place for the mounts.
    fixture.write();
    fixture.verb("create").fails_with(
        "init: mounts: open /proc: permission denied (the mount point is missing in the image and cannot be made)",
    );
    fixture.assert_gone();
    fixture.give_to(100_000);
    let pid = fixture.create();
    assert_eq!(proc_status(pid, "Uid"), "100005 100005 100005 100005");
    fixture.verb("start").prints("");
    assert_eq!(proc_status(pid, "Gid"), "100006 100006 100006 100006");
    assert_eq!(proc_status(pid, "Groups"), "100009");
    let line = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
    fixture.call(&["delete", "-f", &fixture.id]).prints("");
    fixture.assert_gone();
}

/// No device node can be made there, so the host's is bound, whatever it is called.
fn devices() {
    let mut fixture = Fixture::script(
        "stat -c '%n %F %t:%T' /dev/own /dev/below/zero /dev/full; echo x >/dev/own && echo done",
    );
    config::user_namespace(&mut fixture.config);
    fixture.config["linux"]["devices"] = json!([
        { "path": "/dev/own", "type": "c", "major": 1, "minor": 3 },
        { "path": "/dev/below/zero", "type": "c", "major": 1, "minor": 5 },
    ]);
    fixture.give_to(100_000);
    fixture.run().prints(
        "/dev/own character special file 1:3\n/dev/below/zero character special file 1:5\n\
         /dev/full character special file 1:7\ndone\n",
    );
    // One that the host has not, and one that it has with another number.
    for (path, message) in [
        ("/dev/own", "init: devices: open_tree /dev/own: no such file or directory"),
        ("/dev/null", "init: devices: verify inode /dev/null (the file is not what its name says)"),
    ] {
        fixture.config["linux"]["devices"] = json!([{ "path": path, "type": "c", "major": 1, "minor": 99 }]);
        fixture.run().fails_with(message);
    }
    fixture.assert_gone();
}

fn mistakes() {
    let mut fixture = Fixture::new();
    fixture.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    let one = |container: u32, size: u32| json!({ "containerID": container, "hostID": 1000 + container, "size": size });
    for (map, message) in [
        (json!([]), "/linux/uidMappings: a new user namespace needs a mapping"),
        (json!([one(0, 0)]), "/linux/uidMappings/0: size is 0"),
        (json!([one(0, u32::MAX)]), "/linux/uidMappings/0: exceeds the range of ids"),
        (json!([one(0, 10), one(5, 10)]), "/linux/uidMappings/1: overlaps an earlier mapping"),
        (json!([one(1, 10)]), "/linux/uidMappings: id 0 of the container is not mapped"),
    ] {
        fixture.config["linux"]["uidMappings"] = map;
        fixture.write();
        fixture.verb("create").fails_with(&format!("config.json: {message}"));
    }
    fixture.config["linux"]["uidMappings"] = json!([one(0, 1)]);
    fixture.config["linux"]["gidMappings"] = json!([one(0, 1)]);
    fixture.config["process"]["user"]["uid"] = json!(7);
    fixture.write();
    fixture
        .verb("create")
        .fails_with("config.json: /process/user/uid: 7 is not mapped in the user namespace");
    assert!(!fixture.root().exists());
}

fn ordinary() {
    let fixture = Fixture::new();
    std::os::unix::fs::chown(fixture.path(), Some(1000), Some(1000)).unwrap();
    let config = fixture.bundle().join("config.json");
    fs::remove_file(&config).unwrap();
    fixture.give_to(1000);
    as_ordinary(&fixture, &["spec", "--rootless"]).prints("");
    let text = fs::read_to_string(&config)
        .unwrap()
        .replace("\"sh\"", "\"sh\", \"-c\", \"id; echo hello >/dev/null && ls /dev/pts | busybox wc -l\"");
    fs::write(&config, text).unwrap();
    as_ordinary(&fixture, &["run", &fixture.id])
        .prints("uid=0 gid=0 groups=65534\n1\n".replace(" groups=65534", "").as_str());
    as_ordinary(&fixture, &["list", "-q"]).prints("");
    // One more process, too.
    let text =
        fs::read_to_string(&config).unwrap().replace("id; echo hello >/dev/null && ls", "sleep 100; ls");
    fs::write(&config, text).unwrap();
    as_ordinary(&fixture, &["run", "-d", &fixture.id]).prints("");
    as_ordinary(&fixture, &["exec", &fixture.id, "id"]).prints("uid=0 gid=0\n");
    as_ordinary(&fixture, &["delete", "-f", &fixture.id]).prints("");
}

fn demo() {
    let fixture = Fixture::new();
    for shown in [fixture.call(&["demo"]), as_ordinary(&fixture, &["demo"])] {
        assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
        assert!(shown.stdout.contains("\n  pid          1                    1\n"), "{}", shown.stdout);
        assert!(!shown.stdout.contains("differs"), "{}", shown.stdout);
        assert!(shown.stdout.contains("microseconds in each phase of init"), "{}", shown.stdout);
    }
}
