//! Network devices to move, addresses and routes: as requests of rtnetlink(7) that init sends.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use serde::Deserialize;

use super::{Kind, Namespaces};
use crate::error::{Error, Result};
use crate::spec::{Spec, escape};

/// The annotation that configures the container's network, for which config.json has no field.
pub const ANNOTATION: &str = "harness.network";

/// Number of the loopback device in every network namespace.
const LOOPBACK: u32 = 1;
/// Number that the first moved device gets in the container. The kernel's own count from 1.
const FIRST: u32 = 1000;

/// What is configured in the container's network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Devices of the host that become the container's.
    pub devices: Vec<Device>,
    addresses: Vec<Address>,
    routes: Vec<Route>,
}

/// A device to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name on the host.
    pub name: String,
    /// Its name in the container.
    pub to: String,
    /// Its number in the container.
    pub index: u32,
    /// Where config.json asks for it.
    pub pointer: String,
}

/// An address of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Number of the device in the container.
    pub index: u32,
    /// Address.
    pub ip: IpAddr,
    /// Length of the network's prefix in bits.
    pub prefix: u8,
    /// Whether it is used at once, without looking for the same one elsewhere.
    pub unchecked: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    destination: Option<(IpAddr, u8)>,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    device: Option<u32>,
}

/// The annotation's value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotation {
    #[serde(default)]
    addresses: Vec<AnnotatedAddress>,
    #[serde(default)]
    routes: Vec<AnnotatedRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnnotatedAddress {
    device: String,
    address: String,
}

/// As runc's `setupRoute` has it: at least a destination or a gateway.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnnotatedRoute {
    #[serde(default)]
    destination: Option<String>,
    #[serde(default)]
    gateway: Option<IpAddr>,
    #[serde(default)]
    source: Option<IpAddr>,
    #[serde(default)]
    device: Option<String>,
}

impl Network {
    /// Whether init has anything to configure.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The requests: addresses, also those that moved devices had on the host, then the devices
    /// up, then the routes, which need both.
    pub fn requests(&self, kept: &[Address]) -> Vec<u8> {
        let mut requests = Vec::new();
        for address in self.addresses.iter().chain(kept) {
            add(&mut requests, RouteNetlinkMessage::NewAddress(new_address(*address)));
        }
        for device in &self.devices {
            let mut link = LinkMessage::default();
            link.header.index = device.index;
            link.header.flags = LinkFlags::Up;
            link.header.change_mask = LinkFlags::Up;
            add(&mut requests, RouteNetlinkMessage::SetLink(link));
        }
        for route in &self.routes {
            add(&mut requests, RouteNetlinkMessage::NewRoute(new_route(route)));
        }
        requests
    }
}

/// Appends a request that asks for an answer, padded to whole words.
fn add(requests: &mut Vec<u8>, payload: RouteNetlinkMessage) {
    let mut message = NetlinkMessage::from(payload);
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    message.finalize();
    let start = requests.len();
    requests.resize(start + message.buffer_len().next_multiple_of(4), 0);
    if let Some(room) = requests.get_mut(start..start + message.buffer_len()) {
        message.serialize(room);
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn new_address(address: Address) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.ip);
    message.header.prefix_len = address.prefix;
    message.header.index = address.index;
    message.header.flags.set(AddressHeaderFlags::Nodad, address.unchecked);
    message.header.scope = if address.ip.is_loopback() { AddressScope::Host } else { AddressScope::Universe };
    message.attributes = vec![AddressAttribute::Local(address.ip), AddressAttribute::Address(address.ip)];
    message
}

fn new_route(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    let some = route.destination.map(|(address, _)| address).or(route.gateway).or(route.source);
    message.header.address_family = some.map_or(AddressFamily::Inet, family);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = if route.gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
    message.header.kind = RouteType::Unicast;
    if let Some((address, prefix)) = route.destination {
        message.header.destination_prefix_length = prefix;
        if prefix > 0 {
            message.attributes.push(RouteAttribute::Destination(RouteAddress::from(address)));
        }
    }
    message.attributes.extend(route.gateway.map(|address| RouteAttribute::Gateway(address.into())));
    message.attributes.extend(route.source.map(|address| RouteAttribute::PrefSource(address.into())));
    message.attributes.extend(route.device.map(RouteAttribute::Oif));
    message
}

