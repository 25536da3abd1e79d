//! cgroups: made, limited, policed, removed.

use std::fs;
use std::path::Path;

use libtest_mimic::Trial;
use serde_json::json;

use crate::support::lab::in_cgroup2;
use crate::support::{Fixture, Needs, Outcome, config, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("cgroup::limits_on_v1", Needs::Cgroup1, limits_on_v1),
        trial("cgroup::failure_leaves_nothing", Needs::Cgroup1, failure_leaves_nothing),
        trial("cgroup::policies_on_v1", Needs::Cgroup1, policies_on_v1),
        trial("cgroup::out_of_memory", Needs::Cgroup1, out_of_memory),
        trial("cgroup::others_are_spared", Needs::Cgroup1, others_are_spared),
        trial("cgroup::devices_are_denied_by_default", Needs::Root, devices),
        trial("cgroup::version_2", Needs::Cgroup2, version_2),
        trial("cgroup::devices_on_version_2", Needs::Cgroup2, devices_2),
        trial("cgroup::without_cgroup_namespace", Needs::Cgroup2, without_namespace),
    ]
}

fn limits_on_v1() {
    let mut fixture = Fixture::script("sleep 100");
    fixture.config["linux"]["resources"]["memory"] =
        json!({ "limit": 33_554_432, "reservation": 16_777_216 });
    fixture.config["linux"]["resources"]["cpu"] =
        json!({ "shares": 512, "quota": 20000, "period": 100_000, "cpus": "0" });
    fixture.config["linux"]["resources"]["pids"] = json!({ "limit": 20 });
    fixture.config["linux"]["cgroupsPath"] = json!(format!("/harness-tests/{}", fixture.id));
    let pid = fixture.create();
    let read = |controller: &str, file: &str| {
        let path = format!("/sys/fs/cgroup/{controller}/harness-tests/{}/{file}", fixture.id);
        fs::read_to_string(path).unwrap().trim().to_owned()
    };
    assert_eq!(read("memory", "memory.limit_in_bytes"), "33554432");
    assert_eq!(read("memory", "memory.soft_limit_in_bytes"), "16777216");
    assert_eq!(read("cpu", "cpu.shares"), "512");
    assert_eq!(read("cpu", "cpu.cfs_quota_us"), "20000");
    assert_eq!(read("cpuset", "cpuset.cpus"), "0");
    assert_eq!(read("pids", "pids.max"), "20");
    assert_eq!(read("devices", "devices.list").lines().next().unwrap(), "c *:* m");
    for controller in ["memory", "cpu", "cpuset", "pids", "devices", "freezer", "blkio"] {
        assert_eq!(read(controller, "cgroup.procs"), pid.to_string(), "{controller}");
    }
    fixture.call(&["delete", "-f", &fixture.id]).prints("");
    assert!(!Path::new("/sys/fs/cgroup/memory/harness-tests").join(&fixture.id).exists());
    for controller in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let _shared_with_other_runs = fs::remove_dir(controller.path().join("harness-tests"));
    }
}

fn failure_leaves_nothing() {
    let mut fixture = Fixture::new();
    fixture.config["linux"]["resources"]["cpu"] = json!({ "cpus": "4000" });
    fixture.config["linux"]["cgroupsPath"] = json!(format!("/harness-fails/{}/deep", fixture.id));
    fixture.write();
    let failed = fixture.verb("create");
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.stderr.starts_with("error: config.json: /linux/resources/cpu/cpus: write \"4000\" to /sys/fs/cgroup/cpuset/harness-fails/"),
        "{}",
        failed.stderr
    );
    for controller in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        assert!(!controller.path().join("harness-fails").exists(), "{controller:?}");
    }
    fixture.assert_gone();
}

fn policies_on_v1() {
    let mut fixture = Fixture::script("cat /sys/fs/cgroup/devices/devices.list | busybox head -n 2");
    fixture.config["linux"]["resources"]["devices"] =
        json!([{ "allow": false, "access": "rwm" }, { "allow": true, "access": "r" }]);
    fixture.run().prints("c *:* rm\nb *:* rm\n");
    fixture.config["linux"]["resources"]["devices"] = json!([
        { "allow": true, "type": "c", "access": "rwm" }, { "allow": false, "type": "c", "major": 1, "minor": 11, "access": "rwm" },
    ]);
    fixture.write();
    fixture.verb("create").fails_with(
        "config.json: /linux/resources/devices/1: cgroup v1 cannot decide about a part of what an earlier rule decides",
    );
    fixture.assert_gone();
}

