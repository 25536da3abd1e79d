//! What the container takes from the host: its root file system and the sources of bind mounts,
//! opened before anything of the container runs.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::path::Path;

use bumpalo::Bump;
use init_core::config::{ASKED, MOST_TREES, Mount};
use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};
use rustix::thread::CapabilitySet;

use super::{Bundle, c_path, idmap, targets};
use crate::error::{Context, Error, Result, lossy};
use crate::plan::{Facts, Idmap, Place, Placed, Plan};

/// The opened sources.
pub struct Sources<'a> {
    /// Detached tree of the root file system, once it is open; `None` where init must open it itself.
    pub root: Option<OwnedFd>,
    /// Its directory.
    handle: OwnedFd,
    /// Path of the root file system.
    pub root_path: &'a CStr,
    /// The plan's mounts, with their trees.
    pub mounts: Vec<Mount<'a>>,
    /// Whether the harness has `CAP_SYS_ADMIN` over its own mount namespace.
    pub privileged: bool,
    trees: Vec<OwnedFd>,
    maps: idmap::Namespaces,
    asked: VecDeque<Vec<Asked<'a>>>,
}

/// A tree that is made when init asks for it: behind the mounts that init makes itself.
struct Asked<'a> {
    from: From<'a>,
    recursive: bool,
    idmap: Option<(Idmap, Place)>,
}

enum From<'a> {
    /// What was found at the source.
    Handle(OwnedFd),
    /// The container's own, which exists once its state does.
    Path(&'a CStr),
}

impl<'a> Sources<'a> {
    /// Opens the tree of the root file system. With many mounts on the host that takes its time, and init
    /// needs it only when it runs.
    pub fn open_root(&mut self) -> Result<()> {
        if self.privileged && self.root.is_none() {
            self.root = Some(root_tree(&self.handle).host("open_tree", lossy(self.root_path))?);
        }
        Ok(())
    }

    /// Opens what did not exist before the container's own directories were made.
    pub fn open_late(&mut self, plan: &Plan<'_>, state: &Path) -> Result<()> {
        for (mount, placed) in self.mounts.iter_mut().zip(&plan.mounts) {
            if self.privileged && placed.late && mount.tree.is_none() {
                let tree = clone_late(state, mount.source)?;
                mount.tree = Some(tree.as_raw_fd());
                self.trees.push(tree);
            }
        }
        Ok(())
    }

    /// Whether init will ask for trees.
    pub fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Makes the next trees that init asks for; none if it has had them all.
    pub fn answer(&mut self, state: &Path) -> Result<&[OwnedFd]> {
        let first = self.trees.len();
        for asked in self.asked.pop_front().unwrap_or_default() {
            let tree = match asked.from {
                From::Path(path) => clone_late(state, path)?,
                From::Handle(handle) => {
                    let flags = clone_flags(asked.recursive) | OpenTreeFlags::AT_EMPTY_PATH;
                    rustix::mount::open_tree(handle, "", flags).host("open_tree", "of a bind mount")?
                }
            };
            if let Some((idmap, place)) = &asked.idmap {
                self.maps.apply(&tree, idmap, *place)?;
            }
            self.trees.push(tree);
        }
        Ok(self.trees.get(first..).unwrap_or_default())
    }

    /// Leaves a tree to be asked for, together with the mounts right before it.
    fn ask(&mut self, asked: Asked<'a>) {
        let follows = self.mounts.last().is_some_and(|mount| mount.tree == Some(ASKED));
        match self.asked.back_mut().filter(|batch| follows && batch.len() < MOST_TREES) {
            Some(batch) => batch.push(asked),
            None => self.asked.push_back(vec![asked]),
        }
    }

    /// The trees, which init has attached by now.
    pub fn release(self) -> impl Iterator<Item = OwnedFd> {
        self.trees.into_iter().chain(self.root).chain([self.handle])
    }

    /// The numbers of the trees that init inherits.
    pub fn trees(&self) -> impl Iterator<Item = RawFd> {
        self.trees.iter().map(AsRawFd::as_raw_fd)
    }
}

/// A relative source is the container's own, below its state. In place of a cgroup that it does not have
/// there is nothing.
fn clone_late(state: &Path, source: &CStr) -> Result<OwnedFd> {
    let source = state.join(lossy(source));
    match rustix::mount::open_tree(CWD, &source, CLONE) {
        Err(Errno::NOENT) if source.starts_with(crate::cgroup::MOUNT) => {
            empty().host("mount", "an empty file system")
        }
        tree => tree.host("open_tree", source.display()),
    }
}

