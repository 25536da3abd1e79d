//! Signal masks, and signals taken one at a time.

use init_core::sys::arch::syscall;
use linux_raw_sys::general as raw;
use rustix::io::{Errno, Result};

/// A signal mask; bit N-1 is signal N.
#[derive(Clone, Copy)]
pub struct Mask(u64);

fn set_mask(mask: u64) -> Result<Mask> {
    let mut old = 0u64;
    let args = [raw::SIG_SETMASK as usize, &raw const mask as usize, &raw mut old as usize, 8, 0];
    // SAFETY: the kernel reads and writes one 8-byte mask each; both outlive the call.
    super::check(unsafe { syscall(raw::__NR_rt_sigprocmask, args) })?;
    Ok(Mask(old))
}

/// Blocks every signal and returns the mask before.
pub fn block_signals() -> Result<Mask> {
    set_mask(u64::MAX)
}

/// Restores a mask.
pub fn restore_signals(mask: Mask) -> Result<()> {
    set_mask(mask.0).map(drop)
}

/// Waits for the next signal of any kind; all must be blocked (sigwaitinfo(2)).
pub fn next_signal() -> Result<i32> {
    let every = u64::MAX;
    loop {
        let args = [&raw const every as usize, 0, 0, 8, 0];
        // SAFETY: the kernel reads one 8-byte mask; siginfo and timeout are null.
        match super::check(unsafe { syscall(raw::__NR_rt_sigtimedwait, args) }) {
            Err(Errno::INTR) => {}
            done => return done.map(|signal| signal as i32),
        }
    }
}
