//! Mounts.

mod hierarchies;
mod options;

use std::borrow::Cow;
use std::ffi::CStr;

use bumpalo::Bump;
use init_core::config::{Mount, Setting};
use linux_raw_sys::general as raw;

use super::paths::{clean, rooted};
use super::{Cgroup, Facts, Kind, Namespaces, Place, text};
use crate::error::{Error, Result};
use crate::spec::{self, IdMapping, Linux, Spec};

use hierarchies::hierarchies;
pub use options::OPTIONS;
use options::{Effect, effect};

/// A mount, with what init need not know of it.
#[derive(Debug, Clone)]
pub struct Placed<'a> {
    /// The mount.
    pub mount: Mount<'a>,
    /// The place in config.json that asks for it.
    pub place: Place,
    /// The ids of its files are mapped.
    pub idmap: Option<Idmap>,
    /// Its source is made for the container, so it does not exist yet.
    pub late: bool,
    /// A bind behind a mount that init makes: its tree is made when its turn comes.
    pub asked: bool,
}

/// Mappings of an idmapped mount: ids in the file system to ids on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idmap {
    /// With all mounts below.
    pub recursive: bool,
    /// User ids.
    pub uid: Vec<IdMapping>,
    /// Group ids.
    pub gid: Vec<IdMapping>,
}

/// Files of procfs that a mount may cover; everything else there is the kernel's word.
const ON_PROC: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// File systems that take no label, or have their own.
const UNLABELLED: [&str; 5] = ["proc", "sysfs", "mqueue", "cgroup", "cgroup2"];

/// Plans the mounts, in the order of the configuration.
pub fn plan<'a>(
    arena: &'a Bump,
    spec: &'a Spec<'a>,
    namespaces: &Namespaces<'_>,
    cgroup: &Cgroup,
    facts: &Facts,
    warnings: &mut Vec<String>,
) -> Result<Vec<Placed<'a>>> {
    let mut plan = Vec::new();
    let label = spec.linux.as_ref().and_then(|linux| linux.mount_label.as_deref());
    for (index, mount) in spec.mounts.iter().flatten().enumerate() {
        let place = Place::element("/mounts", index);
        let made = one(arena, mount, label, place, (namespaces, facts.mapped), warnings)?;
        if made.mount.kind == c"cgroup" || made.mount.kind == c"cgroup2" {
            let own = namespaces.has(Kind::Cgroup);
            plan.extend(hierarchies(arena, &made.mount, own, cgroup, facts).into_iter().map(|mount| {
                let late = mount.kind.is_empty();
                Placed { mount, place, idmap: None, late, asked: false }
            }));
        } else {
            plan.push(made);
        }
    }
    Ok(plan)
}

fn one<'a>(
    arena: &'a Bump,
    mount: &'a spec::Mount<'a>,
    label: Option<&str>,
    place: Place,
    (namespaces, mapped): (&Namespaces<'_>, bool),
    warnings: &mut Vec<String>,
) -> Result<Placed<'a>> {
    let label = label.unwrap_or_default();
    let target = destination(&mount.destination, place, warnings)?;
    let kind = mount.kind.as_deref().unwrap_or_default();
    let mut plan =
        Mount { target: text(arena, format_args!("{place}/destination"), &target)?, ..Mount::default() };
    let mut bind = kind == "bind";
    let mut ids = None;
    let mut parameters = bumpalo::collections::Vec::new_in(arena);
    for (index, option) in mount.options.iter().flatten().enumerate() {
        match effect(option) {
            Effect::Attributes { set, clear } => {
                plan.set = plan.set & !u64::from(clear) | u64::from(set);
                plan.clear = plan.clear & !u64::from(set) | u64::from(clear);
            }
            Effect::AllAttributes { set, clear } => {
                plan.set_all = plan.set_all & !u64::from(clear) | u64::from(set);
                plan.clear_all = plan.clear_all & !u64::from(set) | u64::from(clear);
            }
            Effect::CopyUp => plan.copy_up = true,
            Effect::Idmap { recursive } => ids = Some(recursive),
            Effect::Propagation(kind) => plan.propagation = u64::from(kind),
            Effect::Bind { recursive } => (bind, plan.recursive) = (true, recursive),
            Effect::Nothing => {}
            Effect::Parameter if option.is_empty() => {}
            Effect::Parameter => parameters.push((place.mount_option(index), &**option)),
            Effect::Refused => {
                let reason = format!("{:?} is not supported", &**option);
                return Err(Error::config(place.mount_option(index), reason));
            }
        }
    }
    let mut source = mount.source.as_deref().unwrap_or_default();
    if &*target == "/proc" && (kind == "proc" || source == "/proc") {
        plan.own = (namespaces.has(Kind::User) || mapped) && !namespaces.has(Kind::Pid);
    }
    if plan.own {
        // Whoever does not own the host's pid namespace gets no new procfs of it, and all of the old one.
        (bind, plan.recursive, source) = (true, true, "/proc");
    }
    plan.real = matches!(&*target, "/dev" | "/proc" | "/sys");
    plan.on_proc = ON_PROC.contains(&&*target);
    if bind {
        // mount(2) ignores them as well, and engines pass them.
        for (place, option) in &parameters {
            warnings.push(format!("config.json: {place}: {option:?} means nothing to a bind mount"));
        }
        if source.is_empty() {
            return Err(Error::config(format!("{place}/source"), "missing"));
        }
        plan.source = text(arena, format_args!("{place}/source"), source)?;
    } else {
        if kind.is_empty() {
            return Err(Error::config(format!("{place}/type"), "missing"));
        }
        plan.kind = text(arena, format_args!("{place}/type"), kind)?;
        plan.clear = 0;
        // A device that may only be read must not be opened for writing (ext4, xfs).
        if plan.set & u64::from(raw::MOUNT_ATTR_RDONLY) != 0 && source.starts_with("/dev/") {
            parameters.push((place, "ro"));
        }
        if !label.is_empty() && !UNLABELLED.contains(&kind) {
            parameters.push((place, arena.alloc_str(&format!("context={label}"))));
        }
        plan.options = settings(arena, place, source, &parameters)?;
        let readonly = u64::from(raw::MOUNT_ATTR_RDONLY);
        if plan.set & readonly != 0 && (kind == "tmpfs" || &*target == "/dev") {
            (plan.set, plan.seal) = (plan.set & !readonly, true);
        }
    }
    if &*target == "/proc" && kind != "proc" && source != "/proc" {
        return Err(Error::config(place, "only procfs may be mounted on /proc"));
    }
    if target.starts_with("/proc/") && !plan.on_proc {
        return Err(Error::config(
            place,
            format!("{target} is not among the files of /proc that may be covered"),
        ));
    }
    if plan.copy_up && kind != "tmpfs" {
        return Err(Error::config(place, "tmpcopyup needs a tmpfs"));
    }
    let idmap = idmap(mount, ids, bind, place, namespaces)?;
    Ok(Placed { mount: plan, place, idmap, late: false, asked: false })
}

