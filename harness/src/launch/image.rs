//! The init image: embedded, and executed from a memfd that nobody can change.

use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};

/// The freestanding init.
pub const INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init.bin"));
/// The demo's program.
pub const WITNESS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/witness.bin"));

/// `F_SEAL_EXEC` of linux/fcntl.h, since Linux 6.3.
const SEAL_EXEC: SealFlags = SealFlags::from_bits_retain(0x20);
/// `MFD_EXEC` of linux/memfd.h, since Linux 6.3.
const EXECUTABLE: MemfdFlags = MemfdFlags::from_bits_retain(0x10);

/// A memfd with `bytes`, sealed against every change.
pub fn sealed(name: &str, bytes: &[u8], executable: bool) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let exec = if executable { EXECUTABLE } else { MemfdFlags::empty() };
    let file = match rustix::fs::memfd_create(name, flags | exec) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags),
        file => file,
    };
    let file = file.map_err(|errno| match errno {
        Errno::ACCESS if executable => {
            Error::State("vm.memfd_noexec=2 forbids executable memfds; init cannot run".into())
        }
        errno => Error::Host { op: "memfd_create", path: name.into(), errno },
    })?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = rustix::io::write(&file, rest).host("write", name)?;
        rest = rest.get(count..).unwrap_or_default();
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let exec = if executable { SEAL_EXEC } else { SealFlags::empty() };
    match rustix::fs::fcntl_add_seals(&file, seals | exec) {
        Err(Errno::INVAL) => rustix::fs::fcntl_add_seals(&file, seals),
        done => done,
    }
    .host("seal", name)?;
    Ok(file)
}

/// Init, ready to be executed.
pub fn seal() -> Result<OwnedFd> {
    sealed("init", INIT, true)
}
