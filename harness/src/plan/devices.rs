//! Device nodes and links of /dev.

use bumpalo::Bump;
use init_core::config::{Device, Link};

use super::paths::clean;
use super::{Place, text};
use crate::error::{Error, Result};
use crate::spec::Linux;

const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFIFO: u32 = 0o010_000;

const fn default(path: &'static std::ffi::CStr, major: u32, minor: u32) -> Device<'static> {
    Device { path, mode: S_IFCHR | 0o666, major, minor, uid: 0, gid: 0, source: c"" }
}

/// The devices that every container has (runtime-spec, config-linux.md, "Default Devices").
const DEFAULT: [Device<'static>; 6] = [
    default(c"/dev/null", 1, 3),
    default(c"/dev/zero", 1, 5),
    default(c"/dev/full", 1, 7),
    default(c"/dev/random", 1, 8),
    default(c"/dev/urandom", 1, 9),
    default(c"/dev/tty", 5, 0),
];

/// The links that every container has (runtime-spec, runtime-linux.md, "Dev symbolic links").
pub const LINKS: [Link<'static>; 5] = [
    Link { path: c"/dev/fd", target: c"/proc/self/fd" },
    Link { path: c"/dev/stdin", target: c"/proc/self/fd/0" },
    Link { path: c"/dev/stdout", target: c"/proc/self/fd/1" },
    Link { path: c"/dev/stderr", target: c"/proc/self/fd/2" },
    Link { path: c"/dev/ptmx", target: c"pts/ptmx" },
];

/// Plans the devices; none below `/dev` where that is the host's by a bind mount.
pub fn plan<'a>(
    arena: &'a Bump,
    linux: &Linux<'_>,
    in_user_namespace: bool,
    dev_is_bound: bool,
) -> Result<Vec<Device<'a>>> {
    let mut plan: Vec<Device<'a>> = if dev_is_bound { Vec::new() } else { DEFAULT.to_vec() };
    for (index, device) in linux.devices.iter().flatten().enumerate() {
        let pointer = Place::element("/linux/devices", index);
        let kind = match &*device.kind {
            "c" | "u" => S_IFCHR,
            "b" => S_IFBLK,
            "p" => S_IFIFO,
            other => {
                return Err(Error::config(
                    format!("{pointer}/type"),
                    format!("unknown device type {other:?}"),
                ));
            }
        };
        let number = |name: &str, value: Option<i64>| match value {
            // A fifo has no number, whatever the configuration says.
            _ if kind == S_IFIFO => Ok(0),
            None => Err(Error::config(format!("{pointer}/{name}"), "missing")),
            Some(value) => u32::try_from(value)
                .map_err(|_| Error::config(format!("{pointer}/{name}"), format!("{value} is out of range"))),
        };
        let path = clean(&device.path)
            .filter(|path| path != "/")
            .ok_or_else(|| Error::config(format!("{pointer}/path"), "must be absolute"))?;
        let made = Device {
            path: text(arena, format_args!("{pointer}/path"), &path)?,
            mode: kind | device.file_mode.unwrap_or(0o666) & 0o7777,
            major: number("major", device.major)?,
            minor: number("minor", device.minor)?,
            uid: device.uid.unwrap_or(0),
            gid: device.gid.unwrap_or(0),
            source: c"",
        };
        if dev_is_bound && path.starts_with("/dev/") {
            continue;
        }
        // A device of the configuration takes the place of a default one of the same name.
        plan.retain(|other| other.path != made.path);
        plan.push(made);
    }
    if in_user_namespace {
        for device in &mut plan {
            device.source = device.path;
        }
    }
    Ok(plan)
}
