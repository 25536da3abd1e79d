//! Life and death of the parent: a container whose runtime died half-way must not go on.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::BorrowedFd;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::failure::{At, Fault, Op};

/// Asks for SIGKILL when the harness dies. A change of ids clears this (prctl(2)), so it is
/// called again afterwards.
pub fn arm() -> Result<(), Fault<'static>> {
    set_parent_process_death_signal(Some(Signal::KILL)).at(Op::Prctl, c"PR_SET_PDEATHSIG")
}

/// Ends with the harness from here on, also if it is dead already.
pub fn watch(parent: BorrowedFd<'_>) -> Result<(), Fault<'static>> {
    arm()?;
    check(parent)
}

/// Fails if the harness has died. In a new pid namespace getppid(2) is 0 from the start, so the
/// inherited pidfd is asked instead: it polls readable once the process is gone.
pub fn check(parent: BorrowedFd<'_>) -> Result<(), Fault<'static>> {
    let mut poll = [PollFd::from_borrowed_fd(parent, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match rustix::event::poll(&mut poll, Some(&now)).at(Op::ParentDied, c"")? {
        0 => Ok(()),
        _ => Err(Fault::check(Op::ParentDied, c"")),
    }
}

/// Gives the process the parent-death signal that the configuration asks for; 0 is none.
pub fn restore(signal: u32) -> Result<(), Fault<'static>> {
    let signal = Signal::from_named_raw(signal as i32);
    set_parent_process_death_signal(signal).at(Op::Prctl, c"PR_SET_PDEATHSIG")
}
