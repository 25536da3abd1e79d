//! The switch to the new root on the serial path.

use rustix::fd::BorrowedFd;
use rustix::mount::UnmountFlags;

use crate::failure::{At, Fault, Op};

/// `pivot_root`(".", "."): the new root on top, the old one under it and then gone. Neither needs a
/// directory in the image. The old root is private already, so the unmount stays here.
pub fn switch(root: BorrowedFd<'_>) -> Result<(), Fault<'static>> {
    rustix::process::fchdir(root).at(Op::Chdir, c"/")?;
    rustix::process::pivot_root(c".", c".").at(Op::PivotRoot, c"/")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH).at(Op::Umount, c"/")?;
    rustix::process::chdir(c"/").at(Op::Chdir, c"/")
}
