//! The harness as an ordinary user: what works, and what the errors name.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::lab::{as_ordinary, in_cgroup2, in_shell, ordinary};
use crate::support::{Fixture, Needs, config, outcome, trial};

pub fn trials() -> Vec<Trial> {
    let helpers = trial("rootless::subordinate_ids", Needs::Setpriv, subordinate);
    let installed = Path::new("/usr/bin/newuidmap").exists();
    let helpers = if installed {
        helpers
    } else {
        helpers.with_kind("skipped: needs newuidmap (uidmap)").with_ignored_flag(true)
    };
    vec![
        helpers,
        trial("rootless::missing_helper", Needs::Setpriv, missing_helper),
        trial("rootless::delegated_cgroup", Needs::Setpriv, delegated),
        trial("rootless::cgroup_that_is_not_delegated", Needs::Setpriv, not_delegated),
        trial("rootless::verbs", Needs::Setpriv, verbs),
        trial("rootless::mistakes", Needs::Setpriv, mistakes),
        trial("rootless::host_pid_namespace", Needs::Setpriv, host_pids),
        trial("rootless::in_an_engines_user_namespace", Needs::Ip, in_user_namespace),
    ]
}

/// A bundle of `spec --rootless` that belongs to uid 1000.
fn fixture(script: &str) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.config = json!(null);
    chown(fixture.path(), Some(1000), Some(1000)).unwrap();
    fixture.give_to(1000);
    let file = fixture.bundle().join("config.json");
    fs::remove_file(&file).unwrap();
    outcome(ordinary(&fixture).args(["spec", "--rootless"])).prints("");
    fixture.config = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    fixture.config["process"]["args"] = json!(["sh", "-c", script]);
    fixture.config["process"]["terminal"] = json!(false);
    fixture
}

/// `$H` of the shell, as uid 1000.
fn as_user(fixture: &Fixture) -> String {
    let _copied = ordinary(fixture);
    format!(
        "H=\"setpriv --reuid 1000 --regid 1000 --clear-groups {}/harness --root {}\"",
        fixture.path().display(),
        fixture.root().display()
    )
}

fn map(ids: &[(u32, u32, u32)]) -> Value {
    ids.iter().map(|(id, host, size)| json!({ "containerID": id, "hostID": host, "size": size })).collect()
}

/// Two files with what the helpers ask: who uid 1000 is, and which ids it may use.
const RANGES: &str = "D=$(mktemp -d); mount -t tmpfs x $D; echo 'some:x:1000:1000::/:/bin/sh' >$D/passwd; \
    echo some:200000:65536 >$D/sub; for f in passwd:passwd sub:subuid sub:subgid; do \
    [ -e /etc/${f#*:} ] && mount --bind $D/${f%:*} /etc/${f#*:} || exit 98; done; umount -l $D; rmdir $D";

fn subordinate() {
    let mut fixture = fixture(
        "cat /proc/self/uid_map | busybox awk '{print $1, $2, $3}'; busybox id -u; busybox touch /dev/shm/x; busybox chown 5:6 /dev/shm/x && busybox stat -c %u:%g /dev/shm/x",
    );
    fixture.config["process"]["capabilities"] = json!({
        "bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"] });
    fixture.config["linux"]["uidMappings"] = map(&[(0, 1000, 1), (1, 200_000, 65536)]);
    fixture.config["linux"]["gidMappings"] = map(&[(0, 1000, 1), (1, 200_000, 65536)]);
    let user = as_user(&fixture);
    in_shell(&fixture, &["-m"], &format!("{RANGES}; {user}; $H run $ID"))
        .prints("0 1000 1\n1 200000 65536\n0\n5:6\n");
    // Beyond what is granted.
    fixture.config["linux"]["uidMappings"] = map(&[(0, 1000, 1), (1, 300_000, 10)]);
    let refused = in_shell(&fixture, &["-m"], &format!("{RANGES}; {user}; $H run $ID"));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let pid: String = refused.stderr.chars().skip_while(|c| *c != '[').filter(char::is_ascii_digit).collect();
    assert!(!pid.is_empty());
    assert!(
        refused.stderr.starts_with("error: newuidmap refuses \"0 1000 1\\n1 300000 10\": newuidmap: ")
            && refused.stderr.ends_with(" (does /etc/subuid give you these ids?)\n"),
        "{refused:?}"
    );
    // The other file by its own name.
    fixture.config["linux"]["uidMappings"] = map(&[(0, 1000, 1), (1, 200_000, 10)]);
    fixture.config["linux"]["gidMappings"] = map(&[(0, 1000, 1), (1, 300_000, 10)]);
    let refused = in_shell(&fixture, &["-m"], &format!("{RANGES}; {user}; $H run $ID"));
    assert!(
        refused.stderr.starts_with("error: newgidmap refuses \"0 1000 1\\n1 300000 10\": newgidmap: ")
            && refused.stderr.ends_with(" (does /etc/subgid give you these ids?)\n"),
        "{refused:?}"
    );
    fixture.assert_gone();
}