/// Plans the network.
pub fn plan(spec: &Spec<'_>, namespaces: &Namespaces<'_>) -> Result<Network> {
    let mut plan = Network::default();
    let list = spec.linux.iter().filter_map(|linux| linux.net_devices.as_ref()).flat_map(|map| &map.0);
    for ((name, device), index) in list.zip(FIRST..) {
        let pointer = format!("/linux/netDevices/{}", escape(name));
        let to = device.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(name);
        for name in [&**name, to] {
            if !is_device_name(name) {
                return Err(Error::config(pointer, format!("{name:?} is not the name of a device")));
            }
        }
        if !namespaces.has(Kind::Network) {
            return Err(Error::config(pointer, "needs a network namespace"));
        }
        // The kernel moves the device first and then cannot name it.
        if to == "lo" {
            return Err(Error::config(pointer, "every network namespace has its own lo"));
        }
        if plan.devices.iter().any(|other| other.to == to) {
            return Err(Error::config(pointer, format!("{to:?} is the name of two devices")));
        }
        plan.devices.push(Device { name: name.to_string(), to: to.to_owned(), index, pointer });
    }
    let annotation = spec.annotations.iter().flat_map(|map| &map.0).find(|(key, _)| **key == *ANNOTATION);
    if let Some((_, text)) = annotation {
        annotated(text, namespaces, &mut plan)?;
    }
    Ok(plan)
}

/// The rules of the kernel (`dev_valid_name`), to which `%d` is a number that it chooses itself.
fn is_device_name(name: &str) -> bool {
    (1..16).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.bytes().any(|byte| b"/:%\0".contains(&byte) || byte.is_ascii_whitespace())
}

fn annotated(text: &str, namespaces: &Namespaces<'_>, plan: &mut Network) -> Result<()> {
    let pointer = format!("/annotations/{}", escape(ANNOTATION));
    let wrong = |reason: String| Error::config(pointer.as_str(), reason);
    if !namespaces.is_new(Kind::Network) {
        return Err(wrong("needs a new network namespace".into()));
    }
    let annotation: Annotation = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let index = |name: &str| {
        let moved = plan.devices.iter().find(|device| device.to == name).map(|device| device.index);
        moved
            .or((name == "lo").then_some(LOOPBACK))
            .ok_or_else(|| wrong(format!("device {name:?} is neither lo nor one of linux.netDevices")))
    };
    let network = |text: &str| {
        let (address, prefix) =
            text.split_once('/').ok_or_else(|| wrong(format!("{text:?} has no prefix")))?;
        let address: IpAddr = address.parse().map_err(|_| wrong(format!("{text:?} is no address")))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        match prefix.parse() {
            Ok(prefix) if prefix <= longest => Ok((address, prefix)),
            _ => Err(wrong(format!("{text:?} has a prefix of more than {longest} bits"))),
        }
    };
    let mut addresses = Vec::new();
    for one in &annotation.addresses {
        let (address, prefix) = network(&one.address)?;
        addresses.push(Address { index: index(&one.device)?, ip: address, prefix, unchecked: false });
    }
    let mut routes = Vec::new();
    for one in &annotation.routes {
        if one.destination.is_none() && one.gateway.is_none() {
            return Err(wrong("a route needs a destination or a gateway".into()));
        }
        routes.push(Route {
            destination: one.destination.as_deref().map(network).transpose()?,
            gateway: one.gateway,
            source: one.source,
            device: one.device.as_deref().map(index).transpose()?,
        });
    }
    (plan.addresses, plan.routes) = (addresses, routes);
    Ok(())
}
