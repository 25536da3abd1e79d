//! `tmpcopyup`: a new tmpfs starts with what the image holds at its place.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawDir, Timespec, Timestamps, Uid, makedev};
use rustix::io::{Errno, Result};

use crate::failure::{At, Fault, Op};
use crate::path;
use crate::sys;

/// Deepest tree that is copied: each level holds two descriptors and a window on the stack.
const DEEPEST: u32 = 16;

/// Copies the tree below `from` into the empty directory `to`, whose own mode is a mount option.
/// Both are on this side of every mount: the one is the image's, the other just made.
pub fn copy<'p>(from: impl AsFd, to: impl AsFd, path: &'p CStr) -> core::result::Result<(), Fault<'p>> {
    let (from, to) = (reopen(from), reopen(to));
    from.and_then(|from| to.and_then(|to| directory(&from, &to, 0))).at(Op::CopyUp, path)
}

/// A directory that can be listed and written to, from a handle.
fn reopen(directory: impl AsFd) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(directory, c".", flags, Mode::empty())
}

#[inline(never)]
fn directory(from: &OwnedFd, to: &OwnedFd, depth: u32) -> Result<()> {
    if depth == DEEPEST {
        return Err(Errno::LOOP);
    }
    let mut window = [MaybeUninit::uninit(); 512];
    let mut entries = RawDir::new(from, &mut window);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            one(from, to, name, depth)?;
        }
    }
    Ok(())
}

/// Copies one entry; what it is is looked at first, and a name is never followed.
#[inline(never)]
fn one(from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: u32) -> Result<()> {
    let found = path::entry(from, name)?;
    let kind = FileType::from_raw_mode(found.stx_mode.into());
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match kind {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700))?;
            let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY;
            let below = rustix::fs::openat(from, name, flags, Mode::empty())?;
            let made = rustix::fs::openat(to, name, flags, Mode::empty())?;
            directory(&below, &made, depth + 1)?;
            attributes(below.as_fd(), made.as_fd(), c"")
        }
        FileType::RegularFile => {
            let source = rustix::fs::openat(from, name, flags | OFlags::RDONLY, Mode::empty())?;
            let new = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let copy = rustix::fs::openat(to, name, new, Mode::from_raw_mode(0o600))?;
            while rustix::fs::sendfile(&copy, &source, None, 1 << 30)? != 0 {}
            attributes(source.as_fd(), copy.as_fd(), c"")
        }
        FileType::Symlink => {
            link(from, to, name)?;
            owner(to.as_fd(), name, found.stx_uid, found.stx_gid)
        }
        kind => {
            let mode = Mode::from_raw_mode((found.stx_mode & 0o7777).into());
            rustix::fs::mknodat(to, name, kind, mode, makedev(found.stx_rdev_major, found.stx_rdev_minor))?;
            owner(to.as_fd(), name, found.stx_uid, found.stx_gid)
        }
    }
}

/// Not part of its caller's frame, of which there is one for each level.
#[inline(never)]
fn link(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> Result<()> {
    let mut target = [0; path::PATH_MAX];
    let length = sys::readlink(from.as_fd(), name, &mut target)?;
    *target.get_mut(length).ok_or(Errno::NAMETOOLONG)? = 0;
    let target = CStr::from_bytes_until_nul(&target).map_err(|_| Errno::INVAL)?;
    rustix::fs::symlinkat(target, to, name)
}

fn owner(directory: BorrowedFd<'_>, name: &CStr, uid: u32, gid: u32) -> Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    rustix::fs::chownat(directory, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)
}

/// Owner, then mode (a change of owner clears set-user-ID), then times.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let found = path::entry(from, name)?;
    owner(to, name, found.stx_uid, found.stx_gid)?;
    rustix::fs::fchmod(to, Mode::from_raw_mode((found.stx_mode & 0o7777).into()))?;
    let time = |sec: i64, nsec: u32| Timespec { tv_sec: sec, tv_nsec: nsec.into() };
    let times = Timestamps {
        last_access: time(found.stx_atime.tv_sec, found.stx_atime.tv_nsec),
        last_modification: time(found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec),
    };
    rustix::fs::futimens(to, &times)
}
