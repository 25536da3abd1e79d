//! Mounts, masked and read-only paths.

use bumpalo::Bump;
use init_core::config::{Mount, Setting};
use linux_raw_sys::general as raw;

use super::devices::clean;
use super::{Cgroup, Facts, Kind, Namespaces, Paths, Placed, c_string, text};
use crate::error::{Error, Result};
use crate::spec::{self, Linux, Spec, Text};

/// What an option of a mount does.
enum Effect {
    /// Sets and clears `MOUNT_ATTR_*` of the mount.
    Attributes { set: u32, clear: u32 },
    /// Sets a propagation; recursion makes no difference to a new mount.
    Propagation(u32),
    /// Bind mount; with all mounts below or without.
    Bind { recursive: bool },
    /// Nothing.
    Nothing,
    /// A parameter of the file system, passed on.
    Parameter,
    /// Of the specification, but not implemented.
    Unsupported,
}

const fn set(set: u32) -> Effect {
    Effect::Attributes { set, clear: 0 }
}

const fn clear(clear: u32) -> Effect {
    Effect::Attributes { set: 0, clear }
}

/// The options of mount(8) that are no parameters of a file system.
fn effect(option: &str) -> Effect {
    match option {
        "ro" => set(raw::MOUNT_ATTR_RDONLY),
        "rw" => clear(raw::MOUNT_ATTR_RDONLY),
        "nosuid" => set(raw::MOUNT_ATTR_NOSUID),
        "suid" => clear(raw::MOUNT_ATTR_NOSUID),
        "nodev" => set(raw::MOUNT_ATTR_NODEV),
        "dev" => clear(raw::MOUNT_ATTR_NODEV),
        "noexec" => set(raw::MOUNT_ATTR_NOEXEC),
        "exec" => clear(raw::MOUNT_ATTR_NOEXEC),
        "nodiratime" => set(raw::MOUNT_ATTR_NODIRATIME),
        "diratime" => clear(raw::MOUNT_ATTR_NODIRATIME),
        "nosymfollow" => set(raw::MOUNT_ATTR_NOSYMFOLLOW),
        "symfollow" => clear(raw::MOUNT_ATTR_NOSYMFOLLOW),
        // The access time is one setting of several values: setting one clears the others.
        "noatime" => Effect::Attributes { set: raw::MOUNT_ATTR_NOATIME, clear: raw::MOUNT_ATTR__ATIME },
        "strictatime" => {
            Effect::Attributes { set: raw::MOUNT_ATTR_STRICTATIME, clear: raw::MOUNT_ATTR__ATIME }
        }
        "relatime" | "atime" | "nostrictatime" => clear(raw::MOUNT_ATTR__ATIME),
        "private" | "rprivate" => Effect::Propagation(raw::MS_PRIVATE),
        "slave" | "rslave" => Effect::Propagation(raw::MS_SLAVE),
        "shared" | "rshared" => Effect::Propagation(raw::MS_SHARED),
        "unbindable" | "runbindable" => Effect::Propagation(raw::MS_UNBINDABLE),
        "bind" => Effect::Bind { recursive: false },
        "rbind" => Effect::Bind { recursive: true },
        "defaults" | "async" | "norelatime" | "nomand" | "loud" | "silent" | "nolazytime" => Effect::Nothing,
        "rro" | "rrw" | "rnosuid" | "rsuid" | "rnodev" | "rdev" | "rnoexec" | "rexec" | "rnodiratime"
        | "rdiratime" | "rnoatime" | "ratime" | "rrelatime" | "rnorelatime" | "rstrictatime"
        | "rnostrictatime" | "rnosymfollow" | "rsymfollow" | "tmpcopyup" | "idmap" | "ridmap" | "remount"
        | "copy-symlink" | "src-nofollow" | "dest-nofollow" => Effect::Unsupported,
        _ => Effect::Parameter,
    }
}

/// Every option that has a meaning of its own, for `features`.
pub const OPTIONS: &[&str] = &[
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "exec",
    "loud",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "rbind",
    "relatime",
    "ro",
    "rprivate",
    "rshared",
    "rslave",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "unbindable",
];

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
    for (index, mount) in spec.mounts.iter().flatten().enumerate() {
        let place = format!("/mounts/{index}");
        let made = one(arena, mount, &place, warnings)?;
        if made.kind == c"cgroup" || made.kind == c"cgroup2" {
            let own = namespaces.has(Kind::Cgroup);
            plan.extend(
                hierarchies(arena, &made, own, cgroup, facts).into_iter().map(|mount| (mount, place.clone())),
            );
        } else {
            plan.push((made, place));
        }
    }
    Ok(plan)
}

