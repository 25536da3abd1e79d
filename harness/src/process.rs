//! Processes that are looked at from outside: when they began, and whether they have ended.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::error::{Context, Result};

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
    let path = format!("/proc/{pid}/stat");
    let file = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut buffer = [0; 1024];
    let length = rustix::io::read(&file, &mut buffer).ok()?;
    let text = buffer.get(..length)?;
    // The name in parentheses may hold anything.
    let after = text.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(text.get(after + 1..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
