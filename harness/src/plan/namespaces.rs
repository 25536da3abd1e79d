//! Namespaces and id maps.

use std::ffi::CStr;

use bumpalo::Bump;

use super::{Place, text};
use crate::error::{Error, Result};
use crate::spec::{IdMapping, Linux, escape};

/// The kinds of namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `user_namespaces(7)`.
    User,
    /// `mount_namespaces(7)`.
    Mount,
    /// `pid_namespaces(7)`.
    Pid,
    /// `network_namespaces(7)`.
    Network,
    /// `ipc_namespaces(7)`.
    Ipc,
    /// `uts_namespaces(7)`.
    Uts,
    /// `cgroup_namespaces(7)`.
    Cgroup,
    /// `time_namespaces(7)`.
    Time,
}

impl Kind {
    /// Every kind, in the order in which namespaces are joined.
    pub const ALL: [Self; 8] =
        [Self::User, Self::Mount, Self::Pid, Self::Network, Self::Ipc, Self::Uts, Self::Cgroup, Self::Time];

    /// The name in config.json.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Mount => "mount",
            Self::Pid => "pid",
            Self::Network => "network",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// The flag of clone(2).
    pub const fn flag(self) -> u32 {
        use linux_raw_sys::general as raw;
        match self {
            Self::User => raw::CLONE_NEWUSER,
            Self::Mount => raw::CLONE_NEWNS,
            Self::Pid => raw::CLONE_NEWPID,
            Self::Network => raw::CLONE_NEWNET,
            Self::Ipc => raw::CLONE_NEWIPC,
            Self::Uts => raw::CLONE_NEWUTS,
            Self::Cgroup => raw::CLONE_NEWCGROUP,
            Self::Time => raw::CLONE_NEWTIME,
        }
    }
}

/// A namespace of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace<'a> {
    /// Kind.
    pub kind: Kind,
    /// File of an existing one to join; `None`: a new one.
    pub path: Option<&'a CStr>,
    /// Where config.json asks for it.
    pub place: Place,
}

/// All namespaces of the container.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Namespaces<'a> {
    list: Vec<Namespace<'a>>,
    /// Map of user ids; of a user namespace to join, what it is to be.
    pub uid_map: Vec<IdMapping>,
    /// Map of group ids.
    pub gid_map: Vec<IdMapping>,
    /// Lines of /proc/PID/timens_offsets.
    pub offsets: String,
}

impl<'a> Namespaces<'a> {
    /// Whether the container does not share the host's.
    pub fn has(&self, kind: Kind) -> bool {
        self.list.iter().any(|namespace| namespace.kind == kind)
    }

    /// Whether the container gets a new one.
    pub fn is_new(&self, kind: Kind) -> bool {
        self.list.iter().any(|namespace| namespace.kind == kind && namespace.path.is_none())
    }

    /// Those to join.
    pub fn joined(&self) -> impl Iterator<Item = &Namespace<'a>> {
        self.list.iter().filter(|namespace| namespace.path.is_some())
    }

    /// The clone(2) flags of the new ones.
    pub fn new_flags(&self) -> u32 {
        self.list.iter().filter(|namespace| namespace.path.is_none()).map(|one| one.kind.flag()).sum()
    }

    /// The clone(2) flags of all, new and joined.
    pub fn flags(&self) -> u32 {
        self.list.iter().map(|one| one.kind.flag()).sum()
    }

    /// Whether one is joined.
    pub fn is_joined(&self, kind: Kind) -> bool {
        self.has(kind) && !self.is_new(kind)
    }
}

