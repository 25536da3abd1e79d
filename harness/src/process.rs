//! Processes that are looked at from outside: when they began, and whether they have ended.

use std::str::SplitAsciiWhitespace;
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

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

/// The pidfd of this process, opened once.
pub fn own() -> rustix::io::Result<BorrowedFd<'static>> {
    static OWN: OnceLock<OwnedFd> = OnceLock::new();
    once(&OWN, || rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()))
}

/// The user namespace of this process, opened once, by way of its pidfd; by way of procfs it takes three
/// times as long.
fn own_user_namespace() -> rustix::io::Result<BorrowedFd<'static>> {
    once(&OWN_USER_NAMESPACE, || own().and_then(sys::user_namespace))
}

static OWN_USER_NAMESPACE: OnceLock<OwnedFd> = OnceLock::new();

/// What is open until the end of the process.
fn once(
    place: &'static OnceLock<OwnedFd>,
    open: impl FnOnce() -> rustix::io::Result<OwnedFd>,
) -> rustix::io::Result<BorrowedFd<'static>> {
    if place.get().is_none() {
        let _another_thread_was_first = place.set(open()?);
    }
    place.get().map(AsFd::as_fd).ok_or(Errno::BADF)
}

/// Waits until the process of a pidfd has ended; `false` if that takes longer than `limit`.
pub fn wait_gone(pidfd: impl AsFd, limit: Option<Timespec>) -> Result<bool> {
    wait_readable(pidfd, limit).host("poll", "pidfd")
}

/// Waits until there is something to read, or the end; `false` if that takes longer than `limit`.
pub fn wait_readable(file: impl AsFd, limit: Option<Timespec>) -> rustix::io::Result<bool> {
    let mut poll = [PollFd::new(&file, PollFlags::IN)];
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut poll, limit.as_ref())).map(|ready| ready > 0)
}

/// What tells a process from all others that have had its number before, or will have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Birth {
    /// Its inode on pidfs, which is given out once between two boots; since Linux 6.9.
    Inode(u64),
    /// Its start time (proc(5)), in clock ticks since the boot.
    Time(u64),
}

/// `PID_FS_MAGIC` of linux/magic.h.
const PIDFS_MAGIC: i64 = 0x5049_4446;

impl Birth {
    /// That of a process, for something that is kept until the next boot at most if it is `volatile`.
    /// `None` if there is none any more.
    pub fn of(pidfd: impl AsFd, pid: i32, volatile: bool) -> Option<Self> {
        if volatile && is_on_pidfs(&pidfd) {
            return inode(pidfd).map(Self::Inode);
        }
        start_time(pid).map(Self::Time)
    }

    /// Whether it is that of a process that has not ended.
    pub fn is_of(self, pidfd: impl AsFd, pid: i32) -> Result<bool> {
        match self {
            Self::Inode(own) => Ok(inode(&pidfd) == Some(own) && !wait_gone(pidfd, Some(NOW))?),
            Self::Time(own) => Ok(start_time(pid) == Some(own)),
        }
    }

    /// Whether it is that of a number's process, which began at `time` and may have ended.
    fn is_of_dead(self, pid: i32, time: u64) -> bool {
        match (self, Pid::from_raw(pid)) {
            (Self::Time(own), _) => own == time,
            (Self::Inode(own), Some(pid)) => rustix::process::pidfd_open(pid, PidfdFlags::empty())
                .is_ok_and(|pidfd| inode(pidfd) == Some(own)),
            _ => false,
        }
    }
}

/// A kernel that knows the user namespace of a pidfd (6.11) has pidfs (6.9).
fn is_on_pidfs(pidfd: impl AsFd) -> bool {
    OWN_USER_NAMESPACE.get().is_some()
        || rustix::fs::fstatfs(pidfd).is_ok_and(|found| found.f_type == PIDFS_MAGIC)
}

fn inode(pidfd: impl AsFd) -> Option<u64> {
    rustix::fs::fstat(pidfd).ok().map(|found| found.st_ino)
}

/// Start time of a process that is not dead (proc(5)): `None` for none, or a zombie.
fn start_time(pid: i32) -> Option<u64> {
    with_stat(pid, |state, mut rest| match state {
        "Z" | "X" | "x" => None,
        _ => rest.nth(START_TIME)?.parse().ok(),
    })
}

/// The signal that ended a process that is not ours, or 0; `None` while it lives, and where the
/// kernel does not tell.
pub fn ended_by(process: impl AsFd, pid: i32, birth: Birth) -> Option<i32> {
    let zombie = || {
        let (time, code) = with_stat(pid, |state, mut rest| {
            let time = rest.nth(START_TIME)?.parse().ok()?;
            let code = rest.nth(EXIT_CODE - START_TIME - 1)?.parse::<i32>().ok()?;
            (state == "Z").then_some((time, code & 0x7f))
        })?;
        birth.is_of_dead(pid, time).then_some(code)
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
    let own = own_user_namespace().and_then(rustix::fs::fstat);
    let own = own.or_else(|_| rustix::fs::stat("/proc/self/ns/user"));
    own.is_ok_and(|stat| stat.st_ino != INITIAL)
}
