//! The mounts of the configuration. A mount is a descriptor until it is attached, so its
//! attributes are in force before anybody can reach it, and no path is resolved twice.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags};

use crate::config::{ASKED, Mount, PROC_MOUNTS, Setting};
use crate::failure::{At, Fault, Op};
use crate::path;
use crate::phase::copyup;
use crate::phase::ready;
use crate::phase::rootfs::{BY_DESCRIPTOR, PRIVATE};
use crate::procfs::Procfs;
use crate::sys::tty::Received;
use crate::sys::{self, MountAttributes, shed};

/// What lasts from one layer of mounts to the next.
pub struct Mounts<'s> {
    /// Init's procfs.
    pub procfs: Handle,
    trees: Trees<'s>,
    /// Mounts that become read-only once everything below them is made.
    sealed: heapless::Vec<OwnedFd, 256>,
    /// Whether init is in the container's root, and its working directory as well.
    inside: bool,
    /// The tmpfs that was mounted on /dev, while nothing but what lies below it has been mounted since.
    dev: Option<OwnedFd>,
    /// Whether its root is the working directory.
    entered: bool,
}

impl<'s> Mounts<'s> {
    /// None yet, but init's procfs. Init will be `inside`.
    pub fn new<'a>(
        layers: [&[Mount<'a>]; 2],
        socket: BorrowedFd<'s>,
        inside: bool,
    ) -> Result<Self, Fault<'a>> {
        let mut trees = Trees { socket, received: Received::default(), next: 0 };
        let procfs = procfs(layers, &mut trees)?;
        Ok(Self { procfs, trees, sealed: heapless::Vec::new(), inside, dev: None, entered: false })
    }

    /// Applies `mounts` in order below `root`. The first procfs among them is init's, which exists
    /// already.
    pub fn apply<'a>(&mut self, root: BorrowedFd<'_>, mounts: &[Mount<'a>]) -> Result<(), Fault<'a>> {
        for mount in mounts {
            if !mount.plain.is_empty() && self.plain(mount).is_ok() {
                continue;
            }
            self.leave(root)?;
            let target = target(root, mount)?;
            if is_proc(mount) && !self.procfs.attached {
                attach(&self.procfs.mount, &target, mount.target)?;
                self.procfs.attached = true;
                shed(target);
                continue;
            }
            let made = if mount.kind.is_empty() { bind(mount, &mut self.trees)? } else { new(mount)? };
            if mount.copy_up {
                copyup::copy(&target, &made, mount.target)?;
            }
            attach(&made, &target, mount.target)?;
            shed(target);
            if !mount.target.to_bytes().starts_with(b"/dev/") {
                // Something else may lie on it from here on. (A procfs lies on /proc.)
                self.dev = None;
            }
            if mount.seal {
                self.sealed.push(made).map_err(|_| Fault { op: Op::Memory, path: mount.target, errno: 0 })?;
            } else if self.inside && mount.target == c"/dev" && mount.kind == c"tmpfs" {
                self.dev = Some(made);
            } else {
                shed(made);
            }
        }
        self.leave(root)
    }

    /// Back to the working directory that relative paths in options mean.
    fn leave<'a>(&mut self, root: BorrowedFd<'_>) -> Result<(), Fault<'a>> {
        if core::mem::take(&mut self.entered) {
            rustix::process::fchdir(root).at(Op::Chdir, c"/")?;
        }
        Ok(())
    }

    /// A mount on a directory that init makes in its own tmpfs: one mount(2) in the place of seven calls
    /// or more (rule R2 allows it there alone). Where that cannot be, or fails, descriptors tell why.
    fn plain(&mut self, mount: &Mount<'_>) -> Result<(), Errno> {
        let (above, name) = path::split(mount.target)?;
        let dev = self.dev.as_ref().filter(|_| above == b"/dev/").ok_or(Errno::INVAL)?;
        if !self.entered {
            rustix::process::fchdir(dev)?;
            self.entered = true;
        }
        rustix::fs::mkdirat(CWD, name, path::DIRECTORY_MODE)?;
        // The same bits in both calls.
        let flags = MountFlags::from_bits_retain(mount.set as u32);
        rustix::mount::mount(mount.source, name, mount.kind, flags, mount.plain)
    }

    /// The tmpfs on /dev, if that is known still.
    pub fn take_dev(&mut self) -> Option<OwnedFd> {
        self.dev.take()
    }

    /// Makes the sealed mounts read-only.
    pub fn seal(&mut self) -> Result<(), Fault<'static>> {
        let attributes =
            MountAttributes { set: MountAttrFlags::MOUNT_ATTR_RDONLY.bits() as u64, ..Default::default() };
        while let Some(mount) = self.sealed.pop() {
            sys::mount_setattr(&mount, false, attributes).at(Op::MountSetattr, c"")?;
            shed(mount);
        }
        Ok(())
    }
}

