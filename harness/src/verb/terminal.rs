//! A process in the foreground: signals passed on, its terminal joined to the caller's, its status.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};
use rustix::termios::{OptionalActions, Termios};

use crate::error::{Context, Result};
use crate::state::State;
use crate::sys;

/// Waits for a process; its exit status, or 128 + the signal that ended it. Its terminal, if this
/// harness has it, is served meanwhile.
pub fn foreground(process: &OwnedFd, pid: i32, master: Option<OwnedFd>, state: &State) -> Result<u8> {
    // Before anything waits, so that neither the end of the process nor a signal for it is missed.
    let mask = sys::block_signals().host("sigprocmask", "")?;
    let session = master.map(Session::begin).transpose()?;
    let status = wait(process, pid, session.as_ref(), state);
    if let Some(session) = session {
        session.end();
    }
    sys::restore_signals(mask).host("sigprocmask", "")?;
    status
}

fn wait(process: &OwnedFd, pid: i32, session: Option<&Session>, state: &State) -> Result<u8> {
    let mut signal = Signal::CHILD.as_raw();
    loop {
        if signal == Signal::CHILD.as_raw() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            let ended = rustix::process::waitid(WaitId::PidFd(process.as_fd()), options);
            if let Some(status) = ended.host("waitid", pid)? {
                let signal = status.terminating_signal();
                if state.seccomp && signal == Some(Signal::SYS.as_raw()) {
                    eprintln!("warning: {}", super::sigsys::explain(pid, state));
                }
                return Ok(status.exit_status().or(signal.map(|signal| 128 + signal)).unwrap_or(1) as u8);
            }
        } else if let Some(session) = session.filter(|_| signal == Signal::WINCH.as_raw()) {
            session.resize();
        } else {
            match sys::send_signal(process, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno).host("kill", pid),
            }
        }
        signal = sys::next_signal().host("sigwaitinfo", "")?;
    }
}

/// The caller's terminal joined to the container's, by a thread that copies.
struct Session {
    master: OwnedFd,
    raw: Option<Raw>,
    copier: std::thread::JoinHandle<()>,
}

/// A terminal in raw mode; it is restored when this is dropped.
struct Raw(Termios);

impl Drop for Raw {
    fn drop(&mut self) {
        let _gone_with_its_terminal =
            rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.0);
    }
}

impl Session {
    fn begin(master: OwnedFd) -> Result<Self> {
        let stdin = rustix::stdio::stdin();
        let raw = match rustix::termios::tcgetattr(stdin) {
            Ok(before) => {
                let mut raw = before.clone();
                raw.make_raw();
                rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw).host("tcsetattr", "stdin")?;
                Some(Raw(before))
            }
            Err(_) => None,
        };
        let copy = rustix::io::fcntl_dupfd_cloexec(&master, 3).host("dup", "terminal")?;
        let copier = std::thread::spawn(move || relay(&copy));
        let session = Self { master, raw, copier };
        session.resize();
        Ok(session)
    }

    /// The container's terminal gets the caller's size.
    fn resize(&self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
            let _cosmetic = rustix::termios::tcsetwinsize(&self.master, size);
        }
    }

    /// The process has ended: its last words, then the caller's terminal as it was.
    fn end(self) {
        // The peers are closed, so the copier comes to an end by itself.
        let _panicked = self.copier.join();
        drop(self.raw);
    }
}

/// Copies both ways until the container's side is closed (EIO).
fn relay(master: &OwnedFd) {
    let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    let mut typing = true;
    loop {
        let mut poll = [PollFd::new(master, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        let watched = if typing { 2 } else { 1 };
        if rustix::event::poll(poll.get_mut(..watched).unwrap_or_default(), None)
            .is_err_and(|errno| errno != Errno::INTR)
        {
            return;
        }
        let [out, input] = &poll;
        if !out.revents().is_empty() && !copy(master, stdout) {
            return;
        }
        if typing && !input.revents().is_empty() {
            typing = copy(stdin, master);
        }
    }
}

/// Copies what is there; false at the end of either side.
fn copy(from: impl AsFd, to: impl AsFd) -> bool {
    let mut buffer = [0; 4096];
    let count = match rustix::io::read(&from, &mut buffer) {
        Ok(0) => return false,
        Ok(count) => count,
        Err(Errno::INTR | Errno::AGAIN) => return true,
        Err(_) => return false,
    };
    let mut rest = buffer.get(..count).unwrap_or_default();
    while !rest.is_empty() {
        match rustix::io::write(&to, rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut poll = [PollFd::new(&to, PollFlags::OUT)];
                let _either_way = rustix::event::poll(&mut poll, None);
            }
            Err(_) => return false,
        }
    }
    true
}
