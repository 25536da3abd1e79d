//! The one resolver: every path that an image, a volume or a user has a say in comes through here.
//!
//! openat2(2) with `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS` against the container's root; nothing
//! is ever resolved by string. New entries are made one component at a time, in a directory that
//! is already open.

use core::ffi::CStr;

use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};

/// Longest path, with its NUL (limits.h).
const PATH_MAX: usize = 4096;
/// The kernel answers EAGAIN while a rename races the walk (openat2(2)); more tries than this
/// mean that somebody keeps it racing.
const ATTEMPTS: usize = 64;

/// A path being put together.
pub type Buffer = heapless::Vec<u8, PATH_MAX>;

/// Appends `parts` and a NUL to the emptied buffer.
pub fn join<'b>(buffer: &'b mut Buffer, parts: &[&[u8]]) -> Result<&'b CStr> {
    buffer.clear();
    for part in parts.iter().chain([&&b"\0"[..]]) {
        buffer.extend_from_slice(part).map_err(|_| Errno::NAMETOOLONG)?;
    }
    CStr::from_bytes_with_nul(buffer).map_err(|_| Errno::INVAL)
}

fn openat2(directory: impl AsFd, path: &CStr, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd> {
    for _ in 0..ATTEMPTS {
        match rustix::fs::openat2(&directory, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

/// A handle (`O_PATH`) on what `path` is inside `root`; symbolic links stay inside.
pub fn resolve(root: impl AsFd, path: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags | OFlags::PATH, inside)
}

/// As [`resolve`], but a symbolic link anywhere is an error (ELOOP).
pub fn resolve_real(root: impl AsFd, path: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    openat2(root, path, flags | OFlags::PATH, inside)
}

/// Opens below a directory without leaving its mount and without magic links: for procfs.
pub fn beneath(directory: impl AsFd, path: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    openat2(directory, path, flags, inside)
}

/// The directory `path` inside `root`, made with its parents (mode 0755) where missing.
pub fn directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let mut prefix = Buffer::new();
    let mut name = Buffer::new();
    let mut current = resolve(root, c"/", OFlags::DIRECTORY)?;
    let mut end = 0;
    for component in path.split(|byte| *byte == b'/') {
        end += component.len() + 1;
        if component.is_empty() {
            continue;
        }
        let whole = path.get(..end - 1).unwrap_or(path);
        current = match resolve(root, join(&mut prefix, &[whole])?, OFlags::DIRECTORY) {
            Err(Errno::NOENT) => make_directory(&current, join(&mut name, &[component])?)?,
            found => found?,
        };
    }
    Ok(current)
}

/// The directory `path`, made in a parent that exists and is reached through no symbolic link.
pub fn child_directory(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    let (above, last) = split(path)?;
    let mut buffer = Buffer::new();
    let parent = resolve_real(root, join(&mut buffer, &[above])?, OFlags::DIRECTORY)?;
    let made = make_directory(&parent, join(&mut buffer, &[last])?);
    crate::sys::shed(parent);
    made
}

/// The part of an absolute path up to its last slash, and what follows.
fn split(path: &CStr) -> Result<(&[u8], &[u8])> {
    let path = path.to_bytes();
    let slash = path.iter().rposition(|byte| *byte == b'/').ok_or(Errno::INVAL)?;
    let (above, last) = path.split_at_checked(slash + 1).ok_or(Errno::INVAL)?;
    if matches!(last, b"" | b"." | b"..") { Err(Errno::INVAL) } else { Ok((above, last)) }
}

fn make_directory(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    openat2(parent, name, OFlags::PATH | OFlags::DIRECTORY, beneath)
}

/// Splits an absolute path into its directory, opened and made where missing, and the last name.
pub fn parent<'b>(root: BorrowedFd<'_>, path: &CStr, name: &'b mut Buffer) -> Result<(OwnedFd, &'b CStr)> {
    let (above, last) = split(path)?;
    Ok((directory(root, above)?, join(name, &[last])?))
}

/// A handle on the file `path` inside `root`, made as an empty one (mode 0644) where missing.
pub fn file(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    match resolve(root, path, OFlags::empty()) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    let mut name = Buffer::new();
    let (parent, name) = self::parent(root, path, &mut name)?;
    let exclusive = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(&parent, name, exclusive, Mode::from_raw_mode(0o644)) {
        Ok(_) | Err(Errno::EXIST) => resolve(root, path, OFlags::empty()),
        Err(errno) => Err(errno),
    }
}

/// Type, device number and owner of an entry of an open directory, or with an empty name of what
/// is open; a symbolic link is not followed.
pub fn entry(directory: impl AsFd, name: &CStr) -> Result<raw::statx> {
    crate::sys::statx(directory.as_fd(), name, raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH)
}
