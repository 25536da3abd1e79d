//! Devices of the host that become the container's: looked up with their addresses, then moved
//! by a socket of the host's network namespace (rtnetlink(7)).

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::error::{Context, Error, Result, describe};
use crate::plan::{Address, NetworkDevice};

/// Where a device goes.
pub enum Destination<'d> {
    /// The namespace of a file.
    File(&'d OwnedFd),
    /// The namespace of a process.
    Process(i32),
}

/// The host's devices that a container gets.
pub struct Devices<'p> {
    /// None where there is nothing to move.
    socket: Option<OwnedFd>,
    found: Vec<(u32, &'p NetworkDevice)>,
    /// Addresses that they have, and keep.
    pub addresses: Vec<Address>,
}

impl<'p> Devices<'p> {
    /// Looks the devices up.
    pub fn find(plan: &'p [NetworkDevice]) -> Result<Self> {
        if plan.is_empty() {
            return Ok(Self { socket: None, found: Vec::new(), addresses: Vec::new() });
        }
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
                .host("socket", "netlink")?;
        let mut devices = Self { socket: Some(socket), found: Vec::new(), addresses: Vec::new() };
        for device in plan {
            let mut message = LinkMessage::default();
            message.attributes.push(LinkAttribute::IfName(device.name.clone()));
            let answers = devices.ask(RouteNetlinkMessage::GetLink(message), 0).map_err(|errno| {
                Error::config(&device.pointer, format!("{}: {}", device.name, describe(errno)))
            })?;
            let index = answers.iter().find_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(link) => Some(link.header.index),
                _ => None,
            });
            let missing = || Error::config(&device.pointer, format!("{}: no such device", device.name));
            devices.found.push((index.ok_or_else(missing)?, device));
        }
        let all = devices.ask(RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_DUMP);
        for answer in all.host("list", "addresses")? {
            if let RouteNetlinkMessage::NewAddress(address) = answer {
                devices.keep(&address);
            }
        }
        Ok(devices)
    }

    /// Notes an address of global scope of one of the devices. One with an end is renewed by a program
    /// that stays where it is.
    fn keep(&mut self, message: &AddressMessage) {
        let of = self.found.iter().find(|(index, _)| *index == message.header.index);
        let flags = message.header.flags;
        let stays =
            flags.contains(AddressHeaderFlags::Permanent) && message.header.scope == AddressScope::Universe;
        let Some((_, device)) = of.filter(|_| stays) else { return };
        let local = |attribute: &AddressAttribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        };
        let whole = |attribute: &AddressAttribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        };
        let address: Option<IpAddr> =
            message.attributes.iter().find_map(local).or_else(|| message.attributes.iter().find_map(whole));
        if let Some(address) = address {
            self.addresses.push(Address {
                index: device.index,
                ip: address,
                prefix: message.header.prefix_len,
                unchecked: flags.contains(AddressHeaderFlags::Nodad),
            });
        }
    }

    /// Moves them, with the name and number that they have in the container.
    pub fn send(&self, to: &Destination<'_>) -> Result<()> {
        for (index, device) in &self.found {
            let mut message = LinkMessage::default();
            message.header.index = *index;
            message.attributes = vec![
                match to {
                    Destination::File(file) => LinkAttribute::NetNsFd(file.as_raw_fd()),
                    Destination::Process(pid) => LinkAttribute::NetNsPid(*pid as u32),
                },
                LinkAttribute::IfName(device.to.clone()),
                LinkAttribute::NewIfIndex(device.index as i32),
            ];
            self.ask(RouteNetlinkMessage::SetLink(message), NLM_F_ACK).map_err(|errno| {
                Error::config(&device.pointer, format!("cannot be moved: {}", describe(errno)))
            })?;
        }
        Ok(())
    }

    /// Sends a request and collects its answers.
    fn ask(&self, payload: RouteNetlinkMessage, flags: u16) -> rustix::io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(payload);
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        let socket = self.socket.as_ref().ok_or(Errno::NOTSOCK)?;
        rustix::net::send(socket, &bytes, SendFlags::empty())?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (count, _) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty())?;
            let mut rest = buffer.get(..count).unwrap_or_default();
            while !rest.is_empty() {
                let answer =
                    NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(|_| Errno::BADMSG)?;
                let length = (answer.header.length as usize).next_multiple_of(4).max(16);
                rest = rest.get(length..).unwrap_or_default();
                match answer.payload {
                    NetlinkPayload::InnerMessage(inner) => {
                        answers.push(inner);
                        if flags & NLM_F_DUMP == 0 && flags & NLM_F_ACK == 0 {
                            return Ok(answers);
                        }
                    }
                    NetlinkPayload::Error(error) => {
                        let errno = error.code.map_or(0, |code| -code.get());
                        return if errno == 0 { Ok(answers) } else { Err(Errno::from_raw_os_error(errno)) };
                    }
                    NetlinkPayload::Done(_) => return Ok(answers),
                    _ => {}
                }
            }
        }
    }
}
