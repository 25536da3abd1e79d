//! The container's process: reports what it sees, as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::fd::AsFd;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{files, mountinfo, network};
use crate::error::{Context, Result};

/// Lines of /proc/self/status that a configuration decides.
const STATUS: [&str; 15] = [
    "Name",
    "Uid",
    "Gid",
    "Groups",
    "Umask",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "SigBlk",
    "SigIgn",
    "Cpus_allowed_list",
];

/// Files of one value.
const VALUES: [&str; 22] = [
    "/proc/self/personality",
    "/proc/self/oom_score_adj",
    "/proc/self/uid_map",
    "/proc/self/gid_map",
    "/proc/self/setgroups",
    "/proc/self/coredump_filter",
    "/proc/self/timerslack_ns",
    "/proc/self/timens_offsets",
    "/proc/self/loginuid",
    "/proc/self/attr/current",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/shmmax",
    "/proc/sys/kernel/msgmax",
    "/proc/sys/kernel/sem",
    "/proc/sys/fs/mqueue/msg_max",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv4/ip_unprivileged_port_start",
    "/proc/sys/net/ipv4/ping_group_range",
    "/proc/sys/net/core/somaxconn",
    "/sys/class/net/lo/flags",
    "/etc/hostname",
];

/// Paths that every report has, the maskedPaths and readonlyPaths of the default first.
const PATHS: [&str; 19] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/scsi",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/sys/firmware",
    "/sys",
    "/sys/fs/cgroup",
    "/dev",
    "/dev/shm",
    "/dev/pts",
    "/",
    "/tmp",
    "/data",
];

/// What the reporter is told.
#[derive(Serialize, Deserialize, Clone, Default)]
pub struct Order {
    /// Paths to look at besides the usual ones.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Wait to be killed instead.
    #[serde(default)]
    pub wait: bool,
    /// The container.
    #[serde(default)]
    pub id: String,
}

/// Prints the report.
pub fn run(order: &str) -> Result<u8> {
    let order: Order = serde_json::from_str(order).at("read", "order")?;
    if !order.wait {
        println!("{}", report(&order));
        return Ok(0);
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn report(order: &Order) -> Value {
    let paths = PATHS.into_iter().chain(order.paths.iter().map(String::as_str));
    json!({
        "status": status(),
        "session": session(),
        "limits": limits(),
        "env": std::env::vars().collect::<BTreeMap<_, _>>(),
        "cwd": text(std::env::current_dir()),
        "fds": fds(),
        "mounts": mountinfo::mounts(&read("/proc/self/mountinfo")),
        "namespaces": files::links("/proc/self/ns"),
        "scheduler": scheduler(),
        "ioprio": ioprio(),
        "mempolicy": mempolicy(),
        "values": VALUES.into_iter().map(|path| (path, read(path))).collect::<BTreeMap<_, _>>(),
        "paths": paths.map(|path| (path, files::look(path))).collect::<BTreeMap<_, _>>(),
        "devices": files::list("/dev"),
        "cgroups": cgroups(),
        "limited": files::cgroup_values(),
        "network": network::devices(),
        "addresses": network::addresses(),
        "keyrings": keyrings(&order.id),
        "terminal": terminal(),
        // Last: they change things.
        "calls": calls(),
    })
}

/// A file's text, or why it cannot be read.
pub fn read(path: &str) -> String {
    text(fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).trim_end().replace('\0', " ")))
}

/// A value, or the error as the system names it.
pub fn text<T: std::convert::AsRef<std::ffi::OsStr>>(value: std::io::Result<T>) -> String {
    match value {
        Ok(value) => value.as_ref().display().to_string(),
        Err(error) => format!("! {error}"),
    }
}

fn status() -> Map<String, Value> {
    let text = read("/proc/self/status");
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let chosen = lines.filter(|(name, _)| STATUS.contains(name));
    let words = |value: &str| value.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = |name: &str, value: &str| {
        if name == "SigIgn" { ignored(value).unwrap_or_default() } else { words(value) }
    };
    chosen.map(|(name, value)| (name.to_owned(), told(name, value).into())).collect()
}

/// Signals that are ignored, without 32 and 33: these are the C library's, and inherited from
/// whatever started the runtime.
fn ignored(mask: &str) -> Option<String> {
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(format!("{:016x}", mask & !(0b11 << 31)))
}

