//! What a child has used (wait4(2)).

use init_core::sys::arch::syscall;
use linux_raw_sys::general as raw;
use rustix::io::{Errno, Result};

/// How a child ended, and what the kernel counted for it and for the children it has waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Exit status; 128 + the number of the signal that ended it.
    pub status: i32,
    /// Page faults.
    pub faults: u64,
    /// Context switches.
    pub switches: u64,
}

/// The head of the kernel's `struct rusage`: the two times, then fourteen words (getrusage(2)).
#[repr(C)]
#[derive(Default)]
struct Rusage {
    times: [u64; 4],
    words: [u64; 14],
}

/// Waits for a child to end, and blocks for it.
pub fn wait_usage(pid: i32) -> Result<Usage> {
    const MINOR: usize = 4;
    const MAJOR: usize = 5;
    const VOLUNTARY: usize = 12;
    const INVOLUNTARY: usize = 13;
    let mut status = 0i32;
    let mut used = Rusage::default();
    let args = [pid as usize, &raw mut status as usize, 0, &raw mut used as usize, 0];
    loop {
        // SAFETY: the kernel writes one int and one struct rusage of 144 bytes, the size of `used`.
        match super::check(unsafe { syscall(raw::__NR_wait4, args) }) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => break,
        }
    }
    let signal = status & 0x7f;
    Ok(Usage {
        status: if signal == 0 { (status >> 8) & 0xff } else { 128 + signal },
        faults: used.words[MINOR] + used.words[MAJOR],
        switches: used.words[VOLUNTARY] + used.words[INVOLUNTARY],
    })
}
