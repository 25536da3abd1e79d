//! From [`Spec`] to [`Plan`]: everything that is decided about a container, as plain data. Pure:
//! nothing is opened or made here, so the plan can be printed, tested and compared.

mod cgroup;
mod devices;
mod mounts;
mod namespaces;
mod process;
mod sysctl;

use std::ffi::CStr;

use bumpalo::Bump;
use init_core::config::{Device, InitConfig, Layer, Link, Mount, Network, Process, Root, Setting};

use crate::error::{Error, Result};
use crate::spec::{Spec, Text, Unsupported};

pub use cgroup::{Cgroup, DEFAULT as DEFAULT_DEVICES, EVERY, Limit, MKNOD, READ, Rule, Scope, WRITE, base};
pub use mounts::OPTIONS as MOUNT_OPTIONS;
pub use namespaces::{Kind, Namespaces};
pub use process::without_groups;

/// Facts about the host that the plan depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Controllers of cgroup v1, by mount directory below /sys/fs/cgroup; `None` on cgroup v2.
    pub v1: Option<Vec<String>>,
}

/// A container, decided.
pub struct Plan<'a> {
    /// Version of the runtime-spec in config.json.
    pub oci_version: &'a str,
    /// Annotations, for the state.
    pub annotations: Vec<(&'a str, &'a str)>,
    /// Namespaces, new and joined, and id maps.
    pub namespaces: Namespaces<'a>,
    /// cgroup path and limits.
    pub cgroup: Cgroup,
    /// Path of the root file system as configured.
    pub rootfs: &'a str,
    /// Read-only root.
    pub readonly: bool,
    /// Propagation of the root mount.
    pub propagation: u64,
    /// Mounts, in order.
    pub mounts: Vec<Placed<'a>>,
    /// How many at the front do not depend on the network namespace.
    pub early_mounts: usize,
    /// Read-only paths.
    pub readonly_paths: Paths<'a>,
    /// Masked paths.
    pub masked_paths: Paths<'a>,
    /// Device nodes.
    pub devices: Vec<Device<'a>>,
    /// Links in /dev.
    pub links: Vec<Link<'a>>,
    /// Host name.
    pub hostname: &'a CStr,
    /// Domain name.
    pub domainname: &'a CStr,
    /// Kernel parameters.
    pub sysctl: Vec<Setting<'a>>,
    /// The process; `None`: the container can be created, not started.
    pub process: Option<Process<'a>>,
    /// What was granted less than asked for.
    pub warnings: Vec<String>,
}

/// A mount, with the place in config.json that asks for it.
pub type Placed<'a> = (Mount<'a>, String);

/// Paths in the order in which they are covered.
#[derive(Default)]
pub struct Paths<'a> {
    /// All of them.
    pub all: Vec<&'a CStr>,
    /// How many at the front need not wait for the late mounts.
    pub early: usize,
}

impl<'a> Paths<'a> {
    fn split(&self, pivot: bool) -> (&[&'a CStr], &[&'a CStr]) {
        // Before the switch the container's paths are not those that init sees.
        self.all.split_at(if pivot { 0 } else { self.early })
    }
}

/// What the launch adds to the plan: descriptors, and the way it goes.
pub struct Launch<'l> {
    /// pidfd of the harness.
    pub parent: i32,
    /// Shared page.
    pub page: i32,
    /// Stamp the phases.
    pub timing: bool,
    /// Name of the session keyring.
    pub keyring: &'l CStr,
    /// Tree of the root file system, or its path.
    pub root: (Option<i32>, &'l CStr),
    /// Leave the old root by `pivot_root`.
    pub pivot: bool,
    /// Join the harness's network namespace late.
    pub join_network: bool,
    /// The plan's mounts, with their trees.
    pub mounts: &'l [Mount<'l>],
}

