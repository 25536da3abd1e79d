//! What the container's process says about itself, without what differs from run to run.

use std::collections::BTreeSet;
use std::fs;

/// Printed last: a report that lacks it was cut off.
const END: &str = "END";

/// The process: all that init has set, read from inside.
pub const SCRIPT: &str = "exec >/report 2>&1; p=/proc/$$; \
    /bin/busybox pwd; /bin/busybox hostname; \
    read -r pid name state parent group session terminal rest < $p/stat; \
    echo group $((group == $$)) session $((session == $$)) terminal $terminal; \
    /bin/cat $p/status $p/mountinfo $p/limits $p/environ $p/cgroup $p/oom_score_adj $p/personality \
    $p/timerslack_ns /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/domainname /sys/class/net/lo/flags; echo; \
    /bin/ls -l $p/fd $p/ns $p/cwd $p/root; \
    /bin/stat -c '%n %F %a %u:%g %t:%T' /dev/* /dev/pts/* /dev/shm /proc/kcore /proc/sys; \
    echo END";

/// Fields of /proc/PID/status that init decides.
const STATUS: [&str; 19] = [
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "Speculation_Store_Bypass",
    "SpeculationIndirectBranch",
    "SigBlk",
    "SigIgn",
    "Cpus_allowed",
    "Mems_allowed",
    "THP_enabled",
];

/// Namespaces of a process, by the names in /proc/PID/ns.
pub fn namespaces(pid: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/ns")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string())).collect()
}

/// The report in comparable lines; `None` if it is not complete. `joined` are the namespaces that
/// are to be entered, not made.
pub fn read(text: &str, joined: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let body = text.strip_suffix(&format!("{END}\n"))?;
    let host = namespaces("self");
    let lines = body.split(['\n', '\0']).enumerate();
    Some(lines.filter_map(|(number, line)| line_of(number, line, &host, joined)).collect())
}

fn line_of(number: usize, line: &str, host: &BTreeSet<String>, joined: &BTreeSet<String>) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    // The working directory and the hostname, which may be equal to any other line.
    if number < 2 {
        return Some(format!("{number} {line}"));
    }
    if let Some((field, value)) = line.split_once(":\t") {
        return STATUS.contains(&field).then(|| format!("{field} {value}"));
    }
    // A mount: its numbers differ, its place, options, propagation and source must not.
    if words.len() > 8 && words.contains(&"-") && words[0].parse::<u32>().is_ok() {
        return Some(format!("mount {}", words[3..].join(" ")));
    }
    // A link of /proc/PID: the mode, the name, and where it leads.
    if let Some((left, target)) = line.split_once(" -> ") {
        let name = left.rsplit(['/', ' ']).next()?;
        let target = match target.contains(":[") {
            true if host.contains(target) => "of the host",
            true if joined.contains(target) => "joined",
            true => "new",
            false => target,
        };
        return Some(format!("{} {name} -> {target}", words[0]));
    }
    (!line.is_empty() && !line.starts_with("/proc/")).then(|| line.to_owned())
}

/// What one report has and the other has not.
pub fn difference(expected: &BTreeSet<String>, found: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for line in expected.difference(found) {
        text += &format!("\n      - {line}");
    }
    for line in found.difference(expected) {
        text += &format!("\n      + {line}");
    }
    text
}