fn missing_helper() {
    let mut fixture = fixture("true");
    fixture.config["linux"]["uidMappings"] = map(&[(0, 1000, 1), (1, 200_000, 65536)]);
    let user = as_user(&fixture).replace("--clear-groups", "--clear-groups env PATH=/nowhere");
    in_shell(&fixture, &[], &format!("{user}; $H run $ID")).fails_with(
        "newuidmap is not installed (package uidmap): an ordinary user needs it to map more than the own id",
    );
    fixture.assert_gone();
}

/// Gives uid 1000 a cgroup, and enters it: only who is in it may move others there.
const DELEGATE: &str = "mkdir -p /sys/fs/cgroup/of-$ID/own && chown -R 1000 /sys/fs/cgroup/of-$ID && echo $$ >/sys/fs/cgroup/of-$ID/own/cgroup.procs";

fn delegated() {
    let mut fixture = fixture("sleep 100");
    let path = format!("/of-{}/container", fixture.id);
    fixture.config["linux"]["cgroupsPath"] = json!(path);
    config::share(&mut fixture.config, "cgroup");
    let user = as_user(&fixture);
    let script = format!(
        "{DELEGATE}; {user}; $H run -d $ID && $H exec $ID busybox grep ^0: /proc/self/cgroup; wc -l </sys/fs/cgroup{path}/cgroup.procs; \
         $H pause $ID && $H state $ID | grep -o paused; $H resume $ID; $H delete -f $ID; ls -d /sys/fs/cgroup{path} 2>/dev/null || echo gone; \
         echo $$ >/sys/fs/cgroup/cgroup.procs; rmdir /sys/fs/cgroup/of-$ID/own /sys/fs/cgroup/of-$ID"
    );
    let ran = in_cgroup2(&fixture, &script);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let own = format!("0::{path}");
    assert_eq!((lines, ran.stderr.as_str()), (vec![own.as_str(), "1", "paused", "gone"], ""), "{ran:?}");
    fixture.assert_gone();
}

fn not_delegated() {
    // Named, but not the user's: an error. Not named: without.
    let mut fixture = fixture("echo ran");
    fixture.config["linux"]["cgroupsPath"] = json!(format!("/{}", fixture.id));
    let user = as_user(&fixture);
    in_cgroup2(&fixture, &format!("{user}; $H run $ID")).fails_with(&format!(
        "mkdir /sys/fs/cgroup/{}: permission denied (the cgroup must be delegated to this user)",
        fixture.id
    ));
    fixture.config["linux"].as_object_mut().unwrap().remove("cgroupsPath");
    in_cgroup2(&fixture, &format!("{user}; $H run $ID")).prints("ran\n");
    // A limit that nobody could keep is not forgotten.
    fixture.config["linux"]["resources"] = json!({ "pids": { "limit": 5 } });
    let refused = in_cgroup2(&fixture, &format!("{user}; $H run $ID"));
    let missing = "config.json: /linux/resources/pids/limit: cgroup controller pids is not available";
    let forbidden = format!(
        "mkdir /sys/fs/cgroup/{}: permission denied (the cgroup must be delegated to this user)",
        fixture.id
    );
    let found = if refused.stderr.contains("not available") { missing } else { &forbidden };
    refused.fails_with(found);
    fixture.assert_gone();
}

/// The kernel gives no new procfs of the host's pid namespace, so the host's own is bound, and
/// covered as any.
fn host_pids() {
    let seen = "busybox readlink /proc/self/ns/pid; \
        busybox awk '$5 == \"/proc\" {print $4, $(NF-2), $(NF-1)}' /proc/self/mountinfo; busybox wc -c </proc/timer_list; \
        echo 1 2>/dev/null >/proc/sys/vm/drop_caches || echo ro";
    let own = fs::read_link("/proc/self/ns/pid").unwrap();
    let expected = format!("{}\n/ proc proc\n0\nro\n", own.display());
    for bound in [false, true] {
        let mut fixture = fixture(seen);
        config::share(&mut fixture.config, "pid");
        if bound {
            // As podman has it.
            fixture.config["mounts"][0] = json!({ "destination": "/proc", "type": "bind", "source": "/proc",
                "options": ["rbind", "nosuid", "noexec", "nodev"] });
        }
        fixture.write();
        let ran = as_ordinary(&fixture, &["run", &fixture.id]);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), (expected.as_str(), ""), "{bound}");
        fixture.assert_gone();
    }
    // Root's own user namespace gets none either.
    let mut fixture = Fixture::script(seen);
    config::share(&mut fixture.config, "pid");
    fixture.give_to(100_000);
    config::user_namespace(&mut fixture.config);
    fixture.run().prints(&expected);
}

