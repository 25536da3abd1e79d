//! Why a process ended with SIGSYS: the kernel's record of the call, and the rule behind it.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::seccomp::rules::Rules;
use crate::seccomp::{Arch, action};
use crate::spec;
use crate::state::State;

/// Where the kernel's log is read.
const LOG: &str = "/dev/kmsg";
/// How long a record may take to the log: a thread of the kernel's writes it.
const DELAY: Duration = Duration::from_millis(200);
const BEGIN: &str = "the process was killed by SIGSYS: its seccomp filter forbids";
const OTHERWISE: &str = "strace -f -p PID between create and start shows it";

/// An audit record of a call that a filter has ended a process for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    audit: u32,
    number: u32,
}

/// Why a process of a container ended with SIGSYS, or how to find out.
pub fn explain(pid: i32, state: &State) -> String {
    match find(pid, state.created) {
        Ok(Some(record)) => describe(record, Path::new(&state.bundle)),
        Ok(None) => {
            format!(
                "{BEGIN} a system call of which {LOG} has no record (the kernel limits their rate); {OTHERWISE}"
            )
        }
        Err(errno) => {
            let reason = crate::error::describe(errno);
            format!("{BEGIN} a system call that {LOG} would name: {reason}; {OTHERWISE}")
        }
    }
}

/// The same, if there is a record.
pub fn recorded(pid: i32, state: &State) -> Option<String> {
    let record = find(pid, state.created).ok()??;
    Some(describe(record, Path::new(&state.bundle)))
}

/// The last record of a pid since `created`, in nanoseconds since 1970: before that it was another's.
fn find(pid: i32, created: u64) -> rustix::io::Result<Option<Record>> {
    let log = rustix::fs::open(LOG, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    let deadline = Instant::now() + DELAY;
    let mut buffer = [0; 8192];
    let mut found = None;
    loop {
        match rustix::io::read(&log, &mut buffer) {
            Ok(0) => return Ok(found),
            Ok(count) => {
                let text = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default());
                found = parse(&text, pid, created / 1_000_000_000).or(found);
            }
            // Some were overwritten before they were read.
            Err(Errno::PIPE | Errno::INTR) => {}
            Err(Errno::AGAIN) if found.is_none() && grows(&log, deadline) => {}
            Err(Errno::AGAIN) => return Ok(found),
            Err(errno) => return Err(errno),
        }
    }
}

/// Waits for another record; false if none comes in time.
fn grows(log: impl AsFd, deadline: Instant) -> bool {
    let rest = deadline.saturating_duration_since(Instant::now());
    let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(rest.subsec_nanos()) };
    let mut poll = [PollFd::new(&log, PollFlags::IN)];
    !rest.is_zero() && rustix::event::poll(&mut poll, Some(&limit)).is_ok_and(|ready| ready > 0)
}

/// A record of linux/audit.h's `AUDIT_SECCOMP` that tells of an end: its action is to kill or to trap.
fn parse(text: &str, pid: i32, since: u64) -> Option<Record> {
    let text = text.split_once("type=1326 audit(").map(|(_, rest)| rest)?;
    let time = text.split_once('.')?.0.parse::<u64>().ok()?;
    let value = |key: &str| text.split_ascii_whitespace().find_map(|word| word.strip_prefix(key));
    let hexadecimal = |text: &str| u32::from_str_radix(text, 16).ok();
    let code = value("code=0x").and_then(hexadecimal)?;
    let ends = matches!(code & action::MASK, action::KILL_THREAD | action::KILL_PROCESS | action::TRAP);
    if time < since || !ends || value("pid=")?.parse() != Ok(pid) {
        return None;
    }
    Some(Record { audit: value("arch=").and_then(hexadecimal)?, number: value("syscall=")?.parse().ok()? })
}

/// The call by its name, and the rules of the bundle's profile that may have ended the process.
fn describe(record: Record, bundle: &Path) -> String {
    let arch = Arch::of(record.audit, record.number);
    let name = arch.and_then(|(arch, number)| arch.name_of(number));
    let name = name.map_or_else(|| record.number.to_string(), str::to_owned);
    let call = match arch {
        Some((arch, _)) if arch == Arch::native() => name.clone(),
        Some((arch, _)) => format!("{name} of {}", arch.name()),
        None => format!("{name} of architecture {:#x}", record.audit),
    };
    match rules(record, bundle) {
        Some(places) if !places.is_empty() => {
            format!("{BEGIN} {call}, by {} of config.json", places.join(" or "))
        }
        _ => format!("{BEGIN} {call} (harness seccomp explain PROFILE {name})"),
    }
}

/// Places in config.json, as it is now, that end a process for a call of this number.
fn rules(record: Record, bundle: &Path) -> Option<Vec<String>> {
    const POINTER: &str = "/linux/seccomp";
    let text = std::fs::read(bundle.join("config.json")).ok()?;
    let config = spec::parse(Path::new("config.json"), &text).ok()?;
    let rules = Rules::new(config.linux.as_ref()?.seccomp.as_ref()?, Arch::native(), POINTER).ok()?;
    let (arch, number) = Arch::of(record.audit, record.number)?;
    let Some(table) = rules.table(arch) else { return Some(vec![format!("{POINTER}/architectures")]) };
    let ends = |verdict: u32| {
        matches!(verdict & action::MASK, action::KILL_THREAD | action::KILL_PROCESS | action::TRAP)
    };
    let place = |entry: u16| {
        let verdict = rules.actions.get(usize::from(entry)).copied().unwrap_or(rules.default);
        ends(verdict).then(|| format!("{POINTER}/syscalls/{entry}"))
    };
    if let Some(entry) = table.unconditional(number) {
        return Some(place(entry).into_iter().collect());
    }
    let mut places: Vec<String> =
        table.conditional(number).iter().filter_map(|rule| place(rule.entry)).collect();
    places.dedup();
    if ends(rules.fallback(table, number)) {
        places.push(format!("{POINTER}/defaultAction"));
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_an_end_are_told_from_others() {
        let record = "5,1,2,-;audit: type=1326 audit(1795515698.914:43): auid=4294967295 uid=0 gid=0 ses=1 \
            pid=9596 comm=\"true\" exe=\"/bin/busybox\" sig=31 arch=40000003 syscall=12 compat=1 ip=0x49 code=CODE\n";
        let killed = record.replace("CODE", "0x80000000");
        let twelve = Some(Record { audit: 0x4000_0003, number: 12 });
        assert_eq!(parse(&killed, 9596, 1_795_515_698), twelve);
        for code in ["0x0", "0x30000"] {
            assert_eq!(parse(&record.replace("CODE", code), 9596, 0), twelve, "{code}");
        }
        // Another process, an older process of the pid, calls that went on, other records.
        assert_eq!(parse(&killed, 959, 0), None);
        assert_eq!(parse(&killed, 9596, 1_795_515_699), None);
        for code in ["0x7ffc0000", "0x50001", "0x7fff0000"] {
            assert_eq!(parse(&record.replace("CODE", code), 9596, 0), None, "{code}");
        }
        assert_eq!(parse(&killed.replace("1326", "1325"), 9596, 0), None);
        assert_eq!(parse("6,2,3,-;eth0: link up\n", 9596, 0), None);
    }
}
