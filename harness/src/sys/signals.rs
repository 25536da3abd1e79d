//! Signal masks, signals taken one at a time, and an interrupt that is only noted.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Unblocks every signal.
pub fn unblock_signals() -> Result<()> {
    set_mask(0).map(drop)
}

/// Restores a mask.
pub fn restore_signals(mask: Mask) -> Result<()> {
    set_mask(mask.0).map(drop)
}

/// Whether a blocked signal waits that ends a program from a terminal (rt_sigpending(2)).
pub fn is_ending() -> Result<bool> {
    let mut waiting = 0u64;
    let args = [&raw mut waiting as usize, 8, 0, 0, 0];
    // SAFETY: the kernel writes one 8-byte mask into the exclusively borrowed `waiting`.
    super::check(unsafe { syscall(raw::__NR_rt_sigpending, args) })?;
    Ok(ENDING.iter().any(|number| waiting & 1 << (number - 1) != 0))
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

/// Whether a signal has come that ends a program from a terminal.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

const ENDING: [u32; 4] = [raw::SIGHUP, raw::SIGINT, raw::SIGQUIT, raw::SIGTERM];

unsafe extern "C" {
    /// signal(3): of libc, because a handler returns through code of libc's. Calls that it
    /// interrupts are restarted.
    fn signal(number: c_int, handler: usize) -> usize;
}

extern "C" fn note(number: c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
    // The second one ends the program: it may be stuck.
    // SAFETY: 0 is SIG_DFL; signal(3) may be called in a handler (signal-safety(7)).
    let _before = unsafe { signal(number, 0) };
}

/// From here on a signal that ends a program from a terminal is noted, once. A mask would be
/// inherited by every child; a handler is not.
pub fn catch_interrupts() {
    for number in ENDING {
        // SAFETY: `note` stores to an atomic and makes one call that handlers may make.
        let _before = unsafe { signal(number as c_int, note as *const () as usize) };
    }
}

/// Whether one has been noted.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
