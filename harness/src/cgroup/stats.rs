//! Figures of a container's cgroups, under the names that runc has in its `events`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{is_unified, read};

/// All figures that can be had; a controller that is not there has none.
pub fn stats(directories: &[PathBuf]) -> Value {
    let of = |file: &str| directories.iter().find(|directory| directory.join(file).exists());
    let unified = directories.iter().any(|directory| is_unified(directory));
    json!({
        "cpu": if unified { cpu_v2(of("cpu.stat")) } else { cpu_v1(of("cpuacct.usage")) },
        "memory": memory(of(if unified { "memory.current" } else { "memory.usage_in_bytes" }), unified),
        "pids": pids(of("pids.current")),
        "blkio": io(of("io.stat")),
        "hugetlb": hugetlb(directories, unified),
    })
}

fn number(directory: &Path, file: &str) -> Option<u64> {
    match read(directory, file).ok()?.trim() {
        "max" => Some(u64::MAX),
        text => text.parse().ok(),
    }
}

/// A file of lines `key value`.
fn pairs(directory: &Path, file: &str) -> Map<String, Value> {
    let text = read(directory, file).unwrap_or_default();
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), Value::from(value.trim().parse::<u64>().ok()?)))
    };
    text.lines().filter_map(pair).collect()
}

fn cpu_v2(directory: Option<&PathBuf>) -> Value {
    let Some(directory) = directory else { return json!({}) };
    let stat = pairs(directory, "cpu.stat");
    let micro = |key: &str| stat.get(key).and_then(Value::as_u64).unwrap_or(0);
    json!({
        "usage": {
            "total": micro("usage_usec") * 1000,
            "kernel": micro("system_usec") * 1000,
            "user": micro("user_usec") * 1000,
        },
        "throttling": {
            "periods": micro("nr_periods"),
            "throttledPeriods": micro("nr_throttled"),
            "throttledTime": micro("throttled_usec") * 1000,
        },
    })
}

fn cpu_v1(directory: Option<&PathBuf>) -> Value {
    let Some(directory) = directory else { return json!({}) };
    let each = read(directory, "cpuacct.usage_percpu").unwrap_or_default();
    let each: Vec<u64> = each.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    let stat = pairs(directory, "cpu.stat");
    json!({
        "usage": {
            "total": number(directory, "cpuacct.usage"),
            "percpu": each,
            "kernel": number(directory, "cpuacct.usage_sys"),
            "user": number(directory, "cpuacct.usage_user"),
        },
        "throttling": {
            "periods": stat.get("nr_periods"),
            "throttledPeriods": stat.get("nr_throttled"),
            "throttledTime": stat.get("throttled_time"),
        },
    })
}

fn memory(directory: Option<&PathBuf>, unified: bool) -> Value {
    let Some(directory) = directory else { return json!({}) };
    let (usage, limit, peak) = if unified {
        ("memory.current", "memory.max", "memory.peak")
    } else {
        ("memory.usage_in_bytes", "memory.limit_in_bytes", "memory.max_usage_in_bytes")
    };
    json!({
        "usage": {
            "usage": number(directory, usage),
            "limit": number(directory, limit),
            "max": number(directory, peak),
            "failcnt": number(directory, "memory.failcnt"),
        },
        "raw": pairs(directory, "memory.stat"),
    })
}

fn pids(directory: Option<&PathBuf>) -> Value {
    let Some(directory) = directory else { return json!({}) };
    let limit = number(directory, "pids.max").filter(|limit| *limit != u64::MAX);
    json!({ "current": number(directory, "pids.current"), "limit": limit.unwrap_or(0) })
}

/// io.stat of version 2, a device a line.
fn io(directory: Option<&PathBuf>) -> Value {
    let Some(directory) = directory else { return json!({}) };
    let text = read(directory, "io.stat").unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split(' ');
        let (major, minor) = words.next()?.split_once(':')?;
        let (major, minor): (u64, u64) = (major.parse().ok()?, minor.parse().ok()?);
        let entry = move |word: &str| {
            let (key, value) = word.split_once('=')?;
            let value: u64 = value.parse().ok()?;
            Some(json!({ "major": major, "minor": minor, "op": key, "value": value }))
        };
        Some(words.filter_map(entry).collect::<Vec<_>>())
    };
    json!({ "ioServiceBytesRecursive": text.lines().filter_map(line).flatten().collect::<Vec<_>>() })
}

fn hugetlb(directories: &[PathBuf], unified: bool) -> Value {
    let suffix = if unified { ".current" } else { ".usage_in_bytes" };
    let mut sizes = Map::new();
    for directory in directories {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let size = name.strip_prefix("hugetlb.").and_then(|rest| rest.strip_suffix(suffix));
            if let Some(size) = size.filter(|size| !size.contains('.')) {
                sizes.insert(size.to_owned(), json!({ "usage": number(directory, &name) }));
            }
        }
    }
    Value::Object(sizes)
}

/// How many processes the kernel has killed for lack of memory.
pub fn oom_kills(directories: &[PathBuf]) -> u64 {
    let counted = |directory: &PathBuf| {
        let files = ["memory.events", "memory.oom_control"].map(|file| pairs(directory, file));
        files.iter().filter_map(|pairs| pairs.get("oom_kill")).filter_map(Value::as_u64).sum::<u64>()
    };
    directories.iter().map(counted).sum()
}
