//! Giving up: bounding set, groups, ids, capabilities, working directory, in the one order in
//! which each step still has the right to be made.

use core::ffi::CStr;

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Gid, OFlags, Uid};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::config::{Capabilities, Process};
use crate::failure::{At, Fault, Op};
use crate::path;
use crate::phase::{parent, process as properties};
use crate::sys::{self, shed, tty};

/// Makes the working directory where it is missing.
pub fn working_directory<'a>(root: BorrowedFd<'_>, process: &Process<'a>) -> Result<(), Fault<'a>> {
    match path::resolve(root, process.cwd, OFlags::DIRECTORY) {
        Err(Errno::NOENT) => {
            path::directory(root, process.cwd.to_bytes()).at(Op::Mkdir, process.cwd).map(shed)
        }
        // Whether it can be entered is seen when it is.
        _ => Ok(()),
    }
}

/// Everything from the ids to the final capabilities; `more` are kept on top of these until
/// the filter is loaded ([`capabilities`] ends that).
pub fn identity<'a>(root: BorrowedFd<'_>, process: &Process<'a>, more: u64) -> Result<(), Fault<'a>> {
    // Ids other than 0 would take the permitted set with them (capabilities(7)).
    rustix::thread::set_keep_capabilities(true).at(Op::Prctl, c"PR_SET_KEEPCAPS")?;
    own_stdio(root, process)?;
    let tried = rustix::process::chdir(process.cwd);
    if !process.keep_groups {
        sys::set_groups(process.groups).at(Op::Setgroups, c"")?;
    }
    let (uid, gid) = (Uid::from_raw(process.uid), Gid::from_raw(process.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).at(Op::Setresgid, c"")?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).at(Op::Setresuid, c"")?;
    properties::undumpable()?;
    parent::arm()?;
    match tried {
        // A directory that root may not enter (NFS, FUSE) may be open to the process's user.
        Err(Errno::ACCESS | Errno::PERM) => rustix::process::chdir(process.cwd),
        tried => tried,
    }
    .at(Op::Chdir, process.cwd)?;
    inside(process.cwd)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(process.umask));
    capabilities(&process.capabilities, more)
}

/// Takes every capability outside `keep` from the bounding set; the kernel says which is the last.
pub fn drop_bounding(keep: u64) -> Result<(), Fault<'static>> {
    for number in 0..u64::BITS {
        if keep & (1 << number) == 0 {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                Err(Errno::INVAL) => break,
                dropped => dropped.at(Op::DropBounding, c"")?,
            }
        }
    }
    Ok(())
}

/// Gives stdin, stdout and stderr to the process's user, who may want to reopen them through
/// /dev/stdout. In place of the host's null device the process gets the container's: the mode of
/// the host's would be its to change.
fn own_stdio(root: BorrowedFd<'_>, process: &Process<'_>) -> Result<(), Fault<'static>> {
    let mut null = None;
    for number in 0..3 {
        let stream = sys::descriptor(number);
        let found = match rustix::fs::fstat(stream) {
            Err(Errno::BADF) => continue,
            found => found.at(Op::Stat, c"stdio")?,
        };
        if is_null(&found) {
            if null.is_none() {
                null = null_device(root)?;
            }
            if let Some(own) = &null {
                tty::become_stream(own, number).at(Op::Dup, NULL)?;
            }
            continue;
        }
        if process.uid == 0 || found.st_uid == process.uid {
            continue;
        }
        match rustix::fs::fchown(stream, Some(Uid::from_raw(process.uid)), None) {
            // A read-only file system, or an owner that the user namespace does not map.
            Ok(()) | Err(Errno::ROFS | Errno::PERM | Errno::INVAL) => {}
            Err(errno) => return Err(errno).at(Op::Chown, c"stdio"),
        }
    }
    if let Some(own) = null {
        shed(own);
    }
    Ok(())
}

/// The container's null device. One without, or with one on a mount without devices, keeps the caller's.
fn null_device(root: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Fault<'static>> {
    match path::open_real(root, NULL, OFlags::RDWR) {
        Ok(own) if rustix::fs::fstat(&own).is_ok_and(|own| is_null(&own)) => Ok(Some(own)),
        Ok(_) => Err(Fault::check(Op::VerifyInode, NULL)),
        Err(Errno::NOENT | Errno::ACCESS) => Ok(None),
        Err(errno) => Err(errno).at(Op::Open, NULL),
    }
}

const NULL: &CStr = c"/dev/null";

/// Proved by type and number together.
fn is_null(found: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
        && found.st_rdev == rustix::fs::makedev(1, 3)
}

/// The working directory lies below the root: the kernel's own answer starts with a slash, and
/// with `(unreachable)` otherwise (getcwd(2)).
fn inside(cwd: &CStr) -> Result<(), Fault<'_>> {
    let mut buffer = [0; path::PATH_MAX];
    sys::getcwd(&mut buffer).at(Op::Getcwd, cwd)?;
    if buffer.first() == Some(&b'/') { Ok(()) } else { Err(Fault::check(Op::Getcwd, cwd)) }
}

/// Permitted, effective and inheritable set as asked for, the first two with `more`; the ambient
/// set is `seal`'s.
pub fn capabilities(sets: &Capabilities, more: u64) -> Result<(), Fault<'static>> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(sets.effective | more),
        permitted: CapabilitySet::from_bits_retain(sets.permitted | more),
        inheritable: CapabilitySet::from_bits_retain(sets.inheritable),
    };
    rustix::thread::set_capabilities(None, sets).at(Op::Capset, c"")
}
