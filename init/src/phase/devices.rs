//! Device nodes: made exactly, then looked at again. Nothing of the image is trusted to be one.

use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, makedev};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use crate::config::Device;
use crate::failure::{At, Fault, Op};
use crate::path::{self, Parent};
use crate::phase::mounts::attach;
use crate::sys::shed;

/// Makes the device nodes below `root`. The umask is 0, so modes are exact.
pub fn make<'a>(
    root: BorrowedFd<'_>,
    parent: &mut Parent<'a>,
    devices: &[Device<'a>],
) -> Result<(), Fault<'a>> {
    for device in devices {
        if !device.source.is_empty() {
            bind(root, device)?;
            continue;
        }
        let (parent, name) = parent.of(root, device.path).at(Op::Open, device.path)?;
        let kind = FileType::from_raw_mode(device.mode);
        let number = makedev(device.major, device.minor);
        match rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(device.mode & 0o7777), number) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).at(Op::Mknod, device.path),
        }
        let made = path::entry(parent, name).at(Op::Stat, device.path)?;
        let found = FileType::from_raw_mode(made.stx_mode.into());
        if found != kind || (made.stx_rdev_major, made.stx_rdev_minor) != (device.major, device.minor) {
            return Err(Fault::check(Op::VerifyInode, device.path));
        }
        if (made.stx_uid, made.stx_gid) != (device.uid, device.gid) {
            let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .at(Op::Chown, device.path)?;
        }
    }
    Ok(())
}

/// A user namespace may make no nodes, so the host's is bound over an empty file.
fn bind<'a>(root: BorrowedFd<'_>, device: &Device<'a>) -> Result<(), Fault<'a>> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(CWD, device.source, flags).at(Op::OpenTree, device.source)?;
    let found = path::entry(&tree, c"").at(Op::Stat, device.source)?;
    let kind = FileType::from_raw_mode(found.stx_mode.into());
    if kind != FileType::from_raw_mode(device.mode)
        || (found.stx_rdev_major, found.stx_rdev_minor) != (device.major, device.minor)
    {
        return Err(Fault::check(Op::VerifyInode, device.source));
    }
    let target = path::file(root, device.path).at(Op::Open, device.path)?;
    attach(&tree, &target, device.path)?;
    shed(tree);
    shed(target);
    Ok(())
}