fn verbs() {
    let fixture = fixture("sleep 100");
    fixture.write();
    let id = fixture.id.as_str();
    as_ordinary(&fixture, &["create", id]).prints("");
    let state: Value = serde_json::from_str(&as_ordinary(&fixture, &["state", id]).stdout).unwrap();
    assert_eq!(state["status"], "created");
    as_ordinary(&fixture, &["start", id]).prints("");
    as_ordinary(&fixture, &["exec", id, "id"]).prints("uid=0 gid=0\n");
    let rows: Value =
        serde_json::from_str(&as_ordinary(&fixture, &["list", "--format", "json"]).stdout).unwrap();
    assert_eq!((&rows[0]["id"], &rows[0]["owner"]), (&json!(id), &json!("1000")));
    assert_eq!(
        as_ordinary(&fixture, &["ps", "--format", "json", id]).stdout,
        format!("[{}]\n", state["pid"])
    );
    as_ordinary(&fixture, &["kill", id, "KILL"]).prints("");
    let start = std::time::Instant::now();
    while as_ordinary(&fixture, &["delete", id]).code != Some(0) {
        assert!(start.elapsed().as_secs() < 10);
    }
    fixture.assert_gone();
}

fn mistakes() {
    let mut fixture = fixture("true");
    // Another user's id, and no namespace to be root in.
    fixture.config["process"]["user"]["additionalGids"] = json!([0]);
    fixture.write();
    as_ordinary(&fixture, &["run", &fixture.id]).fails_with(
        "config.json: /process/user/additionalGids: an ordinary user's user namespace cannot set groups",
    );
    fixture.config["process"]["user"].as_object_mut().unwrap().remove("additionalGids");
    config::share(&mut fixture.config, "user");
    for map in ["uidMappings", "gidMappings"] {
        fixture.config["linux"].as_object_mut().unwrap().remove(map);
    }
    fixture.write();
    as_ordinary(&fixture, &["run", &fixture.id]).fails_with(
        "clone3 of init: operation not permitted (an ordinary user needs a user namespace: harness spec --rootless)",
    );
}

/// As root of a user namespace that an engine has made, which is an ordinary user outside: state in
/// that user's directory, devices by bind mounts, nothing in place of the cgroup that it cannot make.
fn in_user_namespace() {
    let mut fixture = Fixture::script(
        "id; cat /proc/self/uid_map; stat -c '%F %t:%T' /dev/null; ls /sys/fs/cgroup/pids /sys/fs/cgroup/memory; \
         touch /dev/shm/x && echo x >/dev/null && echo done",
    );
    fixture.give_to(100_000);
    config::share(&mut fixture.config, "cgroup");
    let directory = fixture.path().join("user");
    fs::create_dir(&directory).unwrap();
    chown(&directory, Some(100_000), Some(100_000)).unwrap();
    let bundle = fixture.bundle();
    let inside = |call: &str| {
        format!(
            "unshare -U -m sleep 100 & p=$!; \
             until [ $(readlink /proc/$p/ns/user) != $(readlink /proc/self/ns/user) ]; do sleep 0.01; done; \
             echo 0 100000 65536 >/proc/$p/uid_map; echo 0 100000 65536 >/proc/$p/gid_map; \
             nsenter -t $p -U -m -S 0 -G 0 env -u USER -C {} XDG_RUNTIME_DIR={} {} {call}; kill $p",
            bundle.display(),
            directory.display(),
            crate::support::binary().display(),
        )
    };
    let ran = in_shell(&fixture, &[], &inside("run $ID"));
    let map = "         0     100000      65536\n";
    let listed = "/sys/fs/cgroup/memory:\n\n/sys/fs/cgroup/pids:\n";
    let listed = if Path::new("/sys/fs/cgroup/pids").exists() { listed } else { "" };
    let device = "character special file 1:3\n";
    assert_eq!(ran.stdout, format!("uid=0 gid=0\n{map}{device}{listed}done\n"), "{ran:?}");
    in_shell(&fixture, &[], &inside("create $ID")).prints("");
    assert!(directory.join("harness").join(&fixture.id).join("state.json").exists());
    in_shell(&fixture, &[], &inside("delete -f $ID")).prints("");
    assert!(!directory.join("harness").join(&fixture.id).exists());
    // A limit that nobody could keep is not forgotten.
    fixture.config["linux"]["resources"] = json!({ "pids": { "limit": 5 } });
    let refused = in_shell(&fixture, &[], &inside("run $ID"));
    assert_eq!(refused.stdout, "");
    assert!(refused.stderr.starts_with("error: "), "{refused:?}");
    assert_eq!(fs::read_dir(directory.join("harness")).unwrap().count(), 0);
    fixture.assert_gone();
}
