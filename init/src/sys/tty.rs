//! Terminals (`ioctl_tty(2)`), and descriptors sent over a socket (unix(7)).

use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, Result};

use super::arch::syscall;
use super::check;
use crate::config::MOST_TREES;

const TIOCSCTTY: usize = 0x540e;
const TIOCSWINSZ: usize = 0x5414;
const TIOCSPTLCK: usize = 0x4004_5431;
const TIOCGPTPEER: usize = 0x5441;

/// Unlocks the peer of a master.
pub fn unlock(master: impl AsFd) -> Result<()> {
    let unlocked: i32 = 0;
    let args = [master.as_fd().as_raw_fd() as usize, TIOCSPTLCK, &raw const unlocked as usize, 0, 0];
    // SAFETY: the kernel reads one int, which outlives the call.
    check(unsafe { syscall(raw::__NR_ioctl, args) }).map(drop)
}

/// Opens the peer of a master without going through a path.
pub fn peer(master: impl AsFd) -> Result<OwnedFd> {
    let flags = raw::O_RDWR | raw::O_NOCTTY | raw::O_CLOEXEC;
    let args = [master.as_fd().as_raw_fd() as usize, TIOCGPTPEER, flags as usize, 0, 0];
    // SAFETY: the request takes flags by value.
    let peer = check(unsafe { syscall(raw::__NR_ioctl, args) })?;
    // SAFETY: the call returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(peer as i32) })
}

/// Sets the size of a terminal, in characters.
pub fn resize(terminal: impl AsFd, rows: u16, columns: u16) -> Result<()> {
    let size = [rows, columns, 0, 0];
    let args = [terminal.as_fd().as_raw_fd() as usize, TIOCSWINSZ, size.as_ptr() as usize, 0, 0];
    // SAFETY: the kernel reads one struct winsize, four 16-bit words, which outlive the call.
    check(unsafe { syscall(raw::__NR_ioctl, args) }).map(drop)
}

/// Makes a terminal the controlling one of the session that the caller leads.
pub fn control(terminal: impl AsFd) -> Result<()> {
    let args = [terminal.as_fd().as_raw_fd() as usize, TIOCSCTTY, 0, 0, 0];
    // SAFETY: the request takes a number; 0 steals no terminal from another session.
    check(unsafe { syscall(raw::__NR_ioctl, args) }).map(drop)
}

/// dup3(2) over one of the standard streams.
pub fn become_stream(file: impl AsFd, stream: i32) -> Result<()> {
    // SAFETY: the standard streams are nobody's by type; what refers to them goes by number.
    check(unsafe { syscall(raw::__NR_dup3, [file.as_fd().as_raw_fd() as usize, stream as usize, 0, 0, 0]) })
        .map(drop)
}

/// A control message that carries one descriptor (cmsg(3)).
#[repr(C)]
struct Rights {
    length: usize,
    level: i32,
    kind: i32,
    descriptor: i32,
    padding: i32,
}

#[repr(C)]
struct Vector {
    base: *mut u8,
    length: usize,
}

/// `struct msghdr` of the kernel (`struct user_msghdr`).
#[repr(C)]
struct Message {
    name: usize,
    name_length: i32,
    vector: *const Vector,
    vectors: usize,
    control: *mut u8,
    control_length: usize,
    flags: u32,
}

/// A control message with as many descriptors as one answer may carry.
#[repr(C)]
#[derive(Default)]
pub struct Received {
    length: usize,
    level: i32,
    kind: i32,
    descriptors: [i32; MOST_TREES],
}

impl Received {
    /// A descriptor that came, by its place.
    pub fn get(&self, index: usize) -> Option<i32> {
        self.all().get(index).copied()
    }

    /// The last descriptor that came.
    pub fn last(&self) -> Option<i32> {
        self.all().last().copied()
    }

    fn all(&self) -> &[i32] {
        let bytes = self.length.saturating_sub(core::mem::offset_of!(Self, descriptors));
        self.descriptors.get(..bytes / size_of::<i32>()).unwrap_or_default()
    }
}

/// recvmsg(2): fills `bytes` whole, and `received` with the descriptors that came along.
pub fn receive_with(socket: impl AsFd, bytes: &mut [u8], received: &mut Received) -> Result<()> {
    const MSG_WAITALL_CLOEXEC: usize = 0x4000_0100;
    received.length = 0;
    let vector = Vector { base: bytes.as_mut_ptr(), length: bytes.len() };
    let control = (&raw mut *received).cast();
    // SAFETY: the kernel writes at most the vector's length into the exclusively borrowed bytes, and
    // control messages of at most the given length into `received`; both outlive the call.
    unsafe {
        transfer(
            raw::__NR_recvmsg,
            socket.as_fd(),
            &vector,
            (control, size_of::<Received>()),
            MSG_WAITALL_CLOEXEC,
        )
    }
}

/// Sends `bytes` whole, with a descriptor.
pub fn send_with(socket: impl AsFd, bytes: &[u8], file: impl AsFd) -> Result<()> {
    const SOL_SOCKET: i32 = 1;
    const SCM_RIGHTS: i32 = 1;
    const MSG_NOSIGNAL: usize = 0x4000;
    let mut rights = Rights {
        length: core::mem::offset_of!(Rights, padding),
        level: SOL_SOCKET,
        kind: SCM_RIGHTS,
        descriptor: file.as_fd().as_raw_fd(),
        padding: 0,
    };
    let vector = Vector { base: bytes.as_ptr().cast_mut(), length: bytes.len() };
    let control = (&raw mut rights).cast();
    // SAFETY: the kernel reads the vector's bytes and the one control message, which outlive the call.
    unsafe {
        transfer(raw::__NR_sendmsg, socket.as_fd(), &vector, (control, size_of::<Rights>()), MSG_NOSIGNAL)
    }
}

/// sendmsg(2) or recvmsg(2) of one vector, whole.
///
/// # Safety
/// The vector and the control message, by its place and length, must be valid for what `call` does.
#[inline(never)]
unsafe fn transfer(
    call: u32,
    socket: BorrowedFd<'_>,
    vector: &Vector,
    (control, control_length): (*mut u8, usize),
    flags: usize,
) -> Result<()> {
    let mut message =
        Message { name: 0, name_length: 0, vector, vectors: 1, control, control_length, flags: 0 };
    let args = [socket.as_raw_fd() as usize, &raw mut message as usize, flags, 0, 0];
    // SAFETY: the message is exclusively borrowed and outlives the call; the rest is the caller's word.
    let count = check(unsafe { syscall(call, args) })?;
    if count == vector.length { Ok(()) } else { Err(Errno::CONNRESET) }
}
