//! What init will do, step by step and in order, each with the place in config.json that causes it.
//! Made from the configuration that init would get, so it cannot tell of another plan.

use std::borrow::Cow;
use std::ffi::CStr;

use init_core::config::{ASKED, InitConfig, Mount, switch};
use init_core::failure::Phase;
use serde::Serialize;

use super::{Kind, Paths, Plan};
use crate::error::lossy;
use crate::spec::Spec;

/// One step of init.
#[derive(Debug, Serialize)]
pub struct Step {
    /// Its phase, by the name it has in errors.
    pub phase: &'static str,
    /// The system call that matters.
    pub op: &'static str,
    /// With what.
    pub what: String,
    /// JSON pointer into config.json; none for what every container has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Cow<'static, str>>,
}

/// The steps of `config`, which was made from `plan`.
pub fn steps(spec: &Spec<'_>, plan: &Plan<'_>, config: &InitConfig<'_>) -> Vec<Step> {
    let mut list = List { spec, plan, config, steps: Vec::new() };
    list.namespaces();
    list.always(Phase::Parent, "prctl", "PR_SET_PDEATHSIG SIGKILL");
    if !config.keyring.is_empty() {
        list.always(Phase::Keyring, "keyctl", format!("join session keyring {}", lossy(config.keyring)));
    }
    list.always(Phase::Console, "setsid", "");
    list.root();
    let early = config.early.mounts.len();
    list.mounts(config.early.mounts, 0);
    if early > 0 {
        list.fill_dev();
    }
    list.paths(false);
    let bounding = format!("bounding set {:#x}", config.process.capabilities.bounding);
    list.add(Phase::Finalize, "prctl", bounding, "/process/capabilities/bounding");
    list.network();
    list.mounts(config.late.mounts, early);
    if early == 0 {
        list.fill_dev();
    }
    if config.hooks {
        list.add(Phase::Hooks, "recvmsg", "wait for the hooks of create", "/hooks");
    }
    list.pivot();
    list.names();
    list.paths(true);
    list.process();
    list.identity();
    list.gate();
    list.steps
}

struct List<'l> {
    spec: &'l Spec<'l>,
    plan: &'l Plan<'l>,
    config: &'l InitConfig<'l>,
    steps: Vec<Step>,
}

