//! From [`Spec`] to [`Plan`]: everything that is decided about a container, as plain data. Pure:
//! nothing is opened or made here, so the plan can be printed, tested and compared.

mod cgroup;
mod devices;
mod domains;
mod explain;
mod hooks;
mod mounts;
mod namespaces;
mod network;
mod paths;
mod place;
mod process;
mod rdt;
mod schedule;
mod sysctl;

use std::ffi::CStr;
use std::fmt;
use std::rc::Rc;

use bumpalo::Bump;
use init_core::config::{
    self, Device, InitConfig, Layer, Link, MemoryPolicy, Mount, Root, Setting, Terminal, switch,
};

use crate::error::{Error, Result};
use crate::seccomp::{Arch, Filter, Ready};
use crate::spec::{self, Hooks, Spec, Text};

pub use cgroup::{
    Cgroup, DEFAULT as DEFAULT_DEVICES, EVERY, Limit, MKNOD, Missing, READ, Rule, Scope, WRITE, base,
    plan_limits, policy,
};
pub use domains::{MODE_FLAGS, MODES, list as cpu_list};
pub use explain::{Step, steps};
pub use mounts::{Idmap, OPTIONS as MOUNT_OPTIONS, Placed};
pub use namespaces::{Kind, Namespaces};
pub use network::{ANNOTATION as NETWORK_ANNOTATION, Address, Device as NetworkDevice, Network};
pub use paths::Paths;
pub use place::Place;
pub use process::{Extra, Planned, plan as plan_process, without_groups};
pub use rdt::Rdt;
pub use schedule::{Schedule, Scheduler};

/// Facts about the host that the plan depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Controllers of cgroup v1, by mount directory below /sys/fs/cgroup; `None` on cgroup v2.
    pub v1: Option<Vec<String>>,
    /// Whether root is an ordinary user outside of the runtime's own user namespace.
    pub mapped: bool,
    /// The seccomp filter, if the same profile was compiled before.
    pub filter: Option<Rc<[u8]>>,
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
    pub process: Option<Planned<'a>>,
    /// Execution domain of all its processes, plus 1; 0: leave.
    pub personality: u64,
    /// Memory policy of all its processes.
    pub memory_policy: MemoryPolicy,
    /// Seccomp filter.
    pub filter: Option<Ready>,
    /// Hooks.
    pub hooks: Hooks,
    /// What is configured in the network namespace.
    pub network: Network,
    /// Intel RDT.
    pub rdt: Option<Rdt>,
    /// `SELinux` label of files, already in the mounts.
    pub mount_label: &'a str,
    /// What the command line adds.
    pub wishes: Wishes,
    /// What was granted less than asked for.
    pub warnings: Vec<String>,
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
    /// How to leave the old root.
    pub switch: u32,
    /// procRun is sent ahead.
    pub ahead: bool,
    /// Join the harness's network namespace late.
    pub join_network: bool,
    /// Namespaces that init enters itself.
    pub namespaces: config::Namespaces<'l>,
    /// The plan's mounts, with their trees.
    pub mounts: &'l [Mount<'l>],
}

/// What the command line adds to config.json.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes {
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Do not use pivot_root(2).
    pub no_pivot: bool,
    /// Descriptors.
    pub extra: Extra,
    /// The caller is a service manager that waits to be notified (sd_notify(3)).
    pub notify: bool,
}

