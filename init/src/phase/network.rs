//! The network namespace: made by the harness while init mounts, joined when it is ready, or new and
//! without a loopback device that is up; then what the runtime wants configured in it.

use rustix::fd::BorrowedFd;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socket_with};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::failure::{At, Fault, Op};
use crate::sys;
use crate::sys::arena::Arena;
use crate::wire::Value;

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

/// Length of `struct nlmsghdr` (netlink(7)).
const HEADER: usize = 16;
const NLMSG_ERROR: u32 = 2;

/// Sends ready requests (rtnetlink(7)) one after the other: addresses, links, routes. Each must ask
/// for an answer (`NLM_F_ACK`), and the first refusal ends it, named by its number from 1.
#[inline(never)]
pub fn configure<'a>(requests: &[u8], arena: &Arena<'a>) -> Result<(), Fault<'a>> {
    if requests.is_empty() {
        return Ok(());
    }
    let flags = SocketFlags::CLOEXEC;
    // NETLINK_ROUTE is protocol 0.
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None).at(Op::Socket, c"netlink")?;
    let mut rest = requests;
    let mut number = 0u64;
    while !rest.is_empty() {
        number += 1;
        let failed = |errno: i32| {
            let mut digits = heapless::Vec::<u8, 24>::new();
            number.write(&mut digits);
            let path = arena.plain(&digits);
            Fault { op: Op::Netlink, path: path.unwrap_or_default(), errno }
        };
        let length = word(rest, 0).unwrap_or(0) as usize;
        let (request, after) =
            rest.split_at_checked(length).filter(|_| length >= HEADER).ok_or_else(|| failed(0))?;
        rustix::net::send(&socket, request, SendFlags::empty()).map_err(|e| failed(e.raw_os_error()))?;
        let mut answer = [0; 1024];
        let (count, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())
            .map_err(|e| failed(e.raw_os_error()))?;
        let answer = answer.get(..count).unwrap_or(&answer);
        // The type is the half word after the length; the errno follows the header, negated.
        match (word(answer, 4).map(|word| word & 0xffff), word(answer, HEADER)) {
            (Some(NLMSG_ERROR), Some(0)) => {}
            (Some(NLMSG_ERROR), Some(errno)) => return Err(failed((errno as i32).wrapping_neg())),
            _ => return Err(failed(0)),
        }
        // Requests are padded to words.
        rest = after.get((length.wrapping_neg() & 3)..).unwrap_or_default();
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}