/// The mapping of an idmapped mount: its own, or that of the container's user namespace.
fn idmap(
    mount: &spec::Mount<'_>,
    option: Option<bool>,
    bind: bool,
    place: Place,
    namespaces: &Namespaces<'_>,
) -> Result<Option<Idmap>> {
    let maps = [(&mount.uid_mappings, "uidMappings"), (&mount.gid_mappings, "gidMappings")];
    let [uid, gid] = maps.map(|(map, _)| map.clone().unwrap_or_default());
    if uid.is_empty() && gid.is_empty() && option.is_none() {
        return Ok(None);
    }
    let recursive = option.unwrap_or(false);
    if !bind {
        return Err(Error::config(place, "an idmapped mount must be a bind mount"));
    }
    if uid.is_empty() && gid.is_empty() {
        if !namespaces.is_new(Kind::User) {
            return Err(Error::config(place, "idmap needs mappings of its own, or a new user namespace"));
        }
        let (uid, gid) = (namespaces.uid_map.clone(), namespaces.gid_map.clone());
        return Ok(Some(Idmap { recursive, uid, gid }));
    }
    for (map, name) in maps {
        let pointer = format!("{place}/{name}");
        match map.as_deref().unwrap_or_default() {
            [] => return Err(Error::config(pointer, "missing: an idmapped mount maps both kinds of ids")),
            map => super::namespaces::check_map(map, &pointer)?,
        }
    }
    Ok(Some(Idmap { recursive, uid, gid }))
}

fn destination<'a>(destination: &'a str, place: Place, warnings: &mut Vec<String>) -> Result<Cow<'a, str>> {
    let wrong = |reason| Err(Error::config(format!("{place}/destination"), reason));
    if destination.is_empty() {
        return wrong("empty");
    }
    let clean = clean(destination).unwrap_or_else(|| {
        warnings.push(format!(
            "config.json: {place}/destination: {destination:?} is relative; taken from the root"
        ));
        rooted(destination).into()
    });
    if clean == "/" { wrong("a mount over / would hide the root file system") } else { Ok(clean) }
}

/// The parameters of a file system, as fsconfig(2) takes them; first the source, for mountinfo.
fn settings<'a>(
    arena: &'a Bump,
    place: Place,
    source: &str,
    parameters: &[(Place, &str)],
) -> Result<&'a [Setting<'a>]> {
    let mut settings = bumpalo::collections::Vec::new_in(arena);
    if !source.is_empty() {
        let value = text(arena, format_args!("{place}/source"), source)?;
        settings.push(Setting { key: c"source", value, flag: false });
    }
    for &(place, option) in parameters {
        settings.push(match option.split_once('=') {
            Some((key, value)) => {
                Setting { key: text(arena, place, key)?, value: text(arena, place, value)?, flag: false }
            }
            None => Setting { key: text(arena, place, option)?, value: c"", flag: true },
        });
    }
    Ok(settings.into_bump_slice())
}