/// Plans the namespaces.
pub fn plan<'a>(arena: &'a Bump, linux: &Linux<'_>) -> Result<Namespaces<'a>> {
    let mut plan = Namespaces::default();
    for (index, namespace) in linux.namespaces.iter().flatten().enumerate() {
        let place = Place::element("/linux/namespaces", index);
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == &*namespace.kind).ok_or_else(|| {
            Error::config(format!("{place}/type"), format!("unknown namespace {:?}", &*namespace.kind))
        })?;
        if plan.has(kind) {
            return Err(Error::config(format!("{place}/type"), format!("{} is there twice", kind.name())));
        }
        let path = namespace.path.as_deref().filter(|path| !path.is_empty());
        if path.is_some_and(|path| !path.starts_with('/')) {
            return Err(Error::config(format!("{place}/path"), "must be absolute"));
        }
        let path = path.map(|path| text(arena, format_args!("{place}/path"), path)).transpose()?;
        plan.list.push(Namespace { kind, path, place });
    }
    if !plan.has(Kind::Mount) {
        for (pointer, paths) in
            [("/linux/maskedPaths", &linux.masked_paths), ("/linux/readonlyPaths", &linux.readonly_paths)]
        {
            if paths.as_deref().is_some_and(|paths| !paths.is_empty()) {
                return Err(Error::config(pointer, "needs a mount namespace"));
            }
        }
    }
    plan.uid_map = map(linux.uid_mappings.as_deref(), "/linux/uidMappings", &plan)?;
    plan.gid_map = map(linux.gid_mappings.as_deref(), "/linux/gidMappings", &plan)?;
    plan.offsets = offsets(linux, &plan)?;
    Ok(plan)
}

/// Offsets of the clocks of a new time namespace (time_namespaces(7)).
fn offsets(linux: &Linux<'_>, plan: &Namespaces<'_>) -> Result<String> {
    let mut text = String::new();
    for (clock, offset) in linux.time_offsets.iter().flat_map(|map| &map.0) {
        let pointer = format!("/linux/timeOffsets/{}", escape(clock));
        if !plan.is_new(Kind::Time) {
            return Err(Error::config(pointer, "needs a new time namespace"));
        }
        if !matches!(&**clock, "monotonic" | "boottime") {
            return Err(Error::config(pointer, "only monotonic and boottime can be set"));
        }
        if offset.nanosecs >= 1_000_000_000 {
            return Err(Error::config(format!("{pointer}/nanosecs"), "must be less than a second"));
        }
        text += &format!("{} {} {}\n", &**clock, offset.secs, offset.nanosecs);
    }
    Ok(text)
}

fn map(mappings: Option<&[IdMapping]>, pointer: &str, plan: &Namespaces<'_>) -> Result<Vec<IdMapping>> {
    let mappings = mappings.unwrap_or_default();
    if !plan.has(Kind::User) && !mappings.is_empty() {
        return Err(Error::config(pointer, "needs a user namespace"));
    }
    if !plan.is_new(Kind::User) && mappings.is_empty() {
        return Ok(Vec::new());
    }
    if mappings.is_empty() {
        return Err(Error::config(pointer, "a new user namespace needs a mapping"));
    }
    check_map(mappings, pointer)?;
    if mappings.iter().any(|one| one.container_id == 0) {
        Ok(mappings.to_vec())
    } else {
        Err(Error::config(pointer, "id 0 of the container is not mapped"))
    }
}

/// Zero sizes, overflows and overlaps, which the kernel would answer with EINVAL alone.
pub fn check_map(mappings: &[IdMapping], pointer: &str) -> Result<()> {
    for (index, one) in mappings.iter().enumerate() {
        let wrong = |reason: &str| Err(Error::config(format!("{pointer}/{index}"), reason));
        // 4294967295 is no id, so the last one that can be mapped is one less.
        let end = |first: u32| first.checked_add(one.size).filter(|end| *end < u32::MAX);
        if one.size == 0 {
            return wrong("size is 0");
        }
        if end(one.container_id).is_none() || end(one.host_id).is_none() {
            return wrong("exceeds the range of ids");
        }
        let overlap = |a: u32, b: u32, size: u32| {
            u64::from(a) < u64::from(b) + u64::from(size) && u64::from(b) < u64::from(a) + u64::from(one.size)
        };
        let earlier = mappings.iter().take(index);
        if earlier.into_iter().any(|other| {
            overlap(one.container_id, other.container_id, other.size)
                || overlap(one.host_id, other.host_id, other.size)
        }) {
            return wrong("overlaps an earlier mapping");
        }
    }
    Ok(())
}
