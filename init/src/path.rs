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
pub const PATH_MAX: usize = 4096;
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

/// Opens for input and output what [`resolve_real`] finds.
pub fn open_real(root: impl AsFd, path: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    openat2(root, path, flags, inside)
}

/// Opens a file of the image for reading, without waiting and without taking a terminal.
pub fn read_inside(root: impl AsFd, path: &CStr) -> Result<OwnedFd> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, inside)
}

/// Opens below a directory without leaving its mount and without magic links: for procfs.
pub fn beneath(directory: impl AsFd, path: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    openat2(directory, path, flags, inside)
}

/// Most symbolic links on the way to a path (path_resolution(7)).
const LINKS: usize = 40;

/// Of directories that are made on the way.
pub const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// The directory `path` inside `root`, made with its parents (mode 0755) where missing. A link of
/// the image that points to nothing yet is followed, inside the root, and its target made.
pub fn directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let mut whole = Buffer::new();
    join(&mut whole, &[path])?;
    for _ in 0..LINKS {
        if let Some(made) = walk(root, &mut whole)? {
            return Ok(made);
        }
    }
    Err(Errno::LOOP)
}

/// Walks once along `whole`, an absolute path and a NUL. Where a link points to nothing, `whole`
/// becomes the path with the link replaced by its target, and the answer is `None`.
#[inline(never)]
fn walk(root: BorrowedFd<'_>, whole: &mut Buffer) -> Result<Option<OwnedFd>> {
    let mut scratch = Buffer::new();
    let mut current = resolve(root, c"/", OFlags::DIRECTORY)?;
    let mut start = 0;
    while let Some(rest) = whole.get(start..) {
        let length = rest.iter().position(|byte| matches!(byte, b'/' | 0)).unwrap_or(rest.len());
        let end = start + length;
        let (before, component) =
            (whole.get(..start).unwrap_or_default(), whole.get(start..end).unwrap_or_default());
        if !component.is_empty() {
            let prefix = join(&mut scratch, &[before, component])?;
            current = match resolve(root, prefix, OFlags::DIRECTORY) {
                Err(Errno::NOENT) => {
                    let name = join(&mut scratch, &[component])?;
                    match make_directory(&current, name) {
                        Err(Errno::LOOP | Errno::NOTDIR) => {
                            splice(&current, whole, start, end)?;
                            return Ok(None);
                        }
                        made => made?,
                    }
                }
                found => found?,
            };
        }
        start = end + 1;
        if whole.get(end).is_none_or(|byte| *byte == 0) {
            break;
        }
    }
    Ok(Some(current))
}

/// Puts the target of the link `whole[start..end]`, which lies in `parent`, in its place; an
/// absolute target begins at the root again.
#[inline(never)]
fn splice(parent: &OwnedFd, whole: &mut Buffer, start: usize, end: usize) -> Result<()> {
    let mut name = Buffer::new();
    let mut target = [0; PATH_MAX];
    let link = join(&mut name, &[whole.get(start..end).unwrap_or_default()])?;
    let length = crate::sys::readlink(parent.as_fd(), link, &mut target)?;
    let target = target.get(..length).unwrap_or_default();
    let before = if target.first() == Some(&b'/') { &[] } else { whole.get(..start).unwrap_or_default() };
    let after = whole.get(end..whole.len().saturating_sub(1)).unwrap_or_default();
    join(&mut name, &[before, target, after])?;
    core::mem::swap(whole, &mut name);
    Ok(())
}

/// The directory `path`, made in a parent that exists and is reached through no symbolic link.
pub fn child_directory(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    let (above, last) = split(path)?;
    let mut buffer = Buffer::new();
    let parent = resolve_real(root, join(&mut buffer, &[above])?, OFlags::DIRECTORY)?;
    let made = make_directory(&parent, last);
    crate::sys::shed(parent);
    made
}

/// The part of an absolute path up to its last slash, and what follows.
pub fn split(path: &CStr) -> Result<(&[u8], &CStr)> {
    let path = path.to_bytes_with_nul();
    let slash = path.iter().rposition(|byte| *byte == b'/').ok_or(Errno::INVAL)?;
    let (above, last) = path.split_at_checked(slash + 1).ok_or(Errno::INVAL)?;
    let last = CStr::from_bytes_with_nul(last).map_err(|_| Errno::INVAL)?;
    if matches!(last.to_bytes(), b"" | b"." | b"..") { Err(Errno::INVAL) } else { Ok((above, last)) }
}

/// The directory of the last entry that was made; the default ones all lie in /dev.
pub struct Parent<'a> {
    path: &'a [u8],
    handle: Option<OwnedFd>,
}

impl<'a> Parent<'a> {
    /// Begins with /dev, if that is open already.
    pub fn new(dev: Option<OwnedFd>) -> Self {
        Self { path: b"/dev/", handle: dev }
    }

    /// The directory that `path` lies in, made where it is missing, and the name in it.
    pub fn of<'b>(&'b mut self, root: BorrowedFd<'_>, path: &'a CStr) -> Result<(BorrowedFd<'b>, &'a CStr)> {
        let (above, last) = split(path)?;
        let handle = match self.handle.take() {
            Some(handle) if self.path == above => handle,
            _ if above == b"/dev/" => match resolve_real(root, c"/dev", OFlags::DIRECTORY) {
                Err(Errno::NOENT) => child_directory(root, c"/dev"),
                found => found,
            }?,
            _ => directory(root, above)?,
        };
        self.path = above;
        let handle: &OwnedFd = self.handle.insert(handle);
        Ok((handle.as_fd(), last))
    }

    /// Lets go of the directory.
    pub fn release(self) {
        self.handle.into_iter().for_each(crate::sys::shed);
    }
}

fn make_directory(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, DIRECTORY_MODE) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    openat2(parent, name, OFlags::PATH | OFlags::DIRECTORY, beneath)
}

/// A handle on the file `path` inside `root`, made as an empty one (mode 0644) where missing;
/// links that point to nothing yet are followed as by [`directory`].
pub fn file(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    let mut whole = Buffer::new();
    join(&mut whole, &[path.to_bytes()])?;
    for _ in 0..LINKS {
        match resolve(root, CStr::from_bytes_with_nul(&whole).map_err(|_| Errno::INVAL)?, OFlags::empty()) {
            Err(Errno::NOENT) => {}
            found => return found,
        }
        make_file(root, &mut whole)?;
    }
    Err(Errno::LOOP)
}

/// Makes the last component of `whole`; where that is a link to nothing, replaces it in `whole`.
#[inline(never)]
fn make_file(root: BorrowedFd<'_>, whole: &mut Buffer) -> Result<()> {
    let (above, last) = split(CStr::from_bytes_with_nul(whole).map_err(|_| Errno::INVAL)?)?;
    let (start, end) = (above.len(), above.len() + last.count_bytes());
    let parent = directory(root, above)?;
    let exclusive = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(&parent, last, exclusive, Mode::from_raw_mode(0o644)) {
        Ok(_) => Ok(()),
        // Somebody else's file is found at the next look.
        Err(Errno::EXIST) => match splice(&parent, whole, start, end) {
            Err(Errno::INVAL) => Ok(()),
            done => done,
        },
        Err(errno) => Err(errno),
    }
}

/// Type, device number and owner of an entry of an open directory, or with an empty name of what
/// is open; a symbolic link is not followed.
pub fn entry(directory: impl AsFd, name: &CStr) -> Result<raw::statx> {
    crate::sys::statx(directory.as_fd(), name, raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH)
}