fn empty() -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "mode", "555")?;
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
}

fn clone_flags(recursive: bool) -> OpenTreeFlags {
    if recursive { CLONE | OpenTreeFlags::AT_RECURSIVE } else { CLONE }
}

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

fn root_tree(handle: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = CLONE | OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(handle, "", flags)
}

/// Opens the root file system and every bind source.
pub fn open<'a>(arena: &'a Bump, plan: &Plan<'a>, facts: &Facts, bundle: &Bundle) -> Result<Sources<'a>> {
    let path = bundle.path.join(plan.rootfs);
    let handle =
        match rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => return Err(root(&path, "does not exist")),
            Err(Errno::NOTDIR) => return Err(root(&path, "is not a directory")),
            handle => handle.host("open", path.display())?,
        };
    let (own, host) =
        (rustix::fs::fstat(&handle).host("stat", path.display())?, rustix::fs::stat("/").host("stat", "/")?);
    if (own.st_dev, own.st_ino) == (host.st_dev, host.st_ino) {
        return Err(root(&path, "is the host's own root"));
    }
    // The initial user namespace's CAP_SYS_ADMIN counts in every mount namespace; elsewhere the call tells.
    let known = !facts.mapped
        && rustix::thread::capabilities(None)
            .host("capget", "self")?
            .effective
            .contains(CapabilitySet::SYS_ADMIN);
    let root = if known { Ok(None) } else { root_tree(&handle).map(Some) };
    let root = match root {
        Err(Errno::PERM) => None,
        root => root.host("open_tree", path.display())?,
    };
    let mut sources = Sources {
        privileged: known || root.is_some(),
        root,
        handle,
        root_path: c_path(arena, &path)?,
        mounts: Vec::with_capacity(plan.mounts.len()),
        trees: Vec::new(),
        maps: idmap::Namespaces::default(),
        asked: VecDeque::new(),
    };
    for placed in &plan.mounts {
        let mount = placed.mount;
        let made = match (mount.kind.is_empty(), placed.late) {
            (true, true) if placed.asked && sources.privileged => {
                sources.ask(Asked {
                    from: From::Path(mount.source),
                    recursive: mount.recursive,
                    idmap: None,
                });
                Mount { tree: Some(ASKED), ..mount }
            }
            (true, false) => source(arena, bundle, placed, &mut sources)?,
            _ => mount,
        };
        let made = targets::judge(arena, (&sources.handle, &own), &sources.mounts, placed, made)?;
        sources.mounts.push(made);
    }
    Ok(sources)
}

fn root(path: &Path, reason: &str) -> Error {
    Error::config("/root/path", format!("{} {reason}", path.display()))
}

/// Opens the source of a bind mount and finds out what it is.
fn source<'a>(
    arena: &'a Bump,
    bundle: &Bundle,
    placed: &Placed<'a>,
    sources: &mut Sources<'a>,
) -> Result<Mount<'a>> {
    let (mount, place) = (placed.mount, placed.place);
    let path = bundle.path.join(lossy(mount.source));
    let failed = |errno: Errno| {
        Error::config(
            format!("{place}/source"),
            format!("{}: {}", path.display(), crate::error::describe(errno)),
        )
    };
    if !sources.privileged {
        if placed.idmap.is_some() {
            return Err(Error::config(place, "an idmapped mount needs privileges over the host's mounts"));
        }
        let found = rustix::fs::stat(&path).map_err(failed)?;
        let file = FileType::from_raw_mode(found.st_mode) != FileType::Directory;
        return Ok(Mount { source: c_path(arena, &path)?, file, ..mount });
    }
    // Without OPEN_TREE_CLONE this is a handle, which also stands for what is mounted on demand.
    let flags = if placed.asked { OpenTreeFlags::OPEN_TREE_CLOEXEC } else { clone_flags(mount.recursive) };
    let tree = rustix::mount::open_tree(CWD, &path, flags).map_err(failed)?;
    let found = rustix::fs::fstat(&tree).map_err(failed)?;
    let file = FileType::from_raw_mode(found.st_mode) != FileType::Directory;
    if placed.asked {
        let idmap = placed.idmap.clone().map(|idmap| (idmap, place));
        sources.ask(Asked { from: From::Handle(tree), recursive: mount.recursive, idmap });
        return Ok(Mount { tree: Some(ASKED), file, ..mount });
    }
    if let Some(idmap) = &placed.idmap {
        sources.maps.apply(&tree, idmap, place)?;
    }
    let number = tree.as_raw_fd();
    sources.trees.push(tree);
    Ok(Mount { tree: Some(number), file, ..mount })
}
