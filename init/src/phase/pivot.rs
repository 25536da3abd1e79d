//! The switch to the new root on the serial path.

use rustix::fd::BorrowedFd;
use rustix::fs::{Mode, OFlags};
use rustix::mount::UnmountFlags;

use crate::config::switch;
use crate::failure::{At, Fault, Op};
use crate::phase::mounts::attach;

/// Leaves the old root in the way that the harness has chosen.
pub fn switch(root: BorrowedFd<'_>, how: u32) -> Result<(), Fault<'static>> {
    match how {
        switch::STACK => return Ok(()),
        switch::PIVOT => pivot(root)?,
        switch::MOVE => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let slash = rustix::fs::open(c"/", flags, Mode::empty()).at(Op::Open, c"/")?;
            attach(root, &slash, c"/")?;
            enter(root)?;
        }
        _ => enter(root)?,
    }
    rustix::process::chdir(c"/").at(Op::Chdir, c"/")
}

/// `pivot_root`(".", "."): the new root on top, the old one under it and then gone. Neither needs a
/// directory in the image. The old root is private already, so the unmount stays here.
fn pivot(root: BorrowedFd<'_>) -> Result<(), Fault<'static>> {
    rustix::process::fchdir(root).at(Op::Chdir, c"/")?;
    rustix::process::pivot_root(c".", c".").at(Op::PivotRoot, c"/")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH).at(Op::Umount, c"/")
}

fn enter(root: BorrowedFd<'_>) -> Result<(), Fault<'static>> {
    rustix::process::fchdir(root).at(Op::Chdir, c"/")?;
    rustix::process::chroot(c".").at(Op::Chroot, c"/")
}