impl<'a> Plan<'a> {
    /// Decides everything about a container.
    pub fn new(arena: &'a Bump, spec: &'a Spec<'a>, id: &str, facts: &Facts, wishes: Wishes) -> Result<Self> {
        let oci_version = version(spec)?;
        let root = spec.root.as_ref().ok_or_else(|| Error::config("/root", "missing"))?;
        if root.path.is_empty() {
            return Err(Error::config("/root/path", "empty"));
        }
        text(arena, "/root/path", &root.path)?;
        let default = crate::spec::Linux::default();
        let linux = spec.linux.as_deref().unwrap_or(arena.alloc(default));
        let mut warnings = Vec::new();
        let namespaces = namespaces::plan(arena, linux)?;
        names(spec, linux, &namespaces)?;
        let cgroup = Cgroup::new(linux, id, facts)?;
        let mut mounts = mounts::plan(arena, spec, &namespaces, &cgroup, facts, &mut warnings)?;
        if wishes.notify {
            mounts.push(mounts::notify_socket());
        }
        mounts::order(arena, namespaces.is_new(Kind::Mount), &mut mounts);
        let early_mounts = mounts::independent(&mounts);
        let late = mounts.get(early_mounts..).unwrap_or_default();
        let parameters = linux.sysctl.as_ref().is_some_and(|map| !map.0.is_empty());
        let bound = mounts::dev_is_bound(&mounts);
        let process = spec.process.as_ref().map(|process| {
            let maps = (&namespaces.uid_map[..], &namespaces.gid_map[..]);
            process::plan(arena, process, maps.0, maps.1, wishes.extra, &mut warnings)
        });
        let process = process.transpose()?;
        let annotations = spec.annotations.iter().flat_map(|map| &map.0);
        Ok(Self {
            oci_version,
            annotations: annotations.map(|(key, value)| (&**key, &**value)).collect(),
            cgroup,
            rootfs: &root.path,
            readonly: root.readonly.unwrap_or(false),
            propagation: mounts::root_propagation(linux)?,
            readonly_paths: paths::plan(
                arena,
                "/linux/readonlyPaths",
                linux.readonly_paths.as_deref(),
                late,
                parameters,
            )?,
            masked_paths: paths::plan(
                arena,
                "/linux/maskedPaths",
                linux.masked_paths.as_deref(),
                late,
                parameters,
            )?,
            early_mounts,
            mounts,
            devices: devices::plan(arena, linux, namespaces.has(Kind::User) || facts.mapped, bound)?,
            links: if bound { Vec::new() } else { devices::LINKS.to_vec() },
            hostname: text(arena, "/hostname", spec.hostname.as_deref().unwrap_or_default())?,
            domainname: text(arena, "/domainname", spec.domainname.as_deref().unwrap_or_default())?,
            sysctl: sysctl::plan(arena, linux, &namespaces)?,
            personality: domains::personality(linux)?,
            memory_policy: domains::memory_policy(linux)?,
            filter: filter(linux, facts, process.as_ref(), &mut warnings)?,
            hooks: hooks::plan(spec)?,
            network: network::plan(spec, &namespaces)?,
            rdt: rdt::plan(linux, id)?,
            mount_label: linux.mount_label.as_deref().unwrap_or_default(),
            wishes,
            process,
            namespaces,
            warnings,
        })
    }

    /// What outlives `create` of a process, as JSON that init reads: domains for all processes of
    /// the container, and with `startContainer` hooks who these are to be. Empty for nothing.
    pub fn lasting(&self) -> String {
        let Some(planned) = &self.process else { return String::new() };
        let domains = init_core::config::Process {
            personality: self.personality,
            memory_policy: self.memory_policy,
            ..Default::default()
        };
        let start = self.hooks.start_container.as_deref().unwrap_or_default();
        let process = if start.is_empty() {
            domains
        } else {
            init_core::config::Process {
                personality: self.personality,
                memory_policy: self.memory_policy,
                ..planned.process
            }
        };
        if process == init_core::config::Process::default() { String::new() } else { wire_text(&process) }
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
        self.mounts.iter().any(|placed| !WITHOUT.contains(&placed.mount.kind))
    }