/// Whether it leads, and is the first of its pid namespace; other numbers say nothing.
fn session() -> Value {
    use rustix::process::{getpgrp, getpid, getppid, getsid};
    let own = getpid();
    json!({
        "first": own.is_init(), "leader": getsid(None) == Ok(own), "group": getpgrp() == own,
        "parent": getppid().is_some(),
    })
}

/// /proc/self/limits; the columns are as wide as proc(5) has them.
fn limits() -> BTreeMap<String, String> {
    let text = read("/proc/self/limits");
    let lines = text.lines().skip(1).filter_map(|line| line.split_at_checked(26));
    let words = |value: &str| value.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    lines.map(|(name, values)| (name.trim().to_owned(), words(values))).collect()
}

/// Open descriptors, but the one that has listed them.
fn fds() -> BTreeMap<String, String> {
    let mut links = files::links("/proc/self/fd");
    links.retain(|_, target| !target.starts_with('!'));
    let kind = |target: String| target.split_once(":[").map_or(target.clone(), |(kind, _)| kind.to_owned());
    links.into_iter().map(|(name, target)| (name, kind(target))).collect()
}

/// Nice, real-time priority and policy: fields 19, 40 and 41 of stat (proc(5)).
fn scheduler() -> Value {
    let text = read("/proc/self/stat");
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3);
    json!({ "nice": field(19), "priority": field(40), "policy": field(41) })
}

fn ioprio() -> String {
    let own = ioprio::Target::Process(ioprio::Pid::from_raw(0));
    ioprio::get_priority(own)
        .map_or_else(|error| format!("! {error}"), |found| format!("{:?}", found.class()))
}

/// The policy of the first mapping, which is the process's where it has none of its own.
fn mempolicy() -> String {
    let text = read("/proc/self/numa_maps");
    text.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

fn cgroups() -> BTreeMap<String, String> {
    let text = read("/proc/self/cgroup");
    let lines = text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    lines.map(|(controllers, path)| (controllers.to_owned(), path.to_owned())).collect()
}

/// Keyrings of this container (proc(5), /proc/keys); the file lists those of others, too.
fn keyrings(id: &str) -> Vec<String> {
    let text = read("/proc/keys");
    let named = text.lines().filter_map(|line| line.split_once("keyring ")?.1.split(": ").next());
    named.map(str::trim).filter(|name| name.contains(id)).map(str::to_owned).collect()
}

fn terminal() -> Value {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let files: [BorrowedFd<'_>; 3] = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let ttys = files.map(rustix::termios::isatty);
    let size = rustix::termios::tcgetwinsize(stdin.as_fd()).map(|size| (size.ws_row, size.ws_col)).ok();
    let owner = |file: BorrowedFd<'_>| {
        rustix::fs::fstat(file).map(|stat| (stat.st_uid, stat.st_gid, format!("{:o}", stat.st_mode))).ok()
    };
    // Whether it is a file of the container, or one that the runtime was started with.
    let null = |file: BorrowedFd<'_>| {
        let place = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        rustix::fs::stat("/dev/null").map(place) == rustix::fs::fstat(file).map(place)
    };
    let controlling = fs::File::open("/dev/tty").is_ok();
    let death =
        rustix::process::parent_process_death_signal().ok().flatten().map(rustix::process::Signal::as_raw);
    json!({
        "null": files.map(null), "ttys": ttys, "size": size, "stdin": owner(stdin.as_fd()), "controlling": controlling, "death": death,
    })
}

/// What some system calls say.
fn calls() -> Value {
    let said = |result: rustix::io::Result<()>| match result {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("! {error}"),
    };
    let private = rustix::mount::MountPropagationFlags::PRIVATE;
    json!({
        "sethostname": said(rustix::system::sethostname(b"probe")),
        "setdomainname": said(rustix::system::setdomainname(b"probe")),
        "mount": said(rustix::mount::mount_change("/", private)),
        "mkdir": said(rustix::fs::mkdir("/tmp/probe", rustix::fs::Mode::RWXU)),
        "setgid": said(rustix::thread::set_thread_gid(rustix::process::Gid::from_raw(12))),
    })
}
