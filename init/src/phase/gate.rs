//! The start gate: `created` ends when `start` opens exec.fifo.

use core::ffi::CStr;
use core::ops::Range;

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::FileType;

use crate::failure::{At, Fault, Op};
use crate::procfs::Procfs;
use crate::sys;
use crate::wire::{Sink, Value};

/// File name in the state directory.
pub const EXEC_FIFO: &CStr = c"exec.fifo";

/// Memory that nothing looks at any more.
pub struct Spent {
    /// The program up to its zeroed memory; it comes back from its file when it runs on.
    pub image: Range<usize>,
    /// The configuration: what was made of it, its text, and what its copy has left free. Empty
    /// where it is still needed.
    pub memory: [Range<usize>; 3],
    /// The stack up to here.
    pub stack: Range<usize>,
}

/// Opens the fifo for writing, which blocks until `start` opens it for reading, and writes `0`.
///
/// The fifo was opened as a handle before init touched the container; it is reopened through
/// init's own procfs, by the one magic link that is allowed, and proved to be a fifo.
/// A container may wait here for long, so the memory that only the set-up needed goes first.
pub fn wait(procfs: &Procfs, fifo: &OwnedFd, spent: &Spent) -> Result<OwnedFd, Fault<'static>> {
    let mut link = heapless::Vec::<u8, 32>::new();
    link.put(b"self/fd/");
    fifo.as_raw_fd().write(&mut link as &mut dyn Sink);
    link.put(b"\0");
    let link = CStr::from_bytes_with_nul(&link).map_err(|_| Fault::check(Op::Open, EXEC_FIFO))?;
    let [arena, message, rest] = spent.memory.clone();
    let ranges = [arena, message, rest, spent.stack.clone()];
    let gate = sys::open_trimmed(procfs.as_fd(), link, &spent.image, &ranges).at(Op::Open, EXEC_FIFO)?;
    let found = rustix::fs::fstat(&gate).at(Op::Stat, EXEC_FIFO)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Fifo {
        return Err(Fault::check(Op::VerifyInode, EXEC_FIFO));
    }
    match rustix::io::write(&gate, b"0").at(Op::Write, EXEC_FIFO)? {
        1 => Ok(gate),
        _ => Err(Fault::check(Op::Write, EXEC_FIFO)),
    }
}
