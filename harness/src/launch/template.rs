//! The template mount namespace of the fast path: one empty, read-only tmpfs, pinned below `--root`.
//!
//! Init starts in a copy of it, so the host's mount table is never copied and never unmounted.
//! With the device programs beside it (`programs.rs`) it is what stays between containers; `harness cleanup`
//! removes it.

use std::path::PathBuf;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
};

use super::programs;
use crate::error::{Context, Result};
use crate::plan::Kind;
use crate::state::Store;
use crate::sys;

/// Directory below `--root`; no id begins with a dot.
const DIRECTORY: &str = ".template";
const FILE: &str = "mnt";
const LOCK: &str = ".template.lock";

/// How often to try to pin a new namespace. A bind of it must point to a namespace with a higher
/// number than the binder's, and every CPU hands out numbers from a batch of its own.
const ATTEMPTS: usize = 64;

/// The namespace's file, the lock, and the directory that the file is in.
fn place(store: &Store) -> [PathBuf; 3] {
    let directory = directory(store);
    [directory.join(FILE), store.path().join(LOCK), directory]
}

/// The directory of the template.
pub fn directory(store: &Store) -> PathBuf {
    store.path().join(DIRECTORY)
}

/// The template, made where it is missing. `None` where this kernel does not let it be pinned:
/// the serial path does without.
pub fn open(store: &Store) -> Result<Option<OwnedFd>> {
    let [file, lock, directory] = place(store);
    if let Some(found) = existing(&file) {
        return Ok(Some(found));
    }
    match rustix::fs::mkdir(&directory, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno).host("mkdir", directory.display()),
    }
    // One maker at a time; whoever waited finds the work done.
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let lock_file =
        rustix::fs::open(&lock, flags, Mode::from_raw_mode(0o600)).host("open", lock.display())?;
    rustix::fs::flock(&lock_file, FlockOperation::LockExclusive).host("lock", lock.display())?;
    if let Some(found) = existing(&file) {
        return Ok(Some(found));
    }
    for attempt in 0..ATTEMPTS {
        match pin(&directory, &file, attempt) {
            Ok(()) => return Ok(existing(&file)),
            Err(Errno::INVAL) => {}
            Err(Errno::PERM) => break,
            Err(errno) => return Err(errno).host("pin", file.display()),
        }
    }
    let _nothing_pinned = remove(store);
    Ok(None)
}

fn existing(file: &std::path::Path) -> Option<OwnedFd> {
    let namespace =
        rustix::fs::open(file, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()).ok()?;
    (sys::namespace_kind(&namespace) == Ok(Kind::Mount.flag())).then_some(namespace)
}

/// Makes the namespace in a thread of its own and binds its file. The directory is bound over
/// itself first, privately: a namespace's file may not be copied to peers of a shared mount.
fn pin(directory: &std::path::Path, file: &std::path::Path, attempt: usize) -> rustix::io::Result<()> {
    rustix::mount::mount_bind(directory, directory)?;
    let pinned = rustix::mount::mount_change(directory, MountPropagationFlags::PRIVATE).and_then(|()| {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::open(file, flags, Mode::from_raw_mode(0o600))?;
        let namespace =
            std::thread::scope(|scope| scope.spawn(|| make(attempt)).join().unwrap_or(Err(Errno::CHILD)))?;
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&namespace));
        rustix::mount::mount_bind(path, file)?;
        let _loaded_anew_instead = programs::make(directory);
        // A recursive bind of a directory above leaves it out: a tree with a namespace's file in it
        // cannot be attached in a container (ELOOP).
        let unbindable = MountPropagationFlags::REC | MountPropagationFlags::UNBINDABLE;
        rustix::mount::mount_change(directory, unbindable)
    });
    if pinned.is_err() {
        let _nothing_pinned = rustix::mount::unmount(directory, UnmountFlags::DETACH);
    }
    pinned
}

/// In a thread of its own: a new mount namespace whose only mount is the tmpfs.
fn make(attempt: usize) -> rustix::io::Result<OwnedFd> {
    const THREAD: &str = "/proc/thread-self/ns/mnt";
    // Another CPU at every attempt; one that may not be used makes no difference.
    let mut cpu = rustix::thread::CpuSet::new();
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let count = allowed.count().max(1) as usize;
    let chosen = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).nth(attempt % count);
    cpu.set(chosen.unwrap_or_default());
    rustix::thread::sched_setaffinity(None, &cpu)?;
    sys::unshare(Kind::Mount.flag() | linux_raw_sys::general::CLONE_FS)?;
    let namespace = rustix::fs::open(THREAD, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "source", "template")?;
    rustix::mount::fsconfig_set_string(&context, "mode", "755")?;
    rustix::mount::fsconfig_set_flag(&context, "ro")?;
    rustix::mount::fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    let tmpfs = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    rustix::mount::move_mount(&tmpfs, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::fchdir(&tmpfs)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(namespace)
}

/// Removes the template, if there is one.
pub fn remove(store: &Store) -> Result<()> {
    let [file, lock, directory] = place(store);
    loop {
        match rustix::mount::unmount(&directory, UnmountFlags::DETACH) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => break,
            Err(errno) => return Err(errno).host("umount", directory.display()),
        }
    }
    let _may_be_missing = rustix::fs::rmdir(directory.join(programs::DIRECTORY));
    for path in [file, lock] {
        match rustix::fs::unlink(&path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).host("unlink", path.display()),
        }
    }
    match rustix::fs::rmdir(&directory) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno).host("rmdir", directory.display()),
    }
}