impl<'a> Plan<'a> {
    /// Decides everything about a container.
    pub fn new(arena: &'a Bump, spec: &'a Spec<'a>, id: &str, facts: &Facts) -> Result<Self> {
        refuse_unsupported(spec)?;
        let oci_version = version(spec)?;
        let root = spec.root.as_ref().ok_or_else(|| Error::config("/root", "missing"))?;
        if root.path.is_empty() {
            return Err(Error::config("/root/path", "empty"));
        }
        text(arena, "/root/path", &root.path)?;
        let default = crate::spec::Linux::default();
        let linux = spec.linux.as_ref().unwrap_or(arena.alloc(default));
        let mut warnings = Vec::new();
        let namespaces = namespaces::plan(arena, linux)?;
        names(spec, &namespaces)?;
        let cgroup = Cgroup::new(linux, id, facts)?;
        let mounts = mounts::plan(arena, spec, &namespaces, &cgroup, facts, &mut warnings)?;
        let early_mounts = mounts::independent(&mounts);
        let late = mounts.get(early_mounts..).unwrap_or_default();
        let parameters = linux.sysctl.as_ref().is_some_and(|map| !map.0.is_empty());
        let bound = mounts::dev_is_bound(spec);
        let annotations = spec.annotations.iter().flat_map(|map| &map.0);
        Ok(Self {
            oci_version,
            annotations: annotations.map(|(key, value)| (&**key, &**value)).collect(),
            cgroup,
            rootfs: &root.path,
            readonly: root.readonly.unwrap_or(false),
            propagation: mounts::root_propagation(linux)?,
            readonly_paths: mounts::paths(
                arena,
                "/linux/readonlyPaths",
                linux.readonly_paths.as_deref(),
                late,
                parameters,
            )?,
            masked_paths: mounts::paths(
                arena,
                "/linux/maskedPaths",
                linux.masked_paths.as_deref(),
                late,
                parameters,
            )?,
            early_mounts,
            mounts,
            devices: devices::plan(arena, linux, &namespaces, bound)?,
            links: if bound { Vec::new() } else { devices::LINKS.to_vec() },
            hostname: text(arena, "/hostname", spec.hostname.as_deref().unwrap_or_default())?,
            domainname: text(arena, "/domainname", spec.domainname.as_deref().unwrap_or_default())?,
            sysctl: sysctl::plan(arena, linux, &namespaces)?,
            process: spec
                .process
                .as_ref()
                .map(|process| process::plan(arena, process, &namespaces, &mut warnings))
                .transpose()?,
            namespaces,
            warnings,
        })
    }

    /// Whether names or kernel parameters of a namespace are set.
    pub fn changes(&self, kind: Kind) -> bool {
        let names = kind == Kind::Uts && !(self.hostname.is_empty() && self.domainname.is_empty());
        names || self.sysctl.iter().any(|setting| sysctl::owner_of(setting.key) == Some(kind))
    }

    /// Whether a mount looks up paths of the host when it is made, as overlay does with its layers.
    pub fn needs_host_paths(&self) -> bool {
        const WITHOUT: [&CStr; 8] =
            [c"", c"proc", c"tmpfs", c"devpts", c"mqueue", c"sysfs", c"cgroup", c"cgroup2"];
        self.mounts.iter().any(|(mount, _)| !WITHOUT.contains(&mount.kind))
    }

    /// The configuration of init: the plan as it crosses the wire.
    pub fn config<'l>(&'l self, launch: &Launch<'l>) -> InitConfig<'l> {
        let mounts = launch.mounts.split_at(self.early_mounts.min(launch.mounts.len()));
        let readonly = self.readonly_paths.split(launch.pivot);
        let masked = self.masked_paths.split(launch.pivot);
        InitConfig {
            parent: launch.parent,
            page: launch.page,
            timing: launch.timing,
            keyring: launch.keyring,
            root: Root {
                tree: launch.root.0,
                path: launch.root.1,
                pivot: launch.pivot,
                propagation: self.propagation,
                readonly: self.readonly,
            },
            network: Network { join: launch.join_network, loopback: self.namespaces.is_new(Kind::Network) },
            early: Layer { mounts: mounts.0, readonly_paths: readonly.0, masked_paths: masked.0 },
            late: Layer { mounts: mounts.1, readonly_paths: readonly.1, masked_paths: masked.1 },
            devices: &self.devices,
            links: &self.links,
            hostname: self.hostname,
            domainname: self.domainname,
            sysctl: &self.sysctl,
            process: self.process.unwrap_or_default(),
        }
    }
}

/// A string for the kernel: NUL-terminated, and with no NUL inside.
pub(crate) fn text<'a>(arena: &'a Bump, pointer: &str, value: &str) -> Result<&'a CStr> {
    if value.is_empty() {
        return Ok(c"");
    }
    c_string(arena, value.as_bytes()).ok_or_else(|| Error::config(pointer, "contains a NUL"))
}

/// A NUL-terminated copy; `None` if there is a NUL inside.
pub(crate) fn c_string<'a>(arena: &'a Bump, bytes: &[u8]) -> Option<&'a CStr> {
    let copy = arena.alloc_slice_fill_copy(bytes.len() + 1, 0);
    if let Some(head) = copy.get_mut(..bytes.len()) {
        head.copy_from_slice(bytes);
    }
    CStr::from_bytes_with_nul(copy).ok()
}