/// The directory of the socket that a service says on that it is ready.
pub fn notify_socket<'a>() -> Placed<'a> {
    let attributes =
        raw::MOUNT_ATTR_RDONLY | raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_NODEV | raw::MOUNT_ATTR_NOEXEC;
    let mount =
        Mount { target: c"/run/notify", source: c"notify", set: attributes.into(), ..Mount::default() };
    Placed { mount, place: Place::named("NOTIFY_SOCKET"), idmap: None, late: true, asked: false }
}

/// Marks the binds that come behind a mount of another kind, and what may be made by mount(2): in a
/// mount namespace of the container's own, where nobody else can reach what init makes.
pub fn order<'a>(arena: &'a Bump, own: bool, mounts: &mut [Placed<'a>]) {
    let first = mounts.iter().position(|placed| !placed.mount.kind.is_empty()).unwrap_or(mounts.len());
    for placed in mounts.iter_mut().skip(first) {
        placed.asked = placed.mount.kind.is_empty();
    }
    // Whether nothing but what lies below it has come since a tmpfs on /dev.
    let mut dev = false;
    for Placed { mount, .. } in mounts {
        if !mount.target.to_bytes().starts_with(b"/dev/") {
            dev = own && mount.target == c"/dev" && mount.kind == c"tmpfs" && !mount.seal && !mount.copy_up;
        } else if let Some(data) = plain(arena, mount).filter(|_| dev) {
            mount.plain = data;
            let source = mount.options.iter().find(|option| option.key == c"source");
            mount.source = source.map_or(c"none", |option| option.value);
        }
    }
}

/// The data of mount(2) for a new file system right below /dev where that call does all that is asked: its
/// flags mean the same as the attributes, and no option has a character that it might take for more.
fn plain<'a>(arena: &'a Bump, mount: &Mount<'a>) -> Option<&'a CStr> {
    let attributes = raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_NODEV | raw::MOUNT_ATTR_NOEXEC;
    let other = mount.set & !u64::from(attributes) | mount.set_all | mount.clear_all | mount.propagation;
    let name = mount.target.to_bytes().strip_prefix(b"/dev/")?;
    if ![c"tmpfs", c"devpts", c"mqueue"].contains(&mount.kind)
        || other != 0
        || mount.copy_up
        || mount.seal
        || name.contains(&b'/')
    {
        return None;
    }
    let mut data = bumpalo::collections::Vec::new_in(arena);
    for option in mount.options.iter().filter(|option| option.key != c"source") {
        let (key, value) = (option.key.to_bytes(), option.value.to_bytes());
        let simple = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.%".contains(byte);
        if !key.iter().chain(value).all(simple) {
            return None;
        }
        data.push(b',');
        data.extend_from_slice(key);
        if !option.flag {
            data.push(b'=');
            data.extend_from_slice(value);
        }
    }
    // Never empty: each parser of the kernel skips an empty option.
    data.extend_from_slice(b",\0");
    CStr::from_bytes_with_nul(data.into_bump_slice()).ok()
}

/// How many mounts at the front depend neither on the network namespace, as sysfs and what may lie
/// below it do, nor on the harness, which is making that meanwhile. None where /dev is not complete
/// by then.
pub fn independent(mounts: &[Placed<'_>]) -> usize {
    let depends = |placed: &Placed<'_>| placed.asked || placed.mount.kind == c"sysfs";
    let early = mounts.iter().position(depends).unwrap_or(mounts.len());
    let on_dev = |placed: &Placed<'_>| {
        let target = placed.mount.target.to_bytes();
        target == b"/dev" || target.starts_with(b"/dev/")
    };
    if mounts.get(early..).unwrap_or_default().iter().any(on_dev) { 0 } else { early }
}

/// Whether `/dev` is bound from elsewhere; then its nodes are none of this runtime's business.
pub fn dev_is_bound(mounts: &[Placed<'_>]) -> bool {
    mounts.iter().any(|placed| placed.mount.target == c"/dev" && placed.mount.kind.is_empty() && !placed.late)
}

/// `linux.rootfsPropagation`.
pub fn root_propagation(linux: &Linux<'_>) -> Result<u64> {
    match linux.rootfs_propagation.as_deref().unwrap_or_default() {
        "" | "private" | "rprivate" => Ok(0),
        "slave" | "rslave" => Ok(u64::from(raw::MS_SLAVE)),
        "shared" | "rshared" => Ok(u64::from(raw::MS_SHARED)),
        "unbindable" | "runbindable" => Ok(u64::from(raw::MS_UNBINDABLE)),
        value => Err(Error::config("/linux/rootfsPropagation", format!("unknown propagation {value:?}"))),
    }
}
