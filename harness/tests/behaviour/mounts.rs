//! Mounts whose effect depends on the host's: propagation, mapped ids, cgroup hierarchies.

use std::fs;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::lab::{in_cgroup2, in_shell};
use crate::support::{Fixture, Needs, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("mounts::propagation_of_the_root", Needs::Cgroup2, propagation),
        trial("mounts::propagation_of_a_mount", Needs::Cgroup2, of_a_mount),
        trial("mounts::mapped_ids", Needs::Cgroup2, mapped_ids),
        trial("mounts::copy_up", Needs::Root, copy_up),
        trial("mounts::tmpfs_modes", Needs::Root, tmpfs_modes),
        trial("mounts::cgroup_on_v1", Needs::Cgroup1, cgroup_1),
        trial("mounts::cgroup_on_v2", Needs::Cgroup2, cgroup_2),
        trial("namespaces::clock_mistakes", Needs::Nothing, clocks),
        trial("namespaces::names", Needs::Root, names),
    ]
}

/// The optional fields of a mount in the container's mountinfo, without numbers.
fn fields(target: &str) -> String {
    format!(
        "busybox awk '$5 == \"{target}\" {{ for (i = 7; $i != \"-\"; i++) {{ sub(/:.*/, \"\", $i); printf \"%s \", $i }}; print \".\" }}' /proc/self/mountinfo | busybox tail -n 1"
    )
}

fn propagation() {
    for no_pivot in ["", "--no-pivot"] {
        for (value, seen) in [
            ("", "."),
            ("private", "."),
            ("rprivate", "."),
            ("slave", "master ."),
            ("rslave", "master ."),
            ("shared", "shared ."),
            ("rshared", "shared ."),
            ("unbindable", "unbindable ."),
            ("runbindable", "unbindable ."),
        ] {
            let mut fixture = Fixture::script(&fields("/"));
            fixture.config["linux"]["rootfsPropagation"] = json!(value);
            // The host's mount is shared, or nothing could come from it.
            let ran =
                in_shell(&fixture, &["-m", "--propagation", "shared"], &format!("$H run {no_pivot} $ID"));
            assert_eq!((ran.stdout, ran.stderr.as_str()), (format!("{seen}\n"), ""), "{value} {no_pivot}");
            fixture.assert_gone();
        }
    }
}

fn of_a_mount() {
    for (option, seen) in [
        ("bind", "."),
        ("rprivate", "."),
        ("rslave", "master ."),
        ("slave", "master ."),
        ("rshared", "shared ."),
        ("unbindable", "unbindable ."),
    ] {
        let mut fixture = Fixture::script(&fields("/tree"));
        let source = fixture.path().join("source");
        fs::create_dir(&source).unwrap();
        fixture.config["mounts"].as_array_mut().unwrap().push(
            json!({ "destination": "/tree", "type": "bind", "source": source, "options": ["rbind", option] }),
        );
        let ran = in_shell(&fixture, &["-m", "--propagation", "shared"], "$H run $ID");
        assert_eq!((ran.stdout, ran.stderr.as_str()), (format!("{seen}\n"), ""), "{option}");
    }
}

fn mapped_ids() {
    let map = |host: u32| json!([{ "containerID": 1000, "hostID": host, "size": 10 }]);
    for (options, mappings, seen) in [
        (json!(["rbind"]), false, "1000:1001 1000:1001"),
        (json!(["bind"]), true, "5000:6001 none"),
        (json!(["rbind"]), true, "5000:6001 1000:1001"),
        (json!(["rbind", "idmap"]), true, "5000:6001 1000:1001"),
        (json!(["rbind", "ridmap"]), true, "5000:6001 5000:6001"),
    ] {
        let mut fixture = Fixture::script(
            "echo $(busybox stat -c %u:%g /tree/file) $(busybox stat -c %u:%g /tree/below/file 2>/dev/null || echo none)",
        );
        let source = fixture.path().join("source");
        fs::create_dir(&source).unwrap();
        let mut mount =
            json!({ "destination": "/tree", "type": "bind", "source": source, "options": options });
        if mappings {
            (mount["uidMappings"], mount["gidMappings"]) = (map(5000), map(6000));
        }
        fixture.config["mounts"].as_array_mut().unwrap().push(mount);
        let prepare = format!(
            "S={}; mount -t tmpfs x $S && mkdir $S/below && mount -t tmpfs y $S/below && touch $S/file $S/below/file && chown 1000:1001 $S/file $S/below/file; $H run $ID",
            source.display()
        );
        let ran = in_shell(&fixture, &["-m"], &prepare);
        if mappings && ran.stderr.contains("the file system cannot be idmapped") {
            // A kernel before 6.3 says so, with the place.
            ran.fails_with("config.json: /mounts/7: the file system cannot be idmapped: invalid argument");
            continue;
        }
        assert_eq!((ran.stdout, ran.stderr.as_str()), (format!("{seen}\n"), ""), "{options} {mappings}");
    }
    let mut fixture = Fixture::script("true");
    let mut mount =
        json!({ "destination": "/tree", "type": "bind", "source": "/tmp", "options": ["bind", "idmap"] });
    for (uids, message) in [
        (Value::Null, "/mounts/7: idmap needs mappings of its own, or a new user namespace"),
        (map(5000), "/mounts/7/gidMappings: missing: an idmapped mount maps both kinds of ids"),
        (json!([{ "containerID": 0, "hostID": 0, "size": 0 }]), "/mounts/7/uidMappings/0: size is 0"),
    ] {
        mount["uidMappings"] = uids;
        fixture.config["mounts"].as_array_mut().unwrap().truncate(7);
        fixture.config["mounts"].as_array_mut().unwrap().push(mount.clone());
        fixture.run().fails_with(&format!("config.json: {message}"));
    }
}

