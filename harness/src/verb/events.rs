//! `events`.

use std::time::Duration;

use serde_json::json;

use crate::cgroup;
use crate::cli::{Args, Global};
use crate::error::{Error, Result};
use crate::process::wait_gone;
use crate::state::{self, pin};

/// Prints figures and events of a container, one JSON object a line, until it ends.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    let directory = state::find(&global.root(), args.id()?)?;
    let state = directory.load()?;
    let stopped = || Error::State(format!("container {:?} is not running", state.id));
    let process = pin(&state)?.ok_or_else(stopped)?;
    let print = |kind: &str, data: serde_json::Value| {
        super::print(&format!("{}\n", json!({ "type": kind, "id": state.id, "data": data })))
    };
    print("stats", cgroup::stats(&state.cgroups))?;
    if args.has("stats") {
        return Ok(0);
    }
    let interval = interval(args)?;
    let limit = rustix::event::Timespec {
        tv_sec: interval.as_secs() as i64,
        tv_nsec: i64::from(interval.subsec_nanos()),
    };
    let mut kills = cgroup::oom_kills(&state.cgroups);
    while !wait_gone(&process, Some(limit))? {
        let now = cgroup::oom_kills(&state.cgroups);
        if now > kills {
            print("oom", json!({ "kills": now - kills }))?;
        }
        kills = now;
        print("stats", cgroup::stats(&state.cgroups))?;
    }
    if killed(state.pid).is_some() {
        print("seccomp", json!({ "message": killed_by_filter(state.pid) }))?;
    }
    print("exit", json!({}))?;
    Ok(0)
}

/// `--interval`, as runc takes it: `5s`, `500ms`, `1m`.
fn interval(args: &Args) -> Result<Duration> {
    let Some(text) = args.value("interval") else { return Ok(Duration::from_secs(5)) };
    let text = text.to_string_lossy();
    let wrong = || Error::Usage(format!("events: --interval: {text:?} is no duration (5s, 500ms)"));
    let interval = humantime::parse_duration(&text).map_err(|_| wrong())?;
    if interval.is_zero() { Err(wrong()) } else { Ok(interval) }
}

/// What the kernel's log says of a call that a filter killed the process for: the last audit record
/// of the pid.
fn killed(pid: i32) -> Option<(u32, u32)> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let log = rustix::fs::open("/dev/kmsg", flags, rustix::fs::Mode::empty()).ok()?;
    let mut record = [0; 8192];
    let mut found = None;
    while let Ok(count) = rustix::io::read(&log, &mut record) {
        let text = String::from_utf8_lossy(record.get(..count).unwrap_or_default()).into_owned();
        if !text.contains("type=1326") || !text.contains(&format!(" pid={pid} ")) {
            continue;
        }
        let value = |key: &str| {
            let start = text.find(key)? + key.len();
            text.get(start..)?.split_ascii_whitespace().next().map(str::to_owned)
        };
        let arch = value("arch=").and_then(|arch| u32::from_str_radix(&arch, 16).ok());
        let number = value("syscall=").and_then(|number| number.parse::<u32>().ok());
        found = arch.zip(number).or(found);
    }
    found
}

/// Why a process ended with SIGSYS.
pub fn killed_by_filter(pid: i32) -> String {
    use crate::seccomp::Arch;
    let Some((audit, number)) = killed(pid) else {
        return "the process was killed by SIGSYS: its seccomp filter forbids a system call \
                (harness seccomp explain tells about one; the action SCMP_ACT_LOG shows which)"
            .into();
    };
    let arch = Arch::ALL.into_iter().find(|arch| arch.audit() == audit);
    let name = arch.and_then(|arch| arch.name_of(number)).map_or_else(|| number.to_string(), str::to_owned);
    format!(
        "the process was killed by SIGSYS: its seccomp filter forbids {name} (harness seccomp explain PROFILE {name})"
    )
}
