//! Device policies of every shape, on cgroup v1 and v2: what a process may then do with a device.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::lab::{in_cgroup2, in_shell};
use crate::support::{Fixture, Needs, config, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("policy::shapes_on_v1", Needs::Cgroup1, shapes_1),
        trial("policy::shapes_on_v2", Needs::Cgroup2, shapes_2),
        trial("policy::verified_once", Needs::Cgroup2, verified_once),
        trial("policy::in_a_cgroup_that_stays", Needs::Cgroup2, stays),
        trial("policy::of_whom_is_left", Needs::Cgroup2, left),
        trial("policy::update_on_v1", Needs::Cgroup1, update_1),
        trial("policy::update_on_v2", Needs::Cgroup2, update_2),
    ]
}

/// Tries devices that no driver has: the policy says EPERM, whatever comes after it ENXIO. Every
/// container may make nodes.
const PROBE: &str = "for d in c:240:1 c:240:2 c:241:1 b:240:1; do \
    busybox mknod /dev/shm/$d ${d%%:*} $(echo $d | busybox cut -d: -f2) ${d##*:} || echo -n no-node:; r=-; w=-; \
    busybox head -c 0 /dev/shm/$d 2>&1 | busybox grep -q 'not permitted' || r=r; \
    (: >/dev/shm/$d) 2>&1 | busybox grep -q 'not permitted' || w=w; \
    busybox rm /dev/shm/$d; echo -n $d=$r$w' '; done 2>/dev/null; echo";

fn fixture(rules: &Value) -> Fixture {
    let mut fixture = Fixture::script(PROBE);
    let all = json!(["CAP_MKNOD", "CAP_DAC_OVERRIDE"]);
    fixture.config["process"]["capabilities"] =
        json!({ "bounding": all, "effective": all, "permitted": all });
    for mount in fixture.config["mounts"].as_array_mut().unwrap() {
        if mount["destination"] == "/dev/shm" {
            mount["options"] = json!(["mode=1777"]);
        }
    }
    fixture.config["linux"]["resources"]["devices"] = rules.clone();
    fixture
}

