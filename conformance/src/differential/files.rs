//! Files as a process sees them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Access, OFlags};
use serde_json::{Value, json};

use super::reporter::{read, text};

/// Files of the controllers that a configuration can set: those of v1, then those of v2.
const LIMITS: [&str; 39] = [
    "memory/memory.limit_in_bytes",
    "memory/memory.soft_limit_in_bytes",
    "memory/memory.memsw.limit_in_bytes",
    "memory/memory.swappiness",
    "memory/memory.oom_control",
    "memory/memory.use_hierarchy",
    "cpu/cpu.shares",
    "cpu/cpu.cfs_quota_us",
    "cpu/cpu.cfs_period_us",
    "cpu/cpu.cfs_burst_us",
    "cpu/cpu.idle",
    "cpuset/cpuset.cpus",
    "cpuset/cpuset.mems",
    "pids/pids.max",
    "devices/devices.list",
    "blkio/blkio.bfq.weight",
    "blkio/blkio.throttle.read_bps_device",
    "blkio/blkio.throttle.write_iops_device",
    "freezer/freezer.state",
    "hugetlb/hugetlb.2MB.limit_in_bytes",
    "net_cls/net_cls.classid",
    "cgroup.freeze",
    "cgroup.max.depth",
    "cgroup.max.descendants",
    "cgroup.type",
    "cpu.idle",
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "cpuset.cpus",
    "cpuset.mems",
    "hugetlb.2MB.max",
    "hugetlb.2MB.rsvd.max",
    "hugetlb.1GB.max",
    "io.max",
    "memory.low",
    "memory.max",
    "memory.swap.max",
    "pids.max",
];

/// Symbolic links of a directory.
pub fn links(directory: &str) -> BTreeMap<String, String> {
    let link = |name: String| {
        let target = text(fs::read_link(Path::new(directory).join(&name)));
        (name, target)
    };
    names(directory).into_iter().map(link).collect()
}

/// Names in a directory.
pub fn names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().display().to_string()).collect();
    names.sort();
    names
}

/// The cgroup's own limits, where its hierarchies are mounted.
pub fn cgroup_values() -> BTreeMap<&'static str, String> {
    let value = |file: &'static str| {
        let text = read(&format!("/sys/fs/cgroup/{file}"));
        let mut lines: Vec<&str> = text.lines().collect();
        // The order of a list of devices means nothing.
        lines.sort_unstable();
        (file, lines.join(", "))
    };
    LIMITS.into_iter().map(value).filter(|(_, value)| !value.contains("os error 2")).collect()
}

/// Everything below a directory, itself left out.
pub fn list(directory: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for name in names(directory) {
        let path = format!("{}/{name}", directory.trim_end_matches('/'));
        if fs::symlink_metadata(&path).is_ok_and(|stat| stat.is_dir()) {
            found.append(&mut list(&path));
        }
        found.insert(path.clone(), kind(&path));
    }
    found
}

/// Kind, mode, owner and device number, or where it points.
fn kind(path: &str) -> String {
    let stat = match fs::symlink_metadata(path) {
        Ok(stat) => stat,
        Err(error) => return format!("! {error}"),
    };
    let kind = stat.file_type();
    if kind.is_symlink() {
        return format!("-> {}", text(fs::read_link(path)));
    }
    let (major, minor) = (rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()));
    let device = |letter: &str| format!("{letter} {major}:{minor}");
    let kind = match () {
        () if kind.is_dir() => "directory".to_owned(),
        () if kind.is_char_device() => device("c"),
        () if kind.is_block_device() => device("b"),
        () if kind.is_fifo() => "fifo".to_owned(),
        () if kind.is_socket() => "socket".to_owned(),
        () => "file".to_owned(),
    };
    format!("{kind} {:04o} {}:{}", stat.mode() & 0o7777, stat.uid(), stat.gid())
}

/// What a process can do with a path.
pub fn look(path: &str) -> Value {
    let said = |access: Access| match rustix::fs::access(path, access) {
        Ok(()) => "yes".to_owned(),
        Err(error) => format!("! {error}"),
    };
    json!({
        "is": kind(path), "write": said(Access::WRITE_OK), "execute": said(Access::EXEC_OK),
        "holds": holds(path),
    })
}

/// A directory's entries, or whether there is something to read in a file.
fn holds(path: &str) -> Value {
    if Path::new(path).is_dir() {
        // Those of /proc are different from moment to moment.
        let few = names(path).len() < 40 && !path.starts_with("/proc/irq");
        return if few { json!(names(path)) } else { json!("many") };
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    let mut start = [0; 32];
    match opened.map_err(std::io::Error::from).and_then(|file| fs::File::from(file).read(&mut start)) {
        Ok(0) => json!("nothing"),
        Ok(_) => json!("something"),
        Err(error) => json!(format!("! {error}")),
    }
}
