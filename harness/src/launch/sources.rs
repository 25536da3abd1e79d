//! What the container takes from the host: its root file system and the sources of bind mounts,
//! opened before anything of the container runs.

use std::ffi::CStr;
use std::path::Path;

use bumpalo::Bump;
use init_core::config::Mount;
use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use super::{Bundle, c_path, idmap};
use crate::error::{Context, Error, Result, lossy};
use crate::plan::{Placed, Plan};

/// The opened sources.
pub struct Sources<'a> {
    /// Detached tree of the root file system; `None` where init must open it itself.
    pub root: Option<OwnedFd>,
    /// Path of the root file system.
    pub root_path: &'a CStr,
    /// The plan's mounts, with their trees.
    pub mounts: Vec<Mount<'a>>,
    /// Whether the harness has `CAP_SYS_ADMIN` over its own mount namespace.
    pub privileged: bool,
    trees: Vec<OwnedFd>,
    maps: idmap::Namespaces,
}

impl Sources<'_> {
    /// Opens what did not exist before the container's own directories were made.
    pub fn open_late(&mut self, plan: &Plan<'_>, state: &Path) -> Result<()> {
        for (mount, placed) in self.mounts.iter_mut().zip(&plan.mounts) {
            if !self.privileged || !placed.late {
                continue;
            }
            // A relative source is the container's own, below its state.
            let source = state.join(lossy(mount.source));
            let tree = rustix::mount::open_tree(CWD, &source, CLONE).host("open_tree", source.display())?;
            mount.tree = Some(tree.as_raw_fd());
            self.trees.push(tree);
        }
        Ok(())
    }

    /// The trees, which init has attached by now.
    pub fn release(self) -> impl Iterator<Item = OwnedFd> {
        self.trees.into_iter().chain(self.root)
    }

    /// The numbers of all trees, for init to inherit.
    pub fn trees(&self) -> impl Iterator<Item = RawFd> {
        self.trees.iter().chain(&self.root).map(AsRawFd::as_raw_fd)
    }
}

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

/// Opens the root file system and every bind source.
pub fn open<'a>(arena: &'a Bump, plan: &Plan<'a>, bundle: &Bundle) -> Result<Sources<'a>> {
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
    let flags = CLONE | OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE;
    let root = match rustix::mount::open_tree(&handle, "", flags) {
        Ok(tree) => Some(tree),
        Err(Errno::PERM) => None,
        Err(errno) => return Err(errno).host("open_tree", path.display()),
    };
    let mut sources = Sources {
        privileged: root.is_some(),
        root,
        root_path: c_path(arena, &path)?,
        mounts: Vec::with_capacity(plan.mounts.len()),
        trees: Vec::new(),
        maps: idmap::Namespaces::default(),
    };
    for placed in &plan.mounts {
        let bound = placed.mount.kind.is_empty() && !placed.late;
        let made = if bound { source(arena, bundle, placed, &mut sources)? } else { placed.mount };
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
    sources: &mut Sources<'_>,
) -> Result<Mount<'a>> {
    let (mount, place) = (placed.mount, &placed.pointer);
    let path = bundle.path.join(lossy(mount.source));
    let failed = |errno: Errno| {
        Error::config(
            format!("{place}/source"),
            format!("{}: {}", path.display(), crate::error::describe(errno)),
        )
    };
    if !sources.privileged {
        if placed.idmap.is_some() {
            return Err(Error::config(
                place.as_str(),
                "an idmapped mount needs privileges over the host's mounts",
            ));
        }
        let found = rustix::fs::stat(&path).map_err(failed)?;
        let file = FileType::from_raw_mode(found.st_mode) != FileType::Directory;
        return Ok(Mount { source: c_path(arena, &path)?, file, ..mount });
    }
    let flags = if mount.recursive { CLONE | OpenTreeFlags::AT_RECURSIVE } else { CLONE };
    let tree = rustix::mount::open_tree(CWD, &path, flags).map_err(failed)?;
    let found = rustix::fs::fstat(&tree).map_err(failed)?;
    let file = FileType::from_raw_mode(found.st_mode) != FileType::Directory;
    if let Some(idmap) = &placed.idmap {
        sources.maps.apply(&tree, idmap, place)?;
    }
    let number = tree.as_raw_fd();
    sources.trees.push(tree);
    Ok(Mount { tree: Some(number), file, ..mount })
}