/// Rules, and what they allow of c 240:1, c 240:2, c 241:1 and b 240:1.
fn shapes() -> Vec<(Value, [&'static str; 4])> {
    let rule = |allow: bool, kind: &str, major: i64, minor: i64, access: &str| json!({ "allow": allow, "type": kind, "major": major, "minor": minor, "access": access });
    let deny = json!({ "allow": false, "access": "rwm" });
    let allow = json!({ "allow": true, "access": "rwm" });
    vec![
        (json!(null), ["--", "--", "--", "--"]),
        (json!([]), ["--", "--", "--", "--"]),
        (json!([deny]), ["--", "--", "--", "--"]),
        (json!([allow]), ["rw", "rw", "rw", "rw"]),
        (json!([allow, deny]), ["--", "--", "--", "--"]),
        (json!([deny, { "allow": true }]), ["rw", "rw", "rw", "rw"]),
        (json!([deny, { "allow": true, "type": "a", "access": "r" }]), ["r-", "r-", "r-", "r-"]),
        (json!([deny, { "allow": true, "type": "c" }]), ["rw", "rw", "rw", "--"]),
        (json!([deny, { "allow": true, "type": "b", "access": "w" }]), ["--", "--", "--", "-w"]),
        (json!([deny, rule(true, "c", 240, -1, "rw")]), ["rw", "rw", "--", "--"]),
        (json!([deny, rule(true, "c", -1, 1, "r")]), ["r-", "--", "r-", "--"]),
        (json!([deny, rule(true, "c", 240, 1, "r"), rule(true, "c", 240, 1, "w")]), ["rw", "--", "--", "--"]),
        (
            json!([deny, rule(true, "c", 240, 1, "rw"), rule(false, "c", 240, 1, "w")]),
            ["r-", "--", "--", "--"],
        ),
        (json!([allow, rule(false, "c", 240, 1, "w")]), ["r-", "rw", "rw", "rw"]),
        (json!([allow, rule(false, "c", 240, -1, "rw")]), ["--", "--", "rw", "rw"]),
        (json!([rule(true, "c", 240, 1, "rw"), deny]), ["--", "--", "--", "--"]),
        (json!([deny, rule(true, "c", 1, 3, "r"), rule(false, "c", 1, 3, "rwm")]), ["--", "--", "--", "--"]),
    ]
}

/// Lists that take back a part of what they have allowed: v1 cannot, v2 can.
fn partial() -> Vec<(Value, [&'static str; 4])> {
    let all = |allow: bool, access: &str| json!({ "allow": allow, "type": "c", "access": access });
    let one = |allow: bool| json!({ "allow": allow, "type": "c", "major": 240, "minor": 1, "access": "rw" });
    let major = |allow: bool| json!({ "allow": allow, "type": "c", "major": 240, "access": "rw" });
    vec![
        (json!([all(true, "rw"), one(false)]), ["--", "rw", "rw", "--"]),
        (json!([major(true), one(false)]), ["--", "rw", "--", "--"]),
    ]
}

fn line(access: [&str; 4]) -> String {
    let [a, b, c, d] = access;
    format!("c:240:1={a} c:240:2={b} c:241:1={c} b:240:1={d} \n")
}

fn shapes_1() {
    for (rules, access) in shapes() {
        let ran = fixture(&rules).run();
        assert_eq!((ran.stdout, ran.stderr.as_str()), (line(access), ""), "{rules}");
    }
    for (rules, _) in partial() {
        fixture(&rules).run().fails_with(
            "config.json: /linux/resources/devices/1: cgroup v1 cannot decide about a part of what an earlier rule decides",
        );
    }
}

fn shapes_2() {
    for (rules, access) in shapes().into_iter().chain(partial()) {
        let ran = in_cgroup2(&fixture(&rules), "$H run $ID");
        assert_eq!((ran.stdout, ran.stderr.as_str()), (line(access), ""), "{rules}");
    }
}

/// A policy is loaded once, and kept by a name that is its program; another one is another program.
fn verified_once() {
    let fixture = fixture(&json!(null));
    let kept = fixture.root().join(".template/programs").display().to_string();
    // The kernel puts iterators of its own into a bpffs (bpf_preload).
    let count = format!("ls {kept} | grep -cv debug");
    let load = "strace -f -qq -e trace=bpf -o bpf $H run $ID > /dev/null; grep -c BPF_PROG_LOAD bpf";
    let change = "sed -i 's/\"devices\": *null/\"devices\":[{\"allow\":true,\"type\":\"c\"}]/' config.json";
    let script = format!(
        "{load}; {count}; {load}; {count}; {change}; {load}; {count}; $H run $ID; $H cleanup; ls -A {}",
        fixture.root().display()
    );
    let ran = in_cgroup2(&fixture, &script);
    let other = line(["rw", "rw", "rw", "--"]);
    assert_eq!((ran.stdout, ran.stderr), (format!("1\n1\n0\n1\n1\n2\n{other}"), String::new()));
}

/// A cgroup that others have made keeps the program of its first container, and takes the second one.
fn stays() {
    let mut fixture = fixture(&json!(null));
    let cgroup = format!("/sys/fs/cgroup/stays-{}", fixture.id);
    fixture.config["linux"]["cgroupsPath"] = json!(format!("/stays-{}", fixture.id));
    // The kernel takes 64 programs at most.
    let many = "i=0; while [ $i -lt 65 ]; do $H create $ID && $H delete -f $ID; i=$((i+1)); done";
    let outside = "mknod node c 240 1; { : <node; } 2>&1 | sed 's/.*: //'";
    let script = format!(
        "mkdir {cgroup}; $H run $ID; $H run $ID; {many}; $H run $ID; \
         $H create $ID; for i in 1 2; do echo '{ALLOW}' | $H update -r - $ID; done; $H delete -f $ID; \
         echo $$ >{cgroup}/cgroup.procs; {outside}; \
         echo $$ >/sys/fs/cgroup/cgroup.procs; rmdir {cgroup}"
    );
    let ran = in_cgroup2(&fixture, &script);
    let expected = format!("{}No such device or address\n", line(["--"; 4]).repeat(3));
    assert_eq!((ran.stdout, ran.stderr), (expected, String::new()));
}

/// A process that has outlived the container's first one keeps its policy.
fn left() {
    let mut fixture = Fixture::script("sleep 100 >/dev/null 2>&1 &");
    config::share(&mut fixture.config, "pid");
    let cgroup = format!("/sys/fs/cgroup/left-{}", fixture.id);
    fixture.config["linux"]["cgroupsPath"] = json!(format!("/left-{}", fixture.id));
    let script = format!(
        "mkdir {cgroup}; $H run $ID; mknod node c 240 1; (echo 0 >{cgroup}/cgroup.procs; : <node) 2>&1 | sed 's/.*: //'; \
         echo 1 >{cgroup}/cgroup.kill; until rmdir {cgroup} 2>/dev/null; do :; done"
    );
    in_cgroup2(&fixture, &script).prints("Operation not permitted\n");
}

const ALLOW: &str =
    "{\"devices\":[{\"allow\":false},{\"allow\":true,\"type\":\"c\",\"major\":240,\"access\":\"rw\"}]}";
const NONE: &str = "{\"devices\":[{\"allow\":false}]}";
const PARTIAL: &str = "{\"devices\":[{\"allow\":true,\"type\":\"c\",\"access\":\"rw\"},\
    {\"allow\":false,\"type\":\"c\",\"major\":240,\"minor\":1,\"access\":\"rw\"}]}";

/// A container that waits, whose policy is changed twice; what a process then may do each time.
fn update() -> String {
    let probe = PROBE.replace('\'', "'\\''");
    let try_it = format!("$H exec $ID sh -c '{probe}'");
    let update = |rules: &str| format!("echo '{rules}' | $H update -r - $ID");
    format!(
        "$H create $ID && $H start $ID && {try_it}; {}; {try_it}; {}; {try_it}; {}; {try_it}; $H delete -f $ID",
        update(ALLOW),
        update(NONE),
        update(PARTIAL)
    )
}

fn waiting() -> Fixture {
    let mut fixture = fixture(&json!(null));
    fixture.config["process"]["args"] = json!(["sleep", "100"]);
    fixture
}

fn update_1() {
    let ran = in_shell(&waiting(), &[], &update());
    let (none, some) = (line(["--"; 4]), line(["rw", "rw", "--", "--"]));
    // What v1 cannot carry out changes nothing.
    assert_eq!(ran.stdout, format!("{none}{some}{none}{none}"), "{ran:?}");
    assert_eq!(
        ran.stderr,
        "error: stdin: /devices/1: cgroup v1 cannot decide about a part of what an earlier rule decides\n"
    );
}

fn update_2() {
    let ran = in_cgroup2(&waiting(), &update());
    let (none, some) = (line(["--"; 4]), line(["rw", "rw", "--", "--"]));
    let partial = line(["--", "rw", "rw", "--"]);
    assert_eq!((ran.stdout, ran.stderr.as_str()), (format!("{none}{some}{none}{partial}"), ""));
}
