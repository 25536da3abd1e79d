use super::*;

fn planned(json: &str, v2: bool) -> std::result::Result<Vec<String>, String> {
    let config = format!(r#"{{"resources":{json}}}"#);
    let linux: Linux<'_> = serde_json::from_str(&config).unwrap();
    let facts = Facts { v1: (!v2).then(Vec::new), ..Facts::default() };
    plan(&linux, "x", &facts)
        .map(|plan| plan.limits.iter().map(|limit| format!("{}={}", limit.file, limit.value)).collect())
        .map_err(|error| error.to_string())
}

#[test]
fn v1_values() {
    let json = r#"{"memory":{"limit":1048576,"swap":-1,"reservation":524288,"swappiness":10,"disableOOMKiller":true},
        "cpu":{"shares":512,"quota":20000,"period":100000,"cpus":"0-1","mems":"0"},"pids":{"limit":-1}}"#;
    assert_eq!(
        planned(json, false).unwrap(),
        [
            "memory.limit_in_bytes=1048576",
            "memory.memsw.limit_in_bytes=-1",
            "memory.soft_limit_in_bytes=524288",
            "memory.swappiness=10",
            "memory.oom_control=1",
            "cpu.shares=512",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=20000",
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
            "pids.max=max"
        ]
    );
}

#[test]
fn v2_values() {
    let json = r#"{"memory":{"limit":1048576,"swap":3145728,"reservation":524288},
        "cpu":{"shares":1024,"quota":20000,"period":100000,"cpus":"0"},"pids":{"limit":32}}"#;
    assert_eq!(
        planned(json, true).unwrap(),
        [
            "memory.max=1048576",
            "memory.swap.max=2097152",
            "memory.low=524288",
            "cpu.weight=100",
            "cpu.max=20000 100000",
            "cpuset.cpus=0",
            "pids.max=32"
        ]
    );
    assert_eq!(planned(r#"{"cpu":{"period":5000}}"#, true).unwrap(), ["cpu.max=max 5000"]);
    assert_eq!(
        planned(r#"{"memory":{"limit":-1,"swap":-1}}"#, true).unwrap(),
        ["memory.max=max", "memory.swap.max=max"]
    );
    assert_eq!(
        planned(r#"{"memory":{"swap":5}}"#, true).unwrap_err(),
        "config.json: /linux/resources/memory/swap: needs a memory limit"
    );
}

#[test]
fn engines_write_zero_for_nothing() {
    let json = r#"{"memory":{},"cpu":{"shares":0},"pids":{"limit":0},"blockIO":{"weight":0}}"#;
    assert_eq!(planned(json, true).unwrap(), <[String; 0]>::default());
    assert_eq!(planned(json, false).unwrap(), <[String; 0]>::default());
}

#[test]
fn weights_keep_their_landmarks() {
    assert_eq!([0, 2, 3, 1024, 262_144, u64::MAX].map(limits::weight), [1, 1, 2, 100, 10_000, 10_000]);
}

#[test]
fn paths_cannot_leave_the_tree() {
    let path = |path: &str| {
        let config = format!(r#"{{"cgroupsPath":{path:?}}}"#);
        let linux: Linux<'_> = serde_json::from_str(&config).unwrap();
        plan(&linux, "id", &Facts::default()).map(|plan| plan.path).map_err(|error| error.to_string())
    };
    assert_eq!(path("").unwrap(), "/id");
    assert_eq!(path("/a//b/./c").unwrap(), "/a/b/c");
    assert_eq!(path("a/b").unwrap(), "/a/b");
    assert!(path("/a/../../b").unwrap_err().ends_with("must not contain \"..\""));
    assert!(path("/").unwrap_err().ends_with("is the root cgroup"));
}