fn one<'a>(
    arena: &'a Bump,
    mount: &'a spec::Mount<'a>,
    place: &str,
    warnings: &mut Vec<String>,
) -> Result<Mount<'a>> {
    let target = destination(&mount.destination, place, warnings)?;
    let kind = mount.kind.as_deref().unwrap_or_default();
    let mut plan =
        Mount { target: text(arena, &format!("{place}/destination"), &target)?, ..Mount::default() };
    let mut bind = kind == "bind";
    let mut parameters = bumpalo::collections::Vec::new_in(arena);
    for (index, option) in mount.options.iter().flatten().enumerate() {
        let place = format!("{place}/options/{index}");
        match effect(option) {
            Effect::Attributes { set, clear } => {
                plan.set = plan.set & !u64::from(clear) | u64::from(set);
                plan.clear = plan.clear & !u64::from(set) | u64::from(clear);
            }
            Effect::Propagation(kind) => plan.propagation = u64::from(kind),
            Effect::Bind { recursive } => (bind, plan.recursive) = (true, recursive),
            Effect::Nothing => {}
            Effect::Parameter if option.is_empty() => {}
            Effect::Parameter => parameters.push((place, &**option)),
            Effect::Unsupported => {
                return Err(Error::config(place, format!("{:?}: not implemented yet", &**option)));
            }
        }
    }
    let source = mount.source.as_deref().unwrap_or_default();
    plan.real = matches!(&*target, "/dev" | "/proc" | "/sys");
    plan.on_proc = ON_PROC.contains(&&*target);
    if bind {
        if let Some((place, option)) = parameters.first() {
            return Err(Error::config(place.as_str(), format!("{option:?} is no option of a bind mount")));
        }
        if source.is_empty() {
            return Err(Error::config(format!("{place}/source"), "missing"));
        }
        plan.source = text(arena, &format!("{place}/source"), source)?;
    } else {
        if kind.is_empty() {
            return Err(Error::config(format!("{place}/type"), "missing"));
        }
        plan.kind = text(arena, &format!("{place}/type"), kind)?;
        plan.clear = 0;
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
    Ok(plan)
}

fn destination(destination: &str, place: &str, warnings: &mut Vec<String>) -> Result<String> {
    let place = format!("{place}/destination");
    if destination.is_empty() {
        return Err(Error::config(place, "empty"));
    }
    if !destination.starts_with('/') {
        warnings.push(format!("config.json: {place}: {destination:?} is relative; taken from the root"));
    }
    let clean = clean(&format!("/{destination}")).unwrap_or_default();
    if clean == "/" {
        return Err(Error::config(place, "a mount over / would hide the root file system"));
    }
    Ok(clean)
}

/// The parameters of a file system, as fsconfig(2) takes them; first the source, for mountinfo.
fn settings<'a>(
    arena: &'a Bump,
    place: &str,
    source: &str,
    parameters: &[(String, &str)],
) -> Result<&'a [Setting<'a>]> {
    let mut settings = bumpalo::collections::Vec::new_in(arena);
    if !source.is_empty() {
        let value = text(arena, &format!("{place}/source"), source)?;
        settings.push(Setting { key: c"source", value, flag: false });
    }
    for (place, option) in parameters {
        settings.push(match option.split_once('=') {
            Some((key, value)) => {
                Setting { key: text(arena, place, key)?, value: text(arena, place, value)?, flag: false }
            }
            None => Setting { key: text(arena, place, option)?, value: c"", flag: true },
        });
    }
    Ok(settings.into_bump_slice())
}