/// Init's procfs, and whether it is the container's `/proc` yet.
pub struct Handle {
    /// The mount.
    pub mount: Procfs,
    attached: bool,
}

/// Makes init's procfs: the mount that becomes `/proc`, with the options it has there. If those
/// hide what init needs, or there is no such mount, it stays a private one. In the host's pid namespace
/// a user namespace gets no new one, so the host's own is taken.
fn procfs<'a>(layers: [&[Mount<'a>]; 2], trees: &mut Trees<'_>) -> Result<Handle, Fault<'a>> {
    let configured = layers.into_iter().flatten().find(|mount| is_proc(mount));
    match configured {
        Some(mount) if mount.own => {
            Ok(Handle { mount: Procfs::proved(bind(mount, trees)?)?, attached: false })
        }
        Some(mount) if !mount.options.iter().any(|option| option.key == c"subset") => {
            Ok(Handle { mount: Procfs::new(mount.options, attributes(mount))?, attached: false })
        }
        _ => Ok(Handle { mount: Procfs::new(&[], MountAttrFlags::empty())?, attached: true }),
    }
}

fn is_proc(mount: &Mount<'_>) -> bool {
    mount.own || mount.kind == c"proc" && mount.target == c"/proc"
}

fn attributes(mount: &Mount<'_>) -> MountAttrFlags {
    MountAttrFlags::from_bits_retain(mount.set as u32)
}

/// A new instance of a file system, detached.
pub fn filesystem<'a>(
    kind: &'a CStr,
    options: &[Setting<'a>],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Fault<'a>> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).at(Op::Fsopen, kind)?;
    for option in options {
        if option.flag {
            rustix::mount::fsconfig_set_flag(&context, option.key).at(Op::Fsconfig, option.key)?;
        } else {
            rustix::mount::fsconfig_set_string(&context, option.key, option.value)
                .at(Op::Fsconfig, option.key)?;
        }
    }
    rustix::mount::fsconfig_create(&context).at(Op::Fsconfig, kind)?;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes);
    shed(context);
    mount.at(Op::Fsmount, kind)
}

/// The trees that the harness makes when their turn has come.
struct Trees<'s> {
    socket: BorrowedFd<'s>,
    received: Received,
    next: usize,
}

impl Trees<'_> {
    fn next(&mut self) -> Result<OwnedFd, Fault<'static>> {
        if self.received.get(self.next).is_none() {
            ready::send(self.socket, PROC_MOUNTS)?;
            ready::wait_with(self.socket, PROC_MOUNTS, &mut self.received)?;
            self.next = 0;
        }
        let tree = self.received.get(self.next).ok_or(Fault::check(Op::Frame, PROC_MOUNTS))?;
        self.next += 1;
        Ok(sys::adopt(tree))
    }
}

