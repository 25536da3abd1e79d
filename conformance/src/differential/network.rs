//! The network namespace that a process is in.

use std::collections::BTreeMap;

use serde_json::Value;

use super::files;
use super::reporter::read;

/// `IFA_F_TENTATIVE` of linux/if_addr.h.
const TENTATIVE: u8 = 0x40;

/// Devices by name.
pub fn devices() -> BTreeMap<String, Value> {
    let value = |device: &str, file: &str| read(&format!("/sys/class/net/{device}/{file}"));
    let device = |name: String| {
        let values = ["flags", "mtu", "address"].map(|file| (file.to_owned(), value(&name, file).into()));
        (name, Value::Object(values.into_iter().collect()))
    };
    files::names("/sys/class/net").into_iter().map(device).collect()
}

/// Addresses of the own network namespace: of version 6 with their devices, of version 4 without
/// (proc(5) has no better file).
pub fn addresses() -> Vec<String> {
    let six = read("/proc/net/if_inet6");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    // Not the number of the device, which comes from whoever has made it, nor whether the search for
    // the same address elsewhere has ended, nor what the kernel adds once there is a carrier.
    let six = six.lines().map(words).filter_map(|words| match &words[..] {
        [address, _, prefix, scope, flags, device] if scope != "20" => {
            let flags = u8::from_str_radix(flags, 16).unwrap_or_default() & !TENTATIVE;
            Some(format!("{address} {prefix} {scope} {flags:02x} {device}"))
        }
        _ => None,
    });
    let trie = read("/proc/net/fib_trie");
    let (mut four, mut address) = (Vec::new(), "");
    for line in trie.lines().map(str::trim) {
        match line.strip_prefix("|-- ") {
            Some(found) => address = found,
            None if line.ends_with("host LOCAL") => four.push(address.to_owned()),
            None => {}
        }
    }
    let mut all: Vec<String> = six.chain(four).collect();
    all.sort();
    all.dedup();
    all
}
