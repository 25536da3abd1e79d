//! Processes that are looked at from outside: when they began, and whether they have ended.

use std::str::SplitAsciiWhitespace;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::error::{Context, Result};
use crate::sys;

/// No time at all.
pub const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// How long a process that was killed may take to go.
pub const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// A process id, as a number.
pub fn number(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

/// Waits until the process of a pidfd has ended; `false` if that takes longer than `limit`.
pub fn wait_gone(pidfd: impl AsFd, limit: Option<Timespec>) -> Result<bool> {
    let mut poll = [PollFd::new(&pidfd, PollFlags::IN)];
    loop {
        match rustix::event::poll(&mut poll, limit.as_ref()) {
            Err(Errno::INTR) => {}
            done => return done.host("poll", "pidfd").map(|ready| ready > 0),
        }
    }
}

/// Start time of a process that is not dead (proc(5)): `None` for none, or a zombie.
pub fn start_time(pid: i32) -> Option<u64> {
    with_stat(pid, |state, mut rest| match state {
        "Z" | "X" | "x" => None,
        _ => rest.nth(START_TIME)?.parse().ok(),
    })
}

/// The signal that ended a process that is not ours, or 0; `None` while it lives, and where the
/// kernel does not tell. `started` is its start time.
pub fn ended_by(process: impl AsFd, pid: i32, started: u64) -> Option<i32> {
    let zombie = || {
        with_stat(pid, |state, mut rest| {
            let own = rest.nth(START_TIME)?.parse() == Ok(started);
            let code = rest.nth(EXIT_CODE - START_TIME - 1)?.parse::<i32>().ok()?;
            (own && state == "Z").then_some(code & 0x7f)
        })
    };
    // Whether somebody has waited for it yet is a race.
    sys::ended_by(&process).or_else(zombie).or_else(|| sys::ended_by(&process))
}

/// Fields of /proc/PID/stat, counted from the one behind the state.
const START_TIME: usize = 18;
const EXIT_CODE: usize = 48;

/// The state of a process and the fields of /proc/PID/stat behind it.
fn with_stat<T>(pid: i32, look: impl FnOnce(&str, SplitAsciiWhitespace<'_>) -> Option<T>) -> Option<T> {
    let path = format!("/proc/{pid}/stat");
    let file = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut buffer = [0; 1024];
    let length = rustix::io::read(&file, &mut buffer).ok()?;
    let text = buffer.get(..length)?;
    // The name in parentheses may hold anything.
    let after = text.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(text.get(after + 1..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    look(fields.next()?, fields)
}

/// `INIT_USER_NS_INO` of linux/nsfs.h.
const INITIAL: u64 = 0xefff_fffd;

/// Whether root is an ordinary user outside of this user namespace, as an ordinary user's engine is.
pub fn is_mapped() -> bool {
    rustix::fs::stat("/proc/self/ns/user").is_ok_and(|stat| stat.st_ino != INITIAL)
}
