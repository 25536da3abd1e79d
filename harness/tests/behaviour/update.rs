//! `update`: each flag alone, read back from the cgroup, on the controllers that this machine has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use serde_json::json;

use super::options::running;
use crate::support::lab::in_cgroup2;
use crate::support::{Fixture, Needs, missing, trial};

/// A flag, its value, the file of cgroup v1 that it goes to, and what that holds afterwards.
struct Row {
    flag: &'static str,
    value: &'static str,
    file: &'static str,
    holds: &'static str,
}

const fn row(flag: &'static str, value: &'static str, file: &'static str, holds: &'static str) -> Row {
    Row { flag, value, file, holds }
}

const ROWS: [Row; 21] = [
    row("blkio-weight", "300", "blkio/blkio.bfq.weight", "300"),
    row("cpu-period", "50000", "cpu/cpu.cfs_period_us", "50000"),
    row("cpu-quota", "20000", "cpu/cpu.cfs_quota_us", "20000"),
    row("cpu-quota", "-1", "cpu/cpu.cfs_quota_us", "-1"),
    row("cpu-burst", "1000", "cpu/cpu.cfs_burst_us", "1000"),
    row("cpu-share", "512", "cpu/cpu.shares", "512"),
    row("cpu-rt-period", "500000", "cpu/cpu.rt_period_us", "500000"),
    row("cpu-rt-runtime", "1000", "cpu/cpu.rt_runtime_us", "1000"),
    row("cpu-idle", "1", "cpu/cpu.idle", "1"),
    row("cpuset-cpus", "0", "cpuset/cpuset.cpus", "0"),
    row("cpuset-mems", "0", "cpuset/cpuset.mems", "0"),
    row("memory", "100663296", "memory/memory.limit_in_bytes", "100663296"),
    row("memory", "96m", "memory/memory.limit_in_bytes", "100663296"),
    row("memory-reservation", "32M", "memory/memory.soft_limit_in_bytes", "33554432"),
    row("memory-reservation", "-1", "memory/memory.soft_limit_in_bytes", "9223372036854771712"),
    row("memory-swap", "1g", "memory/memory.memsw.limit_in_bytes", "1073741824"),
    row("memory-swap", "-1", "memory/memory.memsw.limit_in_bytes", "9223372036854771712"),
    row("kernel-memory", "8mb", "memory/memory.kmem.limit_in_bytes", "8388608"),
    row("pids-limit", "77", "pids/pids.max", "77"),
    row("pids-limit", "-1", "pids/pids.max", "max"),
    row("pids-limit", "1k", "pids/pids.max", "1024"),
];

pub fn trials() -> Vec<Trial> {
    let rows = ROWS.iter().enumerate().map(|(index, row)| {
        let name = format!("update::{}={}", row.flag, row.value);
        let lack = missing(Needs::Cgroup1).map(str::to_owned).or_else(|| lack(row));
        let trial = Trial::test(name, move || {
            flag(&ROWS[index]);
            Ok::<(), Failed>(())
        });
        match lack {
            None => trial,
            Some(reason) => trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
        }
    });
    rows.chain([
        trial("update::all_flags_have_a_row", Needs::Nothing, complete),
        trial("update::mistakes", Needs::Cgroup1, mistakes),
        trial("update::without_controllers_on_v2", Needs::Cgroup2, version_2),
        trial("update::file_and_stdin", Needs::Cgroup1, file),
    ])
    .collect()
}

/// Why this kernel cannot show a row: tried in a cgroup of its own, as a root has fewer files.
fn lack(row: &Row) -> Option<String> {
    let (controller, file) = row.file.split_once('/')?;
    let probe =
        Path::new("/sys/fs/cgroup").join(controller).join(format!("harness-probe-{}", std::process::id()));
    fs::create_dir(&probe).ok()?;
    let there = probe.join(file).exists();
    let kept = || {
        fs::write(probe.join(file), row.holds).is_ok()
            && fs::read_to_string(probe.join(file)).is_ok_and(|text| text.trim() == row.holds)
    };
    let reason = match () {
        () if !there => Some(format!("the kernel has no {file}")),
        () if row.flag == "kernel-memory" && !kept() => Some(format!("the kernel ignores {file}")),
        () => None,
    };
    fs::remove_dir(&probe).unwrap();
    reason
}

/// All files of the container's cgroups that a limit goes to.
fn limits(fixture: &Fixture) -> BTreeMap<String, String> {
    let read = |file: &&str| {
        let (controller, name) = file.split_once('/').unwrap();
        let path = PathBuf::from("/sys/fs/cgroup").join(controller).join(&fixture.id).join(name);
        fs::read_to_string(path).ok().map(|text| ((*file).to_owned(), text.trim().to_owned()))
    };
    ROWS.iter().map(|row| row.file).collect::<Vec<_>>().iter().filter_map(read).collect()
}

fn limited() -> Fixture {
    running(|config| {
        config["linux"]["resources"]["cpu"] = json!({ "quota": 30000, "period": 100_000 });
        config["linux"]["resources"]["memory"] =
            json!({ "limit": 67_108_864, "reservation": 16_777_216, "swap": 268_435_456 });
        config["linux"]["resources"]["pids"] = json!({ "limit": 50 });
    })
}

/// The flag changes its file and no other.
fn flag(row: &Row) {
    let fixture = limited();
    let mut expected = limits(&fixture);
    let flag = format!("--{}", row.flag);
    fixture.call(&["update", &flag, row.value, &fixture.id]).prints("");
    expected.insert(row.file.to_owned(), row.holds.to_owned());
    if row.flag == "cpu-idle" {
        // The kernel gives an idle group the least weight (sched_group_set_idle).
        expected.insert("cpu/cpu.shares".into(), "3".into());
    }
    assert_eq!(limits(&fixture), expected);
}

