//! The loopback device, and devices of the host that become the container's: looked up with their
//! addresses, then moved by a socket of the host's network namespace (rtnetlink(7)).

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::error::{Context, Error, Result, describe};
use crate::plan::{Address, Kind, NetworkDevice};
use crate::sys;

/// Brings the loopback device of the network namespace that this process is in up.
pub fn loopback() -> Result<()> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    init_core::sys::loopback_up(&socket.host("socket", "lo")?).host("ioctl", "lo up")
}

/// Where a device goes.
pub enum Destination<'d> {
    /// The namespace of a file.
    File(&'d OwnedFd),
    /// The namespace of a process.
    Process(i32),
}

/// Sends a device to the namespace of a file, there with that name and number.
fn transfer(index: u32, to: &OwnedFd, name: &str, new: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![
        LinkAttribute::NetNsFd(to.as_raw_fd()),
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::NewIfIndex(new as i32),
    ];
    RouteNetlinkMessage::SetLink(message)
}

fn socket() -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
}

/// The network namespace of a process.
fn namespace(pid: i32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/net");
    rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).host("open", path)
}

/// The host's devices that a container gets.
#[derive(Default)]
pub struct Devices<'p> {
    /// None where there is nothing to move.
    socket: Option<OwnedFd>,
    home: Option<OwnedFd>,
    found: Vec<(u32, &'p NetworkDevice)>,
    /// The namespace where the first of them are, and how many.
    moved: Option<(OwnedFd, usize)>,
    /// Addresses that they have, and keep.
    pub addresses: Vec<Address>,
}

impl<'p> Devices<'p> {
    /// Looks the devices up.
    pub fn find(plan: &'p [NetworkDevice]) -> Result<Self> {
        if plan.is_empty() {
            return Ok(Self::default());
        }
        let socket = Some(socket().host("socket", "netlink")?);
        let home = Some(namespace(std::process::id() as i32)?);
        let mut devices = Self { socket, home, ..Self::default() };
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
    pub fn send(&mut self, to: &Destination<'_>) -> Result<()> {
        let there = match to {
            Destination::File(file) => rustix::io::fcntl_dupfd_cloexec(file, 3).host("dup", "namespace")?,
            Destination::Process(pid) => namespace(*pid)?,
        };
        let mut moved = 0;
        let sent = self.found.iter().try_for_each(|(index, device)| {
            // One that cannot be renamed has been moved all the same.
            moved += 1;
            self.ask(transfer(*index, &there, &device.to, device.index), NLM_F_ACK).map(drop).map_err(
                |errno| Error::config(&device.pointer, format!("cannot be moved: {}", describe(errno))),
            )
        });
        self.moved = Some((there, moved));
        sent
    }

    /// Gives the host back what a container that came to nothing has got, as far as that can be done.
    pub fn take_back(&mut self) {
        let (Some((there, moved)), Some(home)) = (self.moved.take(), &self.home) else { return };
        let network = Kind::Network.flag();
        if sys::setns(&there, network).is_err() {
            return;
        }
        self.socket = socket().ok();
        if sys::setns(home, network).is_ok() {
            for (index, device) in self.found.iter().take(moved) {
                let _may_be_home = self.ask(transfer(device.index, home, &device.name, *index), NLM_F_ACK);
            }
        }
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