/// What a mount of type cgroup becomes. With a cgroup namespace the hierarchies themselves;
/// without one a bind of the container's own cgroup, never the host's tree.
fn hierarchies<'a>(
    arena: &'a Bump,
    mount: &Mount<'a>,
    own_namespace: bool,
    cgroup: &Cgroup,
    facts: &Facts,
) -> Vec<Mount<'a>> {
    let join = |parts: &[&str]| c_string(arena, parts.concat().as_bytes()).unwrap_or_default();
    let bind = |target, directory: &str| Mount {
        kind: c"",
        options: &[],
        source: join(&["/sys/fs/cgroup", directory, &cgroup.path]),
        target,
        ..*mount
    };
    let Some(controllers) = &facts.v1 else {
        return vec![if own_namespace {
            const SOURCE: &[Setting<'static>] = &[Setting { key: c"source", value: c"cgroup", flag: false }];
            Mount { kind: c"cgroup2", options: SOURCE, ..*mount }
        } else {
            bind(mount.target, "")
        }];
    };
    const MODE: &[Setting<'static>] = &[
        Setting { key: c"source", value: c"tmpfs", flag: false },
        Setting { key: c"mode", value: c"755", flag: false },
    ];
    let readonly = u64::from(raw::MOUNT_ATTR_RDONLY);
    let mut plan = vec![Mount {
        kind: c"tmpfs",
        options: MODE,
        set: mount.set & !readonly,
        seal: mount.set & readonly != 0,
        ..*mount
    }];
    let base = mount.target.to_str().unwrap_or_default();
    for controller in controllers {
        let target = join(&[base, "/", controller]);
        if !own_namespace {
            plan.push(bind(target, &format!("/{controller}")));
            continue;
        }
        let mut options = bumpalo::collections::Vec::new_in(arena);
        options.push(Setting { key: c"source", value: c"cgroup", flag: false });
        // A hierarchy without controllers goes by its name (cgroups(7)).
        if controller == "systemd" {
            options.push(Setting { key: c"none", value: c"", flag: true });
            options.push(Setting { key: c"name", value: c"systemd", flag: false });
        } else {
            let each = controller.split(',').map(|key| Setting { key: join(&[key]), value: c"", flag: true });
            options.extend(each);
        }
        plan.push(Mount { kind: c"cgroup", options: options.into_bump_slice(), target, ..*mount });
    }
    plan
}

/// How many mounts at the front do not depend on the network namespace: sysfs shows the one of
/// its mounter, and what comes after it may lie below it.
pub fn independent(mounts: &[Placed<'_>]) -> usize {
    mounts.iter().position(|(mount, _)| mount.kind == c"sysfs").unwrap_or(mounts.len())
}

/// Masked or read-only paths, those on procfs first: they need not wait for the late mounts,
/// unless one of these covers something of procfs. Below /proc/sys they wait for the kernel
/// parameters, where there are any.
pub fn paths<'a>(
    arena: &'a Bump,
    pointer: &str,
    list: Option<&[Text<'_>]>,
    late: &[Placed<'_>],
    sysctl: bool,
) -> Result<Paths<'a>> {
    let mut paths = Paths::default();
    let mut rest = Vec::new();
    let covered = late.iter().any(|(mount, _)| mount.target.to_bytes().starts_with(b"/proc"));
    for (index, path) in list.unwrap_or_default().iter().enumerate() {
        let pointer = format!("{pointer}/{index}");
        let clean =
            clean(path).ok_or_else(|| Error::config(&pointer, format!("{:?} must be absolute", &**path)))?;
        let path = text(arena, &pointer, &clean)?;
        let waits = covered || sysctl && (clean == "/proc/sys" || clean.starts_with("/proc/sys/"));
        if clean.starts_with("/proc/") && !waits { paths.all.push(path) } else { rest.push(path) }
    }
    paths.early = paths.all.len();
    paths.all.append(&mut rest);
    Ok(paths)
}

/// Whether `/dev` is bound from elsewhere; then its nodes are none of this runtime's business.
pub fn dev_is_bound(spec: &Spec<'_>) -> bool {
    spec.mounts.iter().flatten().any(|mount| {
        clean(&format!("/{}", &*mount.destination)).as_deref() == Some("/dev")
            && (mount.kind.as_deref() == Some("bind")
                || mount.options.iter().flatten().any(|option| matches!(&**option, "bind" | "rbind")))
    })
}

/// `linux.rootfsPropagation`.
pub fn root_propagation(linux: &Linux<'_>) -> Result<u64> {
    match linux.rootfs_propagation.as_deref().unwrap_or_default() {
        "" | "private" | "rprivate" => Ok(0),
        "slave" | "rslave" => Ok(u64::from(raw::MS_SLAVE)),
        value @ ("shared" | "rshared" | "unbindable" | "runbindable") => {
            Err(Error::config("/linux/rootfsPropagation", format!("{value:?}: not implemented yet")))
        }
        value => Err(Error::config("/linux/rootfsPropagation", format!("unknown propagation {value:?}"))),
    }
}
