//! The container's root, attached; the switch to it is `pivot`'s.

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags};

use crate::config::{Root, switch};
use crate::failure::{At, Fault, Op};
use crate::phase::mounts::attach;
use crate::sys::{self, MountAttributes, shed};

/// `MS_PRIVATE` (mount(2)).
pub const PRIVATE: u64 = 1 << 18;
/// `MS_SLAVE` (mount(2)).
const SLAVE: u64 = 1 << 19;

/// Attaches the root file system over `/` and returns a handle on it.
///
/// In the template namespace it becomes the root at once: below it lies an empty, read-only
/// tmpfs. Otherwise it is attached where it lies, and the old root stays the process's until
/// `pivot::switch`: sources of bind mounts and hooks are paths of it.
pub fn attach_root<'a>(root: &Root<'a>) -> Result<OwnedFd, Fault<'a>> {
    let apart = root.switch == switch::PIVOT || root.switch == switch::MOVE;
    if apart {
        // Nothing that init mounts may reach the host, and nothing of the host init later.
        rustix::mount::mount_change(c"/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
            .at(Op::Mount, c"/")?;
    }
    let tree = match root.tree {
        Some(number) => sys::adopt(number),
        None => open(root)?,
    };
    // A slave hears from the host from the start; whom it tells, or who may bind it, is decided
    // in the end, or init's own mounts would be told.
    let propagation = if root.propagation == SLAVE { SLAVE } else { PRIVATE };
    let attributes = MountAttributes { propagation, ..MountAttributes::default() };
    sys::mount_setattr(&tree, true, attributes).at(Op::MountSetattr, root.path)?;
    let place = if root.switch == switch::STACK { c"/" } else { root.path };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = rustix::fs::open(place, flags, Mode::empty()).at(Op::Open, place)?;
    attach(&tree, &place, root.path)?;
    shed(place);
    if root.switch == switch::STACK {
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

/// Makes the root read-only, shared or unbindable where the configuration says so; mounts below
/// it are their own.
pub fn seal(root: &OwnedFd, plan: &Root<'_>) -> Result<(), Fault<'static>> {
    let set = if plan.readonly { u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits()) } else { 0 };
    let propagation = if plan.propagation == SLAVE { 0 } else { plan.propagation };
    if set == 0 && propagation == 0 {
        return Ok(());
    }
    sys::mount_setattr(root, false, MountAttributes { set, clear: 0, propagation }).at(Op::MountSetattr, c"/")
}