/// The strings of a list, each with its own place.
pub(crate) fn texts<'a>(arena: &'a Bump, pointer: &str, list: &[Text<'_>]) -> Result<&'a [&'a CStr]> {
    let mut texts = bumpalo::collections::Vec::with_capacity_in(list.len(), arena);
    for (index, value) in list.iter().enumerate() {
        match text(arena, "", value) {
            Ok(text) => texts.push(text),
            Err(_) => return Err(Error::config(format!("{pointer}/{index}"), "contains a NUL")),
        }
    }
    Ok(texts.into_bump_slice())
}

fn version<'a>(spec: &'a Spec<'a>) -> Result<&'a str> {
    let version = spec.oci_version.as_deref().ok_or_else(|| Error::config("/ociVersion", "missing"))?;
    let mut parts = version.split(['-', '+']).next().unwrap_or_default().split('.');
    let numbers: Vec<u32> = parts.by_ref().map_while(|part| part.parse().ok()).collect();
    match numbers[..] {
        [1, _, _] => Ok(version),
        [_, _, _] => Err(Error::config("/ociVersion", format!("{version:?}: only version 1 is supported"))),
        _ => Err(Error::config("/ociVersion", format!("{version:?} is not a version"))),
    }
}

/// Names belong to the UTS namespace: without a new one they would be the host's.
fn names(spec: &Spec<'_>, namespaces: &Namespaces<'_>) -> Result<()> {
    for (pointer, name) in [("/hostname", &spec.hostname), ("/domainname", &spec.domainname)] {
        let Some(name) = name.as_deref().filter(|name| !name.is_empty()) else { continue };
        if !namespaces.has(Kind::Uts) {
            return Err(Error::config(pointer, "needs a uts namespace"));
        }
        if name.len() > 64 {
            return Err(Error::config(pointer, "longer than 64 bytes"));
        }
    }
    Ok(())
}

/// Fields of the specification that are not implemented yet are refused, never ignored.
fn refuse_unsupported(spec: &Spec<'_>) -> Result<()> {
    let refuse = |pointer: &str, field: Unsupported| {
        if field.0 { Err(Error::config(pointer, "not implemented yet")) } else { Ok(()) }
    };
    refuse("/hooks", spec.hooks)?;
    if let Some(process) = &spec.process {
        refuse("/process/terminal", process.terminal)?;
        refuse("/process/apparmorProfile", process.apparmor_profile)?;
        refuse("/process/scheduler", process.scheduler)?;
        refuse("/process/selinuxLabel", process.selinux_label)?;
        refuse("/process/ioPriority", process.io_priority)?;
        refuse("/process/execCPUAffinity", process.exec_cpu_affinity)?;
    }
    for (index, mount) in spec.mounts.iter().flatten().enumerate() {
        refuse(&format!("/mounts/{index}/uidMappings"), mount.uid_mappings)?;
        refuse(&format!("/mounts/{index}/gidMappings"), mount.gid_mappings)?;
    }
    let Some(linux) = &spec.linux else { return Ok(()) };
    refuse("/linux/netDevices", linux.net_devices)?;
    refuse("/linux/seccomp", linux.seccomp)?;
    refuse("/linux/mountLabel", linux.mount_label)?;
    refuse("/linux/intelRdt", linux.intel_rdt)?;
    refuse("/linux/memoryPolicy", linux.memory_policy)?;
    refuse("/linux/personality", linux.personality)?;
    refuse("/linux/timeOffsets", linux.time_offsets)?;
    let Some(resources) = &linux.resources else { return Ok(()) };
    refuse("/linux/resources/blockIO", resources.block_io)?;
    refuse("/linux/resources/hugepageLimits", resources.hugepage_limits)?;
    refuse("/linux/resources/network", resources.network)?;
    refuse("/linux/resources/rdma", resources.rdma)?;
    refuse("/linux/resources/unified", resources.unified)?;
    if let Some(memory) = &resources.memory {
        refuse("/linux/resources/memory/kernel", memory.kernel)?;
        refuse("/linux/resources/memory/kernelTCP", memory.kernel_tcp)?;
        refuse("/linux/resources/memory/useHierarchy", Unsupported(memory.use_hierarchy == Some(false)))?;
        refuse("/linux/resources/memory/checkBeforeUpdate", memory.check_before_update)?;
    }
    if let Some(cpu) = &resources.cpu {
        refuse("/linux/resources/cpu/burst", cpu.burst)?;
        refuse("/linux/resources/cpu/realtimeRuntime", cpu.realtime_runtime)?;
        refuse("/linux/resources/cpu/realtimePeriod", cpu.realtime_period)?;
        refuse("/linux/resources/cpu/idle", cpu.idle)?;
    }
    Ok(())
}
