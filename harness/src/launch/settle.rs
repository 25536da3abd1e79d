//! What both conversations share: whose process init has become, what is set from outside before the
//! process may go on, and who is told of it.

use std::path::{Path, PathBuf};

use init_core::config::{Process, Rlimit};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use super::handshake::Init;
use super::{console, rdt, schedule};
use crate::error::{Context, Error, Result, describe};
use crate::plan::Schedule;
use crate::sys;

/// Where init goes on as another process than `pid`, finds that one and reaps the one before; the
/// pid that counts from here on.
pub fn follow(init: &mut Init<'_>, pid: i32) -> Result<i32> {
    let next = init.page.pid() as i32;
    if next == 0 || next == pid {
        return Ok(pid);
    }
    if let Some(first) = init.pidfd.replace(adopted(next)?) {
        reap(&first)?;
    }
    Ok(next)
}

/// Whether `tune` has nothing to do.
pub fn is_tuned(process: &Process<'_>, schedule: &Schedule, rdt: Option<&rdt::Made>) -> Result<bool> {
    Ok(rdt.is_none() && *schedule == Schedule::default() && raised(process.rlimits)?.is_empty())
}

/// Limits, scheduler and Intel RDT.
pub fn tune(process: &Process<'_>, schedule: &Schedule, rdt: Option<&rdt::Made>, pid: i32) -> Result<()> {
    raise_limits(process.rlimits, pid)?;
    schedule::apply(schedule, pid)?;
    rdt.map_or(Ok(()), |made| rdt::enter(made, pid))
}

/// Tells those who asked for it which process it is: by its pidfd, by its pid.
pub fn tell(
    pidfd_socket: Option<&PathBuf>,
    pid_file: Option<&PathBuf>,
    process: Option<&OwnedFd>,
    pid: i32,
) -> Result<()> {
    if let (Some(path), Some(process)) = (pidfd_socket, process) {
        let socket = console::connect(path, "--pidfd-socket")?;
        console::hand_over(&socket, b"pidfd", process, "to --pidfd-socket")?;
    }
    pid_file.map_or(Ok(()), |file| write_pid_file(file, pid))
}

/// A process that init has made in its place: it must be a child of the harness.
fn adopted(pid: i32) -> Result<OwnedFd> {
    let stranger = || Error::Protocol(format!("process {pid} is no child of this one"));
    let handle = Pid::from_raw(pid).ok_or_else(stranger)?;
    let handle = rustix::process::pidfd_open(handle, PidfdFlags::empty()).host("pidfd_open", pid)?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match rustix::process::waitid(WaitId::PidFd(rustix::fd::AsFd::as_fd(&handle)), options) {
        Err(rustix::io::Errno::CHILD) => Err(stranger()),
        waited => waited.host("waitid", pid).map(|_| handle),
    }
}

/// Takes the status of the process before, which has nothing more to say.
pub fn reap(process: &OwnedFd) -> Result<()> {
    let target = WaitId::PidFd(rustix::fd::AsFd::as_fd(process));
    rustix::process::waitid(target, WaitIdOptions::EXITED).host("waitid", "init").map(drop)
}

/// Only the harness may raise a hard limit; init sets the exact values after the gate.
fn raise_limits(limits: &[Rlimit], pid: i32) -> Result<()> {
    for (index, limit, soft) in raised(limits)? {
        sys::set_limit(pid, limit.resource, soft, limit.hard).map_err(|errno| {
            let reason = format!("hard limit {} cannot be set: {}", limit.hard, describe(errno));
            Error::config(format!("/process/rlimits/{index}"), reason)
        })?;
    }
    Ok(())
}

/// The limits whose hard value is above the harness's own, with their place and its soft value.
fn raised(limits: &[Rlimit]) -> Result<Vec<(usize, &Rlimit, u64)>> {
    let mut raised = Vec::new();
    for (index, limit) in limits.iter().enumerate() {
        let (soft, hard) = sys::limit(0, limit.resource).host("getrlimit", limit.resource)?;
        if limit.hard > hard {
            raised.push((index, limit, soft));
        }
    }
    Ok(raised)
}

/// Writes a bare number, as conmon reads it.
fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let mut new = path.as_os_str().to_os_string();
    new.push(format!(".{pid}"));
    replace(path, Path::new(&new), 0o644, pid.to_string().as_bytes())
}

/// Writes a file whole or not at all: as `new`, which must not exist, then renamed, so that a link or a fifo
/// of that name is replaced, not followed.
pub fn replace(path: &Path, new: &Path, mode: u32, text: &[u8]) -> Result<()> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(new, flags, Mode::from_raw_mode(mode)).host("create", new.display())?;
    let written = rustix::io::write(&file, text).and_then(|count| {
        if count == text.len() { rustix::fs::rename(new, path) } else { Err(Errno::NOSPC) }
    });
    written.host("write", path.display()).inspect_err(|_| {
        let _nothing_left = rustix::fs::unlink(new);
    })
}