fn out_of_memory() {
    let mut fixture = Fixture::script("true");
    // Too little even for init: the container ends, the runtime lives to tell.
    fixture.config["linux"]["resources"]["memory"] = json!({ "limit": 4096 });
    fixture.write();
    let failed = fixture.verb("create");
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(
        failed.stderr.starts_with("error: init was killed for lack of memory (OOM) "),
        "{}",
        failed.stderr
    );
    fixture.assert_gone();
}

fn others_are_spared() {
    let mut outer = Fixture::script("true");
    let mut inner = Fixture::script("sleep 100");
    outer.config["linux"]["cgroupsPath"] = json!(format!("/{}", outer.id));
    inner.config["linux"]["cgroupsPath"] = json!(format!("/{}/inner", outer.id));
    outer.create();
    inner.create();
    inner.verb("start").prints("");
    outer.verb("start").prints("");
    outer.await_status("stopped");
    let refused = outer.verb("delete");
    assert!(refused.stderr.ends_with("is in use by other processes\n"), "{}", refused.stderr);
    assert_eq!(inner.status(), "running");
    inner.call(&["delete", "-f", &inner.id]).prints("");
    outer.verb("delete").prints("");
    outer.assert_gone();
}

const PROBE: &str = "busybox mknod /dev/shm/disk b 8 0; busybox mknod /dev/shm/kmsg c 1 11; echo x >/dev/null && echo null; \
    cat /dev/shm/disk; cat /dev/shm/kmsg; busybox mknod /dev/shm/r c 1 9 && busybox head -c 1 /dev/shm/r | busybox wc -c";

fn privileged_probe() -> Fixture {
    let mut fixture = Fixture::script(PROBE);
    let all = json!(["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYSLOG", "CAP_SYS_ADMIN"]);
    fixture.config["process"]["capabilities"] =
        json!({ "bounding": all, "effective": all, "permitted": all });
    // On a mount that allows device nodes, the policy alone decides.
    for mount in fixture.config["mounts"].as_array_mut().unwrap() {
        if mount["destination"] == "/dev/shm" {
            mount["options"] = json!(["mode=1777"]);
        }
    }
    fixture
}

#[track_caller]
fn denied(ran: &Outcome) {
    assert_eq!(ran.stdout, "null\n1\n", "{}", ran.stderr);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "cat: can't open '/dev/shm/disk': Operation not permitted",
            "cat: can't open '/dev/shm/kmsg': Operation not permitted",
        ]
    );
}

fn devices() {
    for rules in [json!(null), json!([]), json!([{ "allow": false, "access": "rwm" }])] {
        let mut fixture = privileged_probe();
        fixture.config["linux"]["resources"]["devices"] = rules;
        denied(&fixture.run());
    }
}

fn version_2() {
    let fixture = Fixture::script(
        "cat /proc/self/cgroup | busybox grep ^0; ls /sys/fs/cgroup | busybox grep -c cgroup.procs; touch /sys/fs/cgroup/x || echo ro",
    );
    let ran = in_cgroup2(
        &fixture,
        "$H create $ID && cat /sys/fs/cgroup/$ID/cgroup.procs | wc -l && $H start $ID && until $H delete $ID 2>/dev/null; do sleep 0.05; done && ls -d /sys/fs/cgroup/$ID || echo gone",
    );
    assert_eq!(ran.stdout, "1\n0::/\n1\nro\ngone\n", "{}", ran.stderr);
}

fn devices_2() {
    denied(&in_cgroup2(&privileged_probe(), "$H run $ID"));
    let mut fixture = privileged_probe();
    fixture.config["process"]["args"] = json!([
        "sh",
        "-c",
        "busybox mknod /dev/shm/kmsg c 1 11; busybox head -c 0 /dev/shm/kmsg && echo read"
    ]);
    fixture.config["linux"]["resources"]["devices"] = json!([
        { "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" },
    ]);
    in_cgroup2(&fixture, "$H run $ID").prints("read\n");
}

fn without_namespace() {
    let mut fixture = Fixture::script(
        "ls /sys/fs/cgroup | busybox grep -c cgroup.procs; while read line; do echo one; done </sys/fs/cgroup/cgroup.procs; touch /sys/fs/cgroup/x || echo ro",
    );
    config::share(&mut fixture.config, "cgroup");
    let ran = in_cgroup2(&fixture, "$H run $ID");
    // Its own cgroup and nothing above: the shell alone.
    assert_eq!(ran.stdout, "1\none\nro\n", "{}", ran.stderr);
}
