//! `events`.

use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::process::Signal;
use serde_json::json;

use super::sigsys;
use crate::cgroup;
use crate::cli::{Args, Global};
use crate::error::{Error, Result};
use crate::process::{ended_by, wait_gone};
use crate::state::{self, State, pin};

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
    loop {
        let ended = wait_gone(&process, Some(limit))?;
        // Also at the end: it may have been the process itself.
        let now = cgroup::oom_kills(&state.cgroups);
        if now > kills {
            print("oom", json!({ "kills": now - kills }))?;
        }
        kills = now;
        if ended {
            break;
        }
        print("stats", cgroup::stats(&state.cgroups))?;
    }
    if let Some(message) = forbidden(&process, &state) {
        print("seccomp", json!({ "message": message }))?;
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

/// Why the process ended, if its filter did that. Where the kernel does not tell how it ended, a
/// record of the filter's does.
fn forbidden(process: &OwnedFd, state: &State) -> Option<String> {
    match state.birth.filter(|_| state.seccomp).map(|birth| ended_by(process, state.pid, birth))? {
        Some(signal) if signal == Signal::SYS.as_raw() => Some(sigsys::explain(state.pid, state)),
        Some(_) => None,
        None => sigsys::recorded(state.pid, state),
    }
}
