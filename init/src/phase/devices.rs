//! Device nodes: made exactly, then looked at again. Nothing of the image is trusted to be one.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use crate::config::Device;
use crate::failure::{At, Fault, Op};
use crate::path::{self, Buffer};
use crate::phase::mounts::attach;
use crate::sys::shed;

/// Makes the device nodes below `root`. The umask is 0, so modes are exact.
pub fn make<'a>(root: BorrowedFd<'_>, devices: &[Device<'a>]) -> Result<(), Fault<'a>> {
    let mut directory = Directory { path: &[], handle: None };
    let mut name = Buffer::new();
    for device in devices {
        if !device.source.is_empty() {
            bind(root, device)?;
            continue;
        }
        let (parent, name) = directory.of(root, device, &mut name)?;
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

/// The directory of the last device; the default ones all lie in /dev.
struct Directory<'a> {
    path: &'a [u8],
    handle: Option<OwnedFd>,
}

impl<'a> Directory<'a> {
    fn of<'b>(
        &'b mut self,
        root: BorrowedFd<'_>,
        device: &Device<'a>,
        name: &'b mut Buffer,
    ) -> Result<(BorrowedFd<'b>, &'b core::ffi::CStr), Fault<'a>> {
        let (above, last) = path::split(device.path).at(Op::Open, device.path)?;
        if self.handle.is_none() || self.path != above {
            let opened = if above == b"/dev/" {
                match path::resolve_real(root, c"/dev", OFlags::DIRECTORY) {
                    Err(Errno::NOENT) => path::child_directory(root, c"/dev"),
                    found => found,
                }
            } else {
                path::directory(root, above)
            };
            self.handle = Some(opened.at(Op::Open, device.path)?);
            self.path = above;
        }
        let name = path::join(name, &[last]).at(Op::Open, device.path)?;
        let handle = self.handle.as_ref().ok_or(Fault::check(Op::Open, device.path))?;
        Ok((handle.as_fd(), name))
    }
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