impl List<'_> {
    fn push(&mut self, phase: Phase, op: &'static str, what: String, pointer: Option<Cow<'static, str>>) {
        self.steps.push(Step { phase: phase.name(), op, what, pointer });
    }

    fn add(
        &mut self,
        phase: Phase,
        op: &'static str,
        what: impl Into<String>,
        pointer: impl Into<Cow<'static, str>>,
    ) {
        self.push(phase, op, what.into(), Some(pointer.into()));
    }

    fn always(&mut self, phase: Phase, op: &'static str, what: impl Into<String>) {
        self.push(phase, op, what.into(), None);
    }

    fn namespaces(&mut self) {
        let names = |flags: u64| {
            let kinds = Kind::ALL.iter().filter(|kind| u64::from(kind.flag()) & flags != 0);
            kinds.map(|kind| kind.name()).collect::<Vec<_>>().join(" ")
        };
        let namespaces = &self.config.namespaces;
        for join in namespaces.join {
            self.add(Phase::Namespaces, "setns", names(join.kind), "/linux/namespaces");
        }
        if namespaces.unshare != 0 {
            self.add(Phase::Namespaces, "unshare", names(namespaces.unshare), "/linux/namespaces");
        }
        if namespaces.spawn {
            self.add(Phase::Namespaces, "clone3", "go on in a child", "/linux/namespaces");
        }
    }

    fn root(&mut self) {
        self.always(Phase::Rootfs, "fsopen", "proc");
        self.add(Phase::Rootfs, "move_mount", lossy(self.config.root.path), "/root/path");
    }

    fn mounts(&mut self, mounts: &[Mount<'_>], first: usize) {
        // The first procfs is the one that init has made for itself.
        let mut procfs = first == 0 || !self.config.early.mounts.iter().any(is_proc);
        // Only inside of its root init makes them so.
        let inside = self.config.root.switch == switch::STACK;
        for (mount, placed) in mounts.iter().zip(self.plan.mounts.iter().skip(first)) {
            let target = lossy(mount.target);
            let (op, what) = if is_proc(mount) && std::mem::take(&mut procfs) {
                ("move_mount", format!("proc on {target}"))
            } else if mount.kind.is_empty() {
                let asked = if mount.tree == Some(ASKED) { ", made when its turn comes" } else { "" };
                ("move_mount", format!("{} on {target}{asked}", lossy(mount.source)))
            } else {
                let op = if inside && !mount.plain.is_empty() { "mount" } else { "fsopen" };
                (op, format!("{} on {target}", lossy(mount.kind)))
            };
            self.add(Phase::Mounts, op, what, placed.place.to_string());
        }
    }

    fn fill_dev(&mut self) {
        let configured = self.spec.linux.iter().flat_map(|linux| linux.devices.iter().flatten());
        let paths: Vec<_> = configured.map(|one| super::paths::clean(&one.path)).collect();
        for device in self.config.devices {
            let path = lossy(device.path);
            let place = paths.iter().rposition(|other| other.as_deref() == Some(path.as_str()));
            let pointer = place.map(|index| format!("/linux/devices/{index}").into());
            let op = if device.source.is_empty() { "mknodat" } else { "move_mount" };
            self.push(Phase::Devices, op, path, pointer);
        }
        for link in self.config.links {
            let what = format!("{} -> {}", lossy(link.path), lossy(link.target));
            self.always(Phase::Links, "symlinkat", what);
        }
        if self.config.terminal.open {
            self.add(Phase::Console, "sendmsg", "the terminal's master", "/process/terminal");
        }
    }

    /// The paths of one layer: read-only, then masked.
    fn paths(&mut self, late: bool) {
        let layer = if late { &self.config.late } else { &self.config.early };
        let plan = self.plan;
        let kinds = [
            (Phase::ReadonlyPaths, "mount_setattr", layer.readonly_paths, &plan.readonly_paths, "readonly"),
            (Phase::MaskedPaths, "move_mount", layer.masked_paths, &plan.masked_paths, "masked"),
        ];
        for (phase, op, paths, all, name) in kinds {
            for path in paths {
                self.add(phase, op, lossy(path), format!("/linux/{name}Paths/{}", index(all, path)));
            }
        }
    }

    fn network(&mut self) {
        if self.config.network.join {
            self.add(Phase::Network, "setns", "network", "/linux/namespaces");
        }
        if self.config.network.loopback {
            self.always(Phase::Network, "ioctl", "lo up");
        }
        if self.config.netlink {
            self.add(Phase::Network, "sendto", "addresses and routes", "/annotations");
        }
    }

    fn pivot(&mut self) {
        let (op, what) = match self.config.root.switch {
            switch::PIVOT => ("pivot_root", "."),
            switch::MOVE => ("move_mount", "over /"),
            switch::CHROOT => ("chroot", "."),
            _ => return,
        };
        self.add(Phase::Pivot, op, what, "/root/path");
    }

    fn names(&mut self) {
        let config = self.config;
        for (op, name, pointer) in [
            ("sethostname", config.hostname, "/hostname"),
            ("setdomainname", config.domainname, "/domainname"),
        ] {
            if !name.is_empty() {
                self.add(Phase::Identity, op, lossy(name), pointer);
            }
        }
        let labels = [
            (Phase::AppArmor, config.labels.apparmor, "/process/apparmorProfile"),
            (Phase::Label, config.labels.selinux, "/process/selinuxLabel"),
        ];
        for (phase, label, pointer) in labels.into_iter().filter(|(_, label, _)| !label.is_empty()) {
            self.add(phase, "write", lossy(label), pointer);
        }
        for setting in config.sysctl {
            let what = format!("{} = {}", lossy(setting.key), lossy(setting.value));
            self.add(Phase::Sysctl, "write", what, format!("/linux/sysctl/{}", dotted(setting.key)));
        }
    }

    fn process(&mut self) {
        let process = &self.config.process;
        if let Some(score) = process.oom_score_adj {
            self.add(Phase::Process, "write", format!("oom_score_adj {score}"), "/process/oomScoreAdj");
        }
        if process.personality != 0 {
            self.add(
                Phase::Process,
                "personality",
                format!("{:#x}", process.personality - 1),
                "/linux/personality",
            );
        }
        if process.memory_policy.set {
            self.add(Phase::Process, "set_mempolicy", "", "/linux/memoryPolicy");
        }
        if process.no_new_privs {
            self.add(Phase::Process, "prctl", "PR_SET_NO_NEW_PRIVS", "/process/noNewPrivileges");
        }
        self.always(Phase::Ready, "recvmsg", "procReady, and wait for procRun");
    }

    fn identity(&mut self) {
        let process = &self.config.process;
        self.add(Phase::Finalize, "chdir", lossy(process.cwd), "/process/cwd");
        for (mount, placed) in
            self.config.early.mounts.iter().chain(self.config.late.mounts).zip(&self.plan.mounts)
        {
            if mount.seal {
                let pointer = placed.place.to_string();
                self.add(Phase::Readonly, "mount_setattr", format!("{} ro", lossy(mount.target)), pointer);
            }
        }
        if self.config.root.readonly {
            self.add(Phase::Readonly, "mount_setattr", "/ ro", "/root/readonly");
        }
        let sets = &process.capabilities;
        if !process.keep_groups {
            self.add(
                Phase::Finalize,
                "setgroups",
                format!("{:?}", process.groups),
                "/process/user/additionalGids",
            );
        }
        self.add(Phase::Finalize, "setresgid", process.gid.to_string(), "/process/user/gid");
        self.add(Phase::Finalize, "setresuid", process.uid.to_string(), "/process/user/uid");
        let what = format!(
            "effective {:#x}, permitted {:#x}, inheritable {:#x}",
            sets.effective, sets.permitted, sets.inheritable
        );
        self.add(Phase::Finalize, "capset", what, "/process/capabilities");
        let first = process.args.first().map(|first| lossy(first)).unwrap_or_default();
        self.add(Phase::LookPath, "openat2", first, "/process/args/0");
        self.always(Phase::Seal, "close_range", "all but the streams and init's own");
    }

    /// From the gate to the process.
    fn gate(&mut self) {
        let process = &self.config.process;
        self.always(Phase::Gate, "openat", "exec.fifo, until start opens its other end");
        for (index, limit) in process.rlimits.iter().enumerate() {
            let what = format!("{} soft {}, hard {}", limit.resource, limit.soft, limit.hard);
            self.add(Phase::Seal, "prlimit64", what, format!("/process/rlimits/{index}"));
        }
        if process.capabilities.ambient != 0 {
            let what = format!("ambient {:#x}", process.capabilities.ambient);
            self.add(Phase::Seal, "prctl", what, "/process/capabilities/ambient");
        }
        self.always(Phase::Seal, "pread64", "read identity and capabilities back");
        if let Some(filter) = &self.plan.filter {
            let what = format!("{} instructions", filter.length());
            self.add(Phase::Exec, "seccomp", what, "/linux/seccomp");
        }
        let words: Vec<String> = process.args.iter().map(|word| lossy(word)).collect();
        self.add(Phase::Exec, "execve", words.join(" "), "/process/args");
    }
}

fn is_proc(mount: &Mount<'_>) -> bool {
    mount.kind == c"proc" && mount.target == c"/proc"
}

/// The place of a path in the configuration's list.
fn index(paths: &Paths<'_>, path: &CStr) -> usize {
    let place = paths.all.iter().position(|other| *other == path);
    place.and_then(|place| paths.places.get(place)).copied().unwrap_or_default()
}

/// A kernel parameter as config.json names it: with dots, so that a JSON pointer needs no escape.
fn dotted(key: &CStr) -> String {
    lossy(key).replace('/', ".")
}
