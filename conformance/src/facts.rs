//! What the machine can do, found out by looking, never configured.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use crate::cgroups::{Cgroups, Hierarchy};
use crate::error::Result;

/// The profile and the label that the suite asks for.
const PROFILE: &str = "acme_secure_profile";
const LABEL: &str = "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811";

/// A probe: why the fact does not hold.
type Probe = fn(&Machine<'_>) -> Option<String>;

/// Every fact but `v1:CONTROLLER` and `v2:CONTROLLER`.
const PROBES: [(&str, Probe); 14] = [
    ("cpu,cpuacct", |machine| absent(!machine.mounted("cpu,cpuacct"), "no hierarchy named cpu,cpuacct")),
    ("two-cpus", |_| {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        absent(count < 2, "the machine has one CPU only")
    }),
    ("two-interfaces", |_| {
        let count = fs::read_dir("/sys/class/net").into_iter().flatten().count();
        absent(count < 2, "the machine has one network interface only")
    }),
    ("user-namespaces", |_| {
        let most = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
        absent(most.trim().is_empty() || most.trim() == "0", "user namespaces are off")
    }),
    ("emulated-cpu", |_| {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let emulated = processors.lines().any(|line| {
            line.split_once(": ")
                .is_some_and(|(key, name)| key.trim_end() == "model name" && name.starts_with("QEMU TCG CPU"))
        });
        absent(!emulated, "the CPU is not an emulated one")
    }),
    ("full-capabilities", |_| missing_capability()),
    ("apparmor-profile", |_| {
        let profiles = fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap_or_default();
        let loaded = profiles.lines().any(|line| line.split(' ').next() == Some(PROFILE));
        absent(!loaded, &format!("no AppArmor, or no profile {PROFILE} in it"))
    }),
    ("selinux-label", |_| {
        let known = fs::write("/sys/fs/selinux/context", LABEL).is_ok();
        absent(!known, &format!("no SELinux, or no policy that knows {LABEL}"))
    }),
    ("no-apparmor", |_| {
        let there = fs::exists("/sys/module/apparmor").unwrap_or(true);
        absent(there, "the kernel has AppArmor")
    }),
    ("no-selinux", |_| absent(has_file_system("selinuxfs"), "the kernel has SELinux")),
    ("no-resctrl", |_| absent(has_file_system("resctrl"), "the kernel has resctrl")),
    ("veth", |_| {
        let mut command = Command::new("unshare");
        command.args(["--net", "ip", "link", "add", "type", "veth"]).stdout(Stdio::null());
        let made = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        absent(!made, "no pair of devices can be made: no ip (iproute2), unshare or veth")
    }),
    ("kmem-limit", |machine| {
        absent(!machine.keeps_kmem_limit(), "this kernel ignores memory.kmem.limit_in_bytes")
    }),
    ("blkio-weight", |machine| {
        let weights = ["blkio.weight", "blkio.leaf_weight", "blkio.weight_device"];
        let all =
            machine.probe("blkio").is_some_and(|path| weights.iter().all(|file| path.join(file).exists()));
        absent(!all, "this kernel has no blkio.weight and blkio.leaf_weight")
    }),
];

/// What probes look at.
struct Machine<'m> {
    hierarchies: &'m [Hierarchy],
    /// Cgroups to try things in.
    cgroups: Cgroups,
}

/// Facts by name; for those that do not hold, why. The controllers of v1, and those of v2.
pub struct Facts(BTreeMap<&'static str, Option<String>>, [Vec<String>; 2]);

impl Facts {
    /// Looks at the machine.
    pub fn probe(hierarchies: &[Hierarchy]) -> Result<Self> {
        let machine = Machine { hierarchies, cgroups: Cgroups::new(hierarchies, 0)? };
        let facts = PROBES.iter().map(|(name, probe)| (*name, probe(&machine))).collect();
        machine.cgroups.sweep()?;
        let old = hierarchies.iter().flat_map(|hierarchy| hierarchy.options.split(','));
        let old = old.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let unified = hierarchies.iter().filter(|hierarchy| hierarchy.options.is_empty());
        let list = |one: &Hierarchy| fs::read_to_string(one.own.join("cgroup.controllers"));
        let new = unified.flat_map(list).collect::<Vec<_>>().join(" ");
        Ok(Self(facts, [old, new.split_whitespace().map(str::to_owned).collect()]))
    }

    /// A machine with these facts and no others.
    #[cfg(test)]
    pub fn only(names: &[&'static str]) -> Self {
        Self(names.iter().map(|name| (*name, None)).collect(), Default::default())
    }

    /// Whether there is a fact of that name.
    pub fn knows(name: &str) -> bool {
        controller(name).is_some() || PROBES.iter().any(|(known, _)| *known == name)
    }

    /// Why a fact does not hold.
    pub fn lack(&self, name: &str) -> Option<String> {
        match controller(name) {
            Some((version, controller)) => {
                let [old, new] = &self.1;
                let there = if version == 1 { old } else { new };
                let there = there.iter().any(|there| there == controller);
                absent(!there, &format!("no cgroup v{version} hierarchy with {controller}"))
            }
            None => self.0.get(name).cloned().unwrap_or_else(|| Some(format!("{name} was not looked for"))),
        }
    }

    /// For the report: true, or the reason.
    pub fn json(&self) -> Value {
        let value = |lack: &Option<String>| lack.clone().map_or(Value::Bool(true), Value::String);
        let mut facts: Map<String, Value> =
            self.0.iter().map(|(name, lack)| ((*name).to_owned(), value(lack))).collect();
        let [old, new] = self.1.clone();
        facts.extend([("v1".into(), old.into()), ("v2".into(), new.into())]);
        Value::Object(facts)
    }
}

impl Machine<'_> {
    fn mounted(&self, name: &str) -> bool {
        self.hierarchies.iter().any(|hierarchy| hierarchy.name == name)
    }

    /// The cgroup to try a v1 controller in.
    fn probe(&self, controller: &str) -> Option<&Path> {
        let has = |hierarchy: &Hierarchy| hierarchy.options.split(',').any(|name| name == controller);
        self.cgroups.paths().get(self.hierarchies.iter().position(has)?).map(std::path::PathBuf::as_path)
    }

    fn keeps_kmem_limit(&self) -> bool {
        const LIMIT: &str = "67108864";
        let Some(file) = self.probe("memory").map(|path| path.join("memory.kmem.limit_in_bytes")) else {
            return false;
        };
        fs::write(&file, LIMIT).is_ok() && fs::read_to_string(&file).is_ok_and(|value| value.trim() == LIMIT)
    }
}

/// Version and name of a controller, where the fact is one.
fn controller(fact: &str) -> Option<(u8, &str)> {
    let of = |version, prefix| fact.strip_prefix(prefix).map(|name| (version, name));
    of(1, "v1:").or_else(|| of(2, "v2:"))
}

fn has_file_system(name: &str) -> bool {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    known.lines().any(|line| line.split('\t').nth(1) == Some(name))
}

fn absent(lacks: bool, reason: &str) -> Option<String> {
    lacks.then(|| reason.to_owned())
}

/// The first capability that the kernel knows and this process cannot give.
fn missing_capability() -> Option<String> {
    let bounding = caps::read(None, caps::CapSet::Bounding).unwrap_or_default();
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok()?.trim().parse::<u8>().ok()?;
    let mut all: Vec<caps::Capability> = caps::all().into_iter().filter(|one| one.index() <= last).collect();
    all.sort_by_key(caps::Capability::index);
    let missing = all.into_iter().find(|capability| !bounding.contains(capability))?;
    Some(format!("{missing} is missing from the bounding set"))
}