fn complete() {
    let help = Fixture::new().call(&["update", "--help"]).stdout;
    let flags = help.lines().filter_map(|line| line.trim().strip_prefix("--")?.split(' ').next());
    let mut flags: Vec<&str> = flags.filter(|flag| *flag != "resources").collect();
    let mut rows: Vec<&str> = ROWS.iter().map(|row| row.flag).collect();
    rows.dedup();
    flags.sort_unstable();
    rows.sort_unstable();
    assert_eq!(flags, rows);
}

fn mistakes() {
    let fixture = limited();
    let id = fixture.id.as_str();
    let before = limits(&fixture);
    let file = |file: &str| {
        format!("/sys/fs/cgroup/{}/{id}/{}", file.split('/').next().unwrap(), file.split('/').nth(1).unwrap())
    };
    for (flag, value, message) in [
        ("--memory", "much", "update: --memory: \"much\" is no number".to_owned()),
        ("--memory", "1t", "update: --memory: \"1t\" is no number".to_owned()),
        ("--memory", "", "update: --memory: \"\" is no number".to_owned()),
        (
            "--memory",
            "9223372036854775807k",
            "update: --memory: \"9223372036854775807k\" is no number".to_owned(),
        ),
        ("--pids-limit", "1.5", "update: --pids-limit: \"1.5\" is no number".to_owned()),
        (
            "--cpuset-cpus",
            "4000",
            format!(
                "update: --cpuset-cpus: write \"4000\" to {}: numerical result out of range",
                file("cpuset/cpuset.cpus")
            ),
        ),
        (
            "--cpuset-mems",
            "7",
            format!("update: --cpuset-mems: write \"7\" to {}: invalid argument", file("cpuset/cpuset.mems")),
        ),
        (
            "--cpu-quota",
            "1",
            format!("update: --cpu-quota: write \"1\" to {}: invalid argument", file("cpu/cpu.cfs_quota_us")),
        ),
    ] {
        fixture.call(&["update", flag, value, id]).fails_with(&message);
    }
    assert_eq!(limits(&fixture), before);
    fixture.call(&["kill", id, "KILL"]).prints("");
    fixture.await_status("stopped");
    fixture
        .call(&["update", "--pids-limit", "9", id])
        .fails_with(&format!("cannot update container {id:?}: it has stopped"));
}

/// What this machine's cgroup2 has no controller for is refused by the flag's name, never ignored.
fn version_2() {
    let fixture = Fixture::script("sleep 100");
    let controllers = fs::read_to_string("/sys/fs/cgroup/unified/cgroup.controllers").unwrap_or_default();
    let lacking = |name: &str| !controllers.split_whitespace().any(|there| there == name);
    let rows: Vec<(&str, &str, &str, &str)> = [
        ("cpu-period", "cpu", "50000", "cpu.max"),
        ("cpu-quota", "cpu", "20000", "cpu.max"),
        ("cpu-burst", "cpu", "1000", "cpu.max.burst"),
        ("cpu-share", "cpu", "512", "cpu.weight"),
        ("cpu-idle", "cpu", "1", "cpu.idle"),
        ("cpuset-cpus", "cpuset", "0", "cpuset.cpus"),
        ("cpuset-mems", "cpuset", "0", "cpuset.mems"),
        ("memory", "memory", "96m", "memory.max"),
        ("memory-reservation", "memory", "32m", "memory.low"),
        ("pids-limit", "pids", "77", "pids.max"),
        ("blkio-weight", "io", "300", "io.weight"),
    ]
    .into_iter()
    .filter(|(_, controller, ..)| lacking(controller))
    .collect();
    let calls: Vec<String> =
        rows.iter().map(|(flag, _, value, _)| format!("$H update --{flag} {value} $ID")).collect();
    let script = format!("$H create $ID && $H start $ID; {}; $H delete -f $ID", calls.join("; "));
    let ran = in_cgroup2(&fixture, &script);
    let line = |(flag, _, _, file): &(&str, &str, &str, &str)| {
        let path = format!("/sys/fs/cgroup/{}/{file}", fixture.id);
        format!("error: update: --{flag}: open {path}: no such file or directory\n")
    };
    let expected: String = rows.iter().map(line).collect();
    assert_eq!((ran.stdout.as_str(), ran.stderr), ("", expected));
}

fn file() {
    let fixture = limited();
    let id = fixture.id.as_str();
    let file = fixture.path().join("resources.json");
    fs::write(&file, r#"{"pids":{"limit":33},"cpu":{"shares":256}}"#).unwrap();
    let name = file.to_str().unwrap();
    let mut expected = limits(&fixture);
    fixture.call(&["update", "--resources", name, id]).prints("");
    expected.insert("pids/pids.max".into(), "33".into());
    expected.insert("cpu/cpu.shares".into(), "256".into());
    assert_eq!(limits(&fixture), expected);
    let nowhere = fixture.call(&["update", "--resources", "/nowhere", id]);
    nowhere.fails_with("read /nowhere: no such file or directory");
    fs::write(&file, r#"{"pids":{"limit":"x"}}"#).unwrap();
    fixture
        .call(&["update", "-r", name, id])
        .fails_with(&format!("{name}: 1:20: /pids/limit: invalid type: string \"x\", expected i64"));
    assert_eq!(limits(&fixture), expected);
}
