//! Read-only and masked paths: resolved once, covered by descriptor, then looked at as the
//! container will see them.

use core::ffi::CStr;

use linux_raw_sys::general::statx;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags};

use crate::config::Setting;
use crate::failure::{At, Fault, Op};
use crate::path;
use crate::phase::mounts::{attach, filesystem};
use crate::phase::rootfs::PRIVATE;
use crate::sys::{self, MountAttributes, shed};

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE
    .union(OpenTreeFlags::OPEN_TREE_CLOEXEC)
    .union(OpenTreeFlags::AT_EMPTY_PATH);

/// The target of a path, or `None` where it does not exist: ENOENT alone is skipped.
fn find<'p>(root: BorrowedFd<'_>, path: &'p CStr) -> Result<Option<OwnedFd>, Fault<'p>> {
    match path::resolve(root, path, OFlags::empty()) {
        Err(Errno::NOENT) => Ok(None),
        found => found.map(Some).at(Op::Open, path),
    }
}

/// Binds each path over itself, read-only with all below it; other flags of the mount stay.
pub fn readonly<'a>(root: BorrowedFd<'_>, paths: &[&'a CStr]) -> Result<(), Fault<'a>> {
    let attributes = MountAttributes {
        set: u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits()),
        clear: 0,
        propagation: PRIVATE,
    };
    for path in paths {
        let Some(target) = find(root, path)? else { continue };
        let tree = rustix::mount::open_tree(&target, c"", CLONE | OpenTreeFlags::AT_RECURSIVE)
            .at(Op::OpenTree, path)?;
        sys::mount_setattr(&tree, true, attributes).at(Op::MountSetattr, path)?;
        attach(&tree, &target, path)?;
        shed(tree);
        shed(target);
        // The effect itself, through the path that the container will use.
        let seen = rustix::fs::statvfs(*path).at(Op::Stat, path)?;
        if !seen.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(Fault::check(Op::VerifyPath, path));
        }
    }
    Ok(())
}

/// What covers masked paths: the container's null device over files, one empty read-only tmpfs
/// over directories. Both are made, or proved, once.
#[derive(Default)]
pub struct Masks {
    null: Option<OwnedFd>,
    empty: Option<(OwnedFd, u32, u32)>,
}

impl Masks {
    /// Lets go of the sources.
    pub fn release(self) {
        self.null.into_iter().chain(self.empty.map(|(empty, ..)| empty)).for_each(shed);
    }

    /// Hides each path.
    pub fn apply<'a>(&mut self, root: BorrowedFd<'_>, paths: &[&'a CStr]) -> Result<(), Fault<'a>> {
        for path in paths {
            let Some(target) = find(root, path)? else { continue };
            let found = path::entry(&target, c"").at(Op::Stat, path)?;
            let covered = if FileType::from_raw_mode(found.stx_mode.into()) == FileType::Directory {
                self.directory(&target, path)?
            } else {
                self.file(root, &target, path)?
            };
            shed(target);
            if !covered {
                return Err(Fault::check(Op::VerifyPath, path));
            }
        }
        Ok(())
    }

    fn file<'a>(
        &mut self,
        root: BorrowedFd<'_>,
        target: &OwnedFd,
        path: &'a CStr,
    ) -> Result<bool, Fault<'a>> {
        let null = match &mut self.null {
            Some(null) => null,
            slot => slot.insert(null_device(root)?),
        };
        let tree = rustix::mount::open_tree(&*null, c"", CLONE).at(Op::OpenTree, path)?;
        attach(&tree, target, path)?;
        shed(tree);
        Ok(is_null(&seen(path)?))
    }

    fn directory<'a>(&mut self, target: &OwnedFd, path: &'a CStr) -> Result<bool, Fault<'a>> {
        // Only an attached mount can be cloned before Linux 6.15, so the first one serves as source.
        if let Some((empty, major, minor)) = &self.empty {
            let tree = rustix::mount::open_tree(empty, c"", CLONE).at(Op::OpenTree, path)?;
            attach(&tree, target, path)?;
            shed(tree);
            let seen = seen(path)?;
            return Ok((seen.stx_dev_major, seen.stx_dev_minor) == (*major, *minor));
        }
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let options = [Setting { key: c"mode", value: c"555", flag: false }];
        let empty = filesystem(c"tmpfs", &options, attributes).map_err(|fault| Fault { path, ..fault })?;
        attach(&empty, target, path)?;
        let (own, seen) = (path::entry(&empty, c"").at(Op::Stat, path)?, seen(path)?);
        let device = (own.stx_dev_major, own.stx_dev_minor);
        self.empty = Some((empty, device.0, device.1));
        Ok((seen.stx_dev_major, seen.stx_dev_minor) == device)
    }
}

/// The path as the container sees it: init is inside its root already.
fn seen(path: &CStr) -> Result<statx, Fault<'_>> {
    sys::statx(CWD, path, 0).at(Op::Stat, path)
}

fn is_null(found: &statx) -> bool {
    FileType::from_raw_mode(found.stx_mode.into()) == FileType::CharacterDevice
        && (found.stx_rdev_major, found.stx_rdev_minor) == (1, 3)
}

/// The container's /dev/null, proved to be one.
fn null_device(root: BorrowedFd<'_>) -> Result<OwnedFd, Fault<'static>> {
    let null = path::resolve_real(root, c"/dev/null", OFlags::empty()).at(Op::Open, c"/dev/null")?;
    let found = path::entry(null.as_fd(), c"").at(Op::Stat, c"/dev/null")?;
    if is_null(&found) { Ok(null) } else { Err(Fault::check(Op::VerifyInode, c"/dev/null")) }
}