    /// The configuration of init: the plan as it crosses the wire.
    pub fn config<'l>(&'l self, launch: &Launch<'l>) -> InitConfig<'l> {
        let mounts = launch.mounts.split_at(self.early_mounts.min(launch.mounts.len()));
        let stacked = launch.switch == switch::STACK;
        let readonly = self.readonly_paths.split(stacked);
        let masked = self.masked_paths.split(stacked);
        let planned = self.process.as_ref();
        let mut process = planned.map(|planned| planned.process).unwrap_or_default();
        process.personality = self.personality;
        process.memory_policy = self.memory_policy;
        let own_console = self.namespaces.has(Kind::Mount);
        let terminal = planned.map(|planned| planned.terminal).unwrap_or_default();
        InitConfig {
            parent: launch.parent,
            page: launch.page,
            timing: launch.timing,
            filter: self.filter.is_some(),
            netlink: !self.network.is_empty(),
            namespaces: launch.namespaces,
            keyring: if self.wishes.no_new_keyring { c"" } else { launch.keyring },
            terminal: Terminal { console: terminal.console && own_console, ..terminal },
            labels: planned.map(|planned| planned.labels).unwrap_or_default(),
            ahead: launch.ahead,
            hooks: self.hooks.at_create(),
            root: Root {
                tree: launch.root.0,
                path: launch.root.1,
                switch: launch.switch,
                propagation: self.propagation,
                readonly: self.readonly,
            },
            network: config::Network {
                wait: launch.join_network || !self.network.devices.is_empty(),
                join: launch.join_network,
                loopback: self.namespaces.is_new(Kind::Network) && !launch.join_network,
            },
            early: Layer { mounts: mounts.0, readonly_paths: readonly.0, masked_paths: masked.0 },
            late: Layer { mounts: mounts.1, readonly_paths: readonly.1, masked_paths: masked.1 },
            devices: &self.devices,
            links: &self.links,
            hostname: self.hostname,
            domainname: self.domainname,
            sysctl: &self.sysctl,
            process,
        }
    }
}

/// The seccomp filter, proved to let the process be started.
fn filter(
    linux: &crate::spec::Linux<'_>,
    facts: &Facts,
    process: Option<&Planned<'_>>,
    warnings: &mut Vec<String>,
) -> Result<Option<Ready>> {
    const POINTER: &str = "/linux/seccomp";
    let Some(profile) = &linux.seccomp else { return Ok(None) };
    if let Some(kept) = &facts.filter {
        return Ok(Some(Ready::Kept(Rc::clone(kept))));
    }
    let filter = Filter::new(profile, Arch::native(), POINTER)?;
    filter.preflight(process.is_none_or(|planned| planned.process.no_new_privs), POINTER)?;
    warnings.extend(filter.warnings.iter().map(|warning| format!("config.json: {warning}")));
    Ok(Some(Ready::Compiled(filter)))
}

/// A sink that grows.
#[derive(Default)]
pub struct WireBuffer(pub Vec<u8>);

impl init_core::wire::Sink for WireBuffer {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// A value as it crosses the wire.
fn wire_text(value: &impl init_core::wire::Value) -> String {
    let mut text = WireBuffer::default();
    value.write(&mut text);
    String::from_utf8(text.0).unwrap_or_default()
}

/// A string for the kernel: NUL-terminated, and with no NUL inside.
pub(crate) fn text<'a>(arena: &'a Bump, pointer: impl fmt::Display, value: &str) -> Result<&'a CStr> {
    if value.is_empty() {
        return Ok(c"");
    }
    c_string(arena, value.as_bytes()).ok_or_else(|| Error::config(pointer.to_string(), "contains a NUL"))
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
        texts.push(text(arena, format_args!("{pointer}/{index}"), value)?);
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
fn names(spec: &Spec<'_>, linux: &spec::Linux<'_>, namespaces: &Namespaces<'_>) -> Result<()> {
    let sysctl = |pointer: &str| {
        let mut keys = linux.sysctl.iter().flat_map(|map| &map.0).map(|(key, _)| key);
        keys.find(|key| sysctl::is(key, &["kernel", pointer.trim_start_matches('/')]))
    };
    for (pointer, name) in [("/hostname", &spec.hostname), ("/domainname", &spec.domainname)] {
        let Some(name) = name.as_deref().filter(|name| !name.is_empty()) else { continue };
        if !namespaces.has(Kind::Uts) {
            return Err(Error::config(pointer, "needs a uts namespace"));
        }
        if name.len() > 64 {
            return Err(Error::config(pointer, "longer than 64 bytes"));
        }
        if let Some(key) = sysctl(pointer) {
            let place = format!("/linux/sysctl/{}", spec::escape(key));
            return Err(Error::config(place, format!("{pointer} sets it, too")));
        }
    }
    Ok(())
}