fn copy_up() {
    // Modes, links and empty directories come along; what is on top of a mount point does not leak out.
    let mut fixture = Fixture::script(
        "cd /etc; stat -c '%a %n' . a/x a/s; busybox readlink a/link; cat a/x; ls -A a/empty; echo new >a/x && cat a/x",
    );
    let etc = fixture.rootfs().join("etc");
    fs::create_dir_all(etc.join("a/empty")).unwrap();
    fs::write(etc.join("a/x"), "old\n").unwrap();
    fs::write(etc.join("a/s"), "").unwrap();
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(etc.join(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    mode("a/x", 0o640);
    mode("a/s", 0o4755);
    mode(".", 0o751);
    std::os::unix::fs::symlink("/nowhere", etc.join("a/link")).unwrap();
    fixture.config["mounts"].as_array_mut().unwrap().push(
        json!({ "destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "mode=751"] }),
    );
    fixture.run().prints("751 .\n640 a/x\n4755 a/s\n/nowhere\nold\nnew\n");
    assert_eq!(fs::read_to_string(etc.join("a/x")).unwrap(), "old\n");
    // The mode that is given counts, and the owner is never the image's; where there was no directory
    // the tmpfs is as any other.
    std::os::unix::fs::chown(&etc, Some(9), Some(9)).unwrap();
    let mut options = fixture.config.clone();
    options["process"]["args"] =
        json!(["sh", "-c", "stat -c '%a %u:%g %n' /etc /new /etc/deep; cat /etc/a/x"]);
    for (given, seen) in [
        (json!(["tmpcopyup"]), "751 0:0 /etc\n1777 0:0 /new\n1777 0:0 /etc/deep\n"),
        (json!(["tmpcopyup", "mode=1777"]), "1777 0:0 /etc\n1777 0:0 /new\n1777 0:0 /etc/deep\n"),
        (
            json!(["mode=711", "uid=5", "gid=6", "tmpcopyup"]),
            "711 5:6 /etc\n711 5:6 /new\n711 5:6 /etc/deep\n",
        ),
    ] {
        let mounts = options["mounts"].as_array_mut().unwrap();
        mounts.truncate(7);
        mounts
            .extend(["/etc", "/new", "/etc/deep"].map(
                |at| json!({ "destination": at, "type": "tmpfs", "source": "tmpfs", "options": given }),
            ));
        options["root"]["readonly"] = json!(false);
        fixture.write_text(options.to_string());
        fixture.verb("run").prints(&format!("{seen}old\n"));
    }
    // Into a tmpfs that is too small.
    fs::write(etc.join("large"), vec![0; 1 << 20]).unwrap();
    fixture.config["mounts"][7]["options"] = json!(["tmpcopyup", "size=64k"]);
    fixture.run().fails_with("init: mounts: copy up /etc: no space left on device");
    fixture.assert_gone();
}

fn tmpfs_modes() {
    // The mode of the directory that is covered, behind a link as well; the kernel's own where there
    // is none; the configuration's in any case.
    let mut fixture = Fixture::script("busybox stat -Lc '%a %n' /old /link /new /said");
    for (name, mode) in [("old", 0o750), ("behind", 0o1711), ("said", 0o750)] {
        let place = fixture.rootfs().join(name);
        fs::create_dir(&place).unwrap();
        fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    std::os::unix::fs::symlink("behind", fixture.rootfs().join("link")).unwrap();
    for (target, options) in [("/old", ""), ("/link", "size=64k"), ("/new", "nodev"), ("/said", "mode=700")] {
        let options: Vec<&str> = options.split_terminator(',').collect();
        fixture.config["mounts"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "destination": target, "type": "tmpfs", "source": "tmpfs", "options": options }));
    }
    fixture.run().prints("750 /old\n1711 /link\n1777 /new\n700 /said\n");
}

fn cgroup_1() {
    let script = "busybox grep :pids: /proc/self/cgroup | busybox cut -d: -f3; ls -d /sys/fs/cgroup/pids/cgroup.procs; \
        busybox wc -l </sys/fs/cgroup/pids/cgroup.procs; ls /sys/fs/cgroup | busybox tr '\\n' ' '; echo; \
        for d in /sys/fs/cgroup /sys/fs/cgroup/pids; do touch $d/x 2>/dev/null || echo ro; done";
    let hierarchies: String = {
        let mut names: Vec<String> = fs::read_dir("/sys/fs/cgroup")
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.retain(|name| name != "unified");
        names.sort_unstable();
        names.iter().map(|name| format!("{name} ")).collect()
    };
    for own in [true, false] {
        let mut fixture = Fixture::script(script);
        let list = fixture.config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|one| one["type"] != "cgroup");
        if own {
            list.push(json!({ "type": "cgroup" }));
        }
        let path = if own { "/".to_owned() } else { format!("/{}", fixture.id) };
        // Its own cgroup alone: the shell and wc.
        let ran = fixture.run();
        assert_eq!(
            ran.stdout,
            format!("{path}\n/sys/fs/cgroup/pids/cgroup.procs\n2\n{hierarchies}\nro\nro\n"),
            "{own} {}",
            ran.stderr
        );
        fixture.assert_gone();
    }
}

fn cgroup_2() {
    for own in [true, false] {
        let mut fixture = Fixture::script(
            "busybox grep ^0: /proc/self/cgroup; ls -d /sys/fs/cgroup/cgroup.procs; touch /sys/fs/cgroup/x 2>/dev/null || echo ro",
        );
        let list = fixture.config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|one| own || one["type"] != "cgroup");
        let path = if own { "/".to_owned() } else { format!("/{}", fixture.id) };
        let ran = in_cgroup2(&fixture, "$H run $ID; ls -d /sys/fs/cgroup/$ID 2>/dev/null || echo gone");
        assert_eq!(
            ran.stdout,
            format!("0::{path}\n/sys/fs/cgroup/cgroup.procs\nro\ngone\n"),
            "{}",
            ran.stderr
        );
        // One that may be written is.
        for mount in fixture.config["mounts"].as_array_mut().unwrap() {
            if mount["type"] == "cgroup" {
                mount["options"] = json!(["rw", "nosuid", "noexec", "nodev"]);
            }
        }
        fixture.config["process"]["args"] =
            json!(["sh", "-c", "busybox mkdir /sys/fs/cgroup/sub && ls -d /sys/fs/cgroup/sub/cgroup.procs"]);
        let ran = in_cgroup2(&fixture, "$H run $ID; ls -d /sys/fs/cgroup/$ID 2>/dev/null || echo gone");
        assert_eq!(ran.stdout, "/sys/fs/cgroup/sub/cgroup.procs\ngone\n", "{}", ran.stderr);
    }
}

fn clocks() {
    let mut fixture = Fixture::script("true");
    fixture.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
    for (offsets, message) in [
        (
            json!({ "realtime": { "secs": 1 } }),
            "/linux/timeOffsets/realtime: only monotonic and boottime can be set",
        ),
        (
            json!({ "monotonic": { "nanosecs": 1_000_000_000 } }),
            "/linux/timeOffsets/monotonic/nanosecs: must be less than a second",
        ),
    ] {
        fixture.config["linux"]["timeOffsets"] = offsets;
        fixture.write();
        fixture.verb("create").fails_with(&format!("config.json: {message}"));
    }
}

fn names() {
    let mut fixture = Fixture::script("busybox hostname; cat /proc/sys/kernel/domainname; umask");
    for name in ["hostname", "domainname"] {
        fixture.config[name] = json!("x".repeat(64));
    }
    fixture.config["process"]["user"]["umask"] = json!(0);
    let name = "x".repeat(64);
    fixture.run().prints(&format!("{name}\n{name}\n0000\n"));
    for name in ["hostname", "domainname"] {
        fixture.config[name] = json!("x".repeat(65));
        fixture.run().fails_with(&format!("config.json: /{name}: longer than 64 bytes"));
        fixture.config[name] = json!("");
    }
    let before = fs::read_to_string("/proc/sys/kernel/domainname").unwrap();
    assert!(!before.contains('x'), "{before}");
}
