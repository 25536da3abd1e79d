//! The container's root, attached; the switch to it is `pivot`'s.

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags};

use crate::config::Root;
use crate::failure::{At, Fault, Op};
use crate::phase::mounts::attach;
use crate::sys::{self, MountAttributes};

/// `MS_PRIVATE` (mount(2)).
pub const PRIVATE: u64 = 1 << 18;

/// Attaches the root file system over `/` and returns a handle on it.
///
/// In the template namespace it becomes the root at once: below it lies an empty, read-only
/// tmpfs. Otherwise the old root stays the process's until `pivot::switch`.
pub fn attach_root<'a>(root: &Root<'a>) -> Result<OwnedFd, Fault<'a>> {
    if root.pivot {
        // Nothing that init mounts may reach the host, and nothing of the host init later.
        rustix::mount::mount_change(c"/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
            .at(Op::Mount, c"/")?;
    }
    let tree = match root.tree {
        Some(number) => sys::adopt(number),
        None => open(root)?,
    };
    let propagation = if root.propagation == 0 { PRIVATE } else { root.propagation };
    let attributes = MountAttributes { propagation, ..MountAttributes::default() };
    sys::mount_setattr(&tree, true, attributes).at(Op::MountSetattr, root.path)?;
    let slash = rustix::fs::open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .at(Op::Open, c"/")?;
    attach(&tree, &slash, root.path)?;
    if !root.pivot {
        rustix::process::fchdir(&tree).at(Op::Chdir, root.path)?;
        rustix::process::chroot(c".").at(Op::Chroot, root.path)?;
    }
    Ok(tree)
}

/// Without `CAP_SYS_ADMIN` over its own mount namespace the harness cannot clone the tree.
fn open<'a>(root: &Root<'a>) -> Result<OwnedFd, Fault<'a>> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(CWD, root.path, flags).at(Op::OpenTree, root.path)
}

/// Empty paths on both sides: a move between two descriptors.
pub const BY_DESCRIPTOR: MoveMountFlags =
    MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH.union(MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH);

/// Makes the root read-only where the configuration says so; mounts below it are their own.
pub fn seal(root: &OwnedFd, readonly: bool) -> Result<(), Fault<'static>> {
    if !readonly {
        return Ok(());
    }
    let set = u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits());
    sys::mount_setattr(root, false, MountAttributes { set, ..Default::default() }).at(Op::MountSetattr, c"/")
}
