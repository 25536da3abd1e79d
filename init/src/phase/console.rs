//! Session and terminal: the container's process never shares the caller's.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use crate::config::{PROC_CONSOLE, Terminal};
use crate::failure::{At, Fault, Op};
use crate::path;
use crate::phase::mounts::attach;
use crate::phase::ready;
use crate::sys::{shed, tty};

/// `DEVPTS_SUPER_MAGIC` of linux/magic.h.
const DEVPTS_MAGIC: u64 = 0x1cd1;
const PTMX: &CStr = c"/dev/pts/ptmx";
const CONSOLE: &CStr = c"/dev/console";

/// Starts a session (setsid(2)), so that the caller's terminal is not the controlling one and
/// nothing can be typed into it. A process that already leads one keeps it; one that leads no more
/// than a group of the caller's gets EPERM as well.
pub fn new_session() -> Result<(), Fault<'static>> {
    match rustix::process::setsid() {
        Err(Errno::PERM) if rustix::process::getsid(None) == Ok(rustix::process::getpid()) => Ok(()),
        made => made.map(drop).at(Op::Setsid, c""),
    }
}

/// Opens a terminal in the container's own devpts, makes it the controlling one and the standard
/// streams, and sends its master to the harness.
#[inline(never)]
pub fn open(root: BorrowedFd<'_>, terminal: Terminal, socket: BorrowedFd<'_>) -> Result<(), Fault<'static>> {
    let master = multiplexer(root)?;
    tty::unlock(&master).at(Op::Ioctl, PTMX)?;
    // By descriptor: a path below /dev/pts may lead anywhere.
    let peer = tty::peer(&master).at(Op::Ioctl, PTMX)?;
    if (terminal.rows, terminal.columns) != (0, 0) {
        tty::resize(&master, terminal.rows as u16, terminal.columns as u16).at(Op::Ioctl, PTMX)?;
    }
    if terminal.console {
        cover_console(root, &peer)?;
    }
    tty::control(&peer).at(Op::Ioctl, c"TIOCSCTTY")?;
    for stream in 0..3 {
        tty::become_stream(&peer, stream).at(Op::Dup, c"terminal")?;
    }
    ready::send_with(socket, PROC_CONSOLE, &master)?;
    shed(peer);
    // The master is the harness's alone: it would keep the terminal alive.
    drop(master);
    Ok(())
}

/// A new master of the devpts at /dev/pts, proved to be one: type, number and file system.
fn multiplexer(root: BorrowedFd<'_>) -> Result<OwnedFd, Fault<'static>> {
    let handle = path::resolve_real(root, PTMX, OFlags::empty()).at(Op::Open, PTMX)?;
    prove(&handle)?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
    let master = path::open_real(root, PTMX, flags).at(Op::Open, PTMX)?;
    prove(&master)?;
    // Only the opening was not to wait.
    rustix::fs::fcntl_setfl(&master, OFlags::RDWR).at(Op::Open, PTMX)?;
    Ok(master)
}

fn prove(file: impl AsFd) -> Result<(), Fault<'static>> {
    let found = path::entry(&file, c"").at(Op::Stat, PTMX)?;
    let system = rustix::fs::fstatfs(&file).at(Op::Stat, PTMX)?;
    let multiplexer = FileType::from_raw_mode(found.stx_mode.into()) == FileType::CharacterDevice
        && (found.stx_rdev_major, found.stx_rdev_minor) == (5, 2);
    if multiplexer && system.f_type as u64 == DEVPTS_MAGIC {
        Ok(())
    } else {
        Err(Fault::check(Op::VerifyInode, PTMX))
    }
}

/// Binds the terminal over /dev/console, which is made as an empty file where it is missing.
fn cover_console(root: BorrowedFd<'_>, peer: &OwnedFd) -> Result<(), Fault<'static>> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(peer, c"", flags).at(Op::OpenTree, CONSOLE)?;
    let device = path::resolve_real(root, c"/dev", OFlags::DIRECTORY).at(Op::Open, CONSOLE)?;
    let exclusive = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(&device, c"console", exclusive, Mode::from_raw_mode(0o600)) {
        Ok(made) => shed(made),
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno).at(Op::Open, CONSOLE),
    }
    let target = path::resolve_real(&device, c"console", OFlags::empty()).at(Op::Open, CONSOLE)?;
    attach(&tree, &target, CONSOLE)?;
    shed(tree);
    shed(target);
    shed(device);
    Ok(())
}
