//! Init's own procfs: made in the container's pid namespace before the first mount of the image,
//! so nobody can have put anything over it; or, in a container that runs, the one it has, proved.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::mount::MountAttrFlags;

use crate::config::Setting;
use crate::failure::{At, Fault, Op};
use crate::path;

/// A procfs mount that was verified when it was made.
pub struct Procfs(OwnedFd);

impl Procfs {
    /// Makes a detached procfs with the given parameters and attributes.
    pub fn new<'a>(options: &[Setting<'a>], attributes: MountAttrFlags) -> Result<Self, Fault<'a>> {
        Self::proved(crate::phase::mounts::filesystem(c"proc", options, attributes)?)
    }

    /// Takes a mount that must be a procfs.
    pub fn proved<'a>(mount: OwnedFd) -> Result<Self, Fault<'a>> {
        let found = rustix::fs::fstatfs(&mount).at(Op::Stat, c"/proc")?;
        if found.f_type != rustix::fs::PROC_SUPER_MAGIC {
            return Err(Fault::check(Op::VerifyInode, c"/proc"));
        }
        Ok(Self(mount))
    }

    /// The procfs of a container that runs; a new one where it has none. That it is a procfs and
    /// whole is proved, and nothing mounted over its files is passed: `self` is this process.
    pub fn of_container(root: impl AsFd) -> Result<Self, Fault<'static>> {
        /// Inode of a procfs's root (`PROC_ROOT_INO`).
        const ROOT: u64 = 1;
        if let Ok(found) = path::resolve_real(root, c"/proc", OFlags::DIRECTORY) {
            let system = rustix::fs::fstatfs(&found).at(Op::Stat, c"/proc")?;
            let top = path::entry(&found, c"").at(Op::Stat, c"/proc")?.stx_ino == ROOT;
            if top && system.f_type == rustix::fs::PROC_SUPER_MAGIC {
                return Ok(Self(found));
            }
        }
        Self::new(&[], MountAttrFlags::empty())
    }

    /// Opens a file by its path below the mount.
    pub fn open<'p>(&self, file: &'p CStr, flags: OFlags) -> Result<OwnedFd, Fault<'p>> {
        path::beneath(&self.0, file, flags).at(Op::Open, file)
    }

    /// Writes `value` in one write(2); a short write is an error.
    pub fn write<'p>(&self, file: &'p CStr, value: &[u8]) -> Result<(), Fault<'p>> {
        let target = self.open(file, OFlags::WRONLY)?;
        let written = rustix::io::write(target, value).at(Op::Write, file)?;
        if written == value.len() { Ok(()) } else { Err(Fault::check(Op::Write, file)) }
    }
}

impl AsFd for Procfs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
