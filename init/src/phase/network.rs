//! The network namespace: made by the harness while init mounts, joined when it is ready.

use rustix::fd::BorrowedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::failure::{At, Fault, Op};
use crate::sys;

/// Joins the network namespace of the harness (setns(2) by pidfd, Linux 5.8).
pub fn join(parent: BorrowedFd<'_>) -> Result<(), Fault<'static>> {
    move_into_thread_name_spaces(parent, ThreadNameSpaceType::NETWORK).at(Op::Setns, c"network")
}

/// Brings the loopback device of a new network namespace up.
pub fn loopback() -> Result<(), Fault<'static>> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .at(Op::Socket, c"lo")?;
    sys::loopback_up(&socket).at(Op::Ioctl, c"lo")
}
