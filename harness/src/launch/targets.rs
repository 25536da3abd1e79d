//! What mounts lie on, as far as the image decides it: a target that leads back to the root would
//! be mounted on for nothing, and a tmpfs without `mode` takes that of the directory it covers, as
//! crun and runc have it.

use bumpalo::Bump;
use init_core::config::{Mount, Setting};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, Stat};

use crate::error::{Context, Error, Result};
use crate::plan::{self, Placed};

/// Judges the target of a mount behind `before` in the image, whose root is `root`; the mount with its
/// mode. What lies on another mount is not the image's, and what does not exist yet or cannot be reached
/// is init's to make or refuse.
pub fn judge<'a>(
    arena: &'a Bump,
    (image, root): (&OwnedFd, &Stat),
    before: &[Mount<'_>],
    placed: &Placed<'_>,
    mount: Mount<'a>,
) -> Result<Mount<'a>> {
    let bare = mount.kind == c"tmpfs" && !mount.options.iter().any(|option| option.key == c"mode");
    // Init follows no link to a real one.
    if mount.real && !bare || before.iter().any(|other| lies_on(&mount, other)) {
        return Ok(mount);
    }
    let Some(found) = find(image, &mount)? else { return Ok(mount) };
    if (found.st_dev, found.st_ino) == (root.st_dev, root.st_ino) {
        return Err(Error::config(
            format!("{}/destination", placed.place),
            "leads to the root of the container, which is mounted already",
        ));
    }
    if !bare {
        return Ok(mount);
    }
    let mode = format!("{:o}", found.st_mode & 0o7777);
    let value = plan::c_string(arena, mode.as_bytes()).unwrap_or_default();
    let mode = Setting { key: c"mode", value, flag: false };
    let options = mount.options.iter().copied().chain([mode]);
    let options = bumpalo::collections::Vec::from_iter_in(options, arena).into_bump_slice();
    Ok(Mount { options, ..mount })
}

/// Targets are absolute and clean.
fn lies_on(mount: &Mount<'_>, other: &Mount<'_>) -> bool {
    let rest = mount.target.to_bytes().strip_prefix(other.target.to_bytes());
    other.target == c"/" || rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

fn find(image: &OwnedFd, mount: &Mount<'_>) -> Result<Option<Stat>> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(image, mount.target, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), inside) {
        Ok(found) => rustix::fs::fstat(found.as_fd()).host("stat", "target of a mount").map(Some),
        Err(_) => Ok(None),
    }
}