fn new<'a>(mount: &Mount<'a>) -> Result<OwnedFd, Fault<'a>> {
    let made = filesystem(mount.kind, mount.options, attributes(mount))
        // A parameter goes by its own name, everything else by the place of the mount.
        .map_err(
            |fault| if fault.path == mount.kind { Fault { path: mount.target, ..fault } } else { fault },
        )?;
    // One mount with nothing below it: recursion makes no difference.
    let attributes =
        MountAttributes { set: mount.set_all, clear: mount.clear_all, propagation: mount.propagation };
    if attributes != MountAttributes::default() {
        sys::mount_setattr(&made, false, attributes).at(Op::MountSetattr, mount.target)?;
    }
    Ok(made)
}

/// The tree to bind, with its attributes; private unless the configuration says otherwise.
fn bind<'a>(mount: &Mount<'a>, trees: &mut Trees<'_>) -> Result<OwnedFd, Fault<'a>> {
    let tree = match mount.tree {
        Some(ASKED) => trees.next()?,
        Some(number) => sys::adopt(number),
        None => clone_path(mount)?,
    };
    let propagation = if mount.propagation == 0 { PRIVATE } else { mount.propagation };
    let own = MountAttributes { set: mount.set, clear: mount.clear, propagation };
    if mount.recursive || mount.set_all | mount.clear_all != 0 {
        let all = MountAttributes { set: mount.set_all, clear: mount.clear_all, propagation };
        sys::mount_setattr(&tree, true, all).at(Op::MountSetattr, mount.target)?;
    }
    if !mount.recursive || mount.set | mount.clear != 0 {
        sys::mount_setattr(&tree, false, own).at(Op::MountSetattr, mount.target)?;
    }
    Ok(tree)
}

fn clone_path<'a>(mount: &Mount<'a>) -> Result<OwnedFd, Fault<'a>> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if mount.recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(CWD, mount.source, flags).at(Op::OpenTree, mount.source)
}

/// Attaches a detached mount on a target, both by descriptor.
pub fn attach<'p>(mount: impl AsFd, target: impl AsFd, path: &'p CStr) -> Result<(), Fault<'p>> {
    rustix::mount::move_mount(mount, c"", target, c"", BY_DESCRIPTOR).at(Op::MoveMount, path)
}

/// Finds or makes the place for a mount. Where no symbolic link is on the way the host has judged
/// the path already; otherwise what was found must not lie on procfs.
fn target<'a>(root: BorrowedFd<'_>, mount: &Mount<'a>) -> Result<OwnedFd, Fault<'a>> {
    let path = mount.target;
    // Most file systems have a /dev of init's own, in which there is nothing yet to be found.
    if !mount.file
        && path.to_bytes().starts_with(b"/dev/")
        && let Ok(made) = path::child_directory(root, path)
    {
        return Ok(made);
    }
    let kind = if mount.file { OFlags::empty() } else { OFlags::DIRECTORY };
    let direct = path::resolve_real(root, path, kind);
    if mount.real && !matches!(direct, Err(Errno::NOENT)) {
        return direct.at(Op::Open, path);
    }
    if let Ok(found) = direct {
        return Ok(found);
    }
    if !mount.file
        && matches!(direct, Err(Errno::NOENT))
        && let Ok(made) = path::child_directory(root, path)
    {
        return Ok(made);
    }
    let found = match direct {
        Err(_) if mount.file => path::file(root, path),
        Err(Errno::NOENT) => path::directory(root, path.to_bytes()),
        Err(Errno::LOOP) => match path::resolve(root, path, kind) {
            Err(Errno::NOENT) => path::directory(root, path.to_bytes()),
            found => found,
        },
        found => found,
    }
    .at(Op::Open, path)?;
    let system = rustix::fs::fstatfs(&found).at(Op::Stat, path)?;
    if system.f_type == rustix::fs::PROC_SUPER_MAGIC && !mount.on_proc {
        return Err(Fault::check(Op::VerifyTarget, path));
    }
    Ok(found)
}
