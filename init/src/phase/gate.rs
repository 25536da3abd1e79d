//! The start gate: `created` ends when `start` opens exec.fifo.

use core::ffi::CStr;

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};

use crate::failure::{At, Fault, Op};
use crate::path::{self, Buffer};
use crate::procfs::Procfs;
use crate::wire::{Sink, Value};

/// File name in the state directory.
pub const EXEC_FIFO: &CStr = c"exec.fifo";

/// Opens the fifo for writing, which blocks until `start` opens it for reading, and writes `0`.
///
/// The fifo was opened as a handle before init touched the container; it is reopened through
/// init's own procfs, by the one magic link that is allowed, and proved to be a fifo.
pub fn wait(procfs: &Procfs, fifo: &OwnedFd) -> Result<OwnedFd, Fault<'static>> {
    let mut number = heapless::Vec::<u8, 16>::new();
    fifo.as_raw_fd().write(&mut number as &mut dyn Sink);
    let mut buffer = Buffer::new();
    let link = path::join(&mut buffer, &[b"self/fd/", &number]).at(Op::Open, EXEC_FIFO)?;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let gate = rustix::fs::openat(procfs.as_fd(), link, flags, Mode::empty()).at(Op::Open, EXEC_FIFO)?;
    let found = rustix::fs::fstat(&gate).at(Op::Stat, EXEC_FIFO)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Fifo {
        return Err(Fault::check(Op::VerifyInode, EXEC_FIFO));
    }
    match rustix::io::write(&gate, b"0").at(Op::Write, EXEC_FIFO)? {
        1 => Ok(gate),
        _ => Err(Fault::check(Op::Write, EXEC_FIFO)),
    }
}
