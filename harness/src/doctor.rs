//! What this host can do, found out by doing it: each probe runs in a child of its own, which ends
//! with the probe's errno, so nothing stays behind and no probe changes what the next one sees.

use std::path::Path;

use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, OpenTreeFlags};
use rustix::process::{WaitId, WaitIdOptions};
use serde::Serialize;

use crate::cgroup::{self, devices};
use crate::error::{Context, Error, describe};
use crate::plan::{DEFAULT_DEVICES, Kind};
use crate::sys;

/// How much a missing feature matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No container starts without it.
    Required,
    /// Some configurations are refused, or take the slower way.
    Recommended,
    /// Only who asks for it misses it.
    Optional,
}

/// What a probe found.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What was probed.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Whether it works here.
    pub works: bool,
    /// Why not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What to change.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub advice: &'static str,
}

/// One feature.
struct Probe {
    name: &'static str,
    severity: Severity,
    run: fn() -> Result<()>,
    advice: &'static str,
}

const fn probe(
    severity: Severity,
    name: &'static str,
    run: fn() -> Result<()>,
    advice: &'static str,
) -> Probe {
    Probe { name, severity, run, advice }
}

const NEWER: &str = "Linux 5.12 or newer";
const CONFIGURED: &str = "a kernel with this namespace configured; user.max_*_namespaces above 0";

const PROBES: &[Probe] = &[
    probe(Severity::Required, "openat2(2) inside a root", resolve, NEWER),
    probe(Severity::Required, "executable memfd that can be sealed", memfd, "vm.memfd_noexec below 2"),
    probe(Severity::Required, "mounts by descriptor (fsopen, mount_setattr)", mounts, NEWER),
    probe(Severity::Required, "close_range(2)", close_range, NEWER),
    probe(
        Severity::Required,
        "session keyrings",
        keyring,
        "CONFIG_KEYS; kernel.keys.maxkeys above what is in use",
    ),
    probe(Severity::Required, "mount namespace", || sys::unshare(Kind::Mount.flag()), CONFIGURED),
    probe(Severity::Required, "pid namespace", || sys::unshare(Kind::Pid.flag()), CONFIGURED),
    probe(Severity::Required, "network namespace", || sys::unshare(Kind::Network.flag()), CONFIGURED),
    probe(Severity::Required, "ipc namespace", || sys::unshare(Kind::Ipc.flag()), CONFIGURED),
    probe(Severity::Required, "uts namespace", || sys::unshare(Kind::Uts.flag()), CONFIGURED),
    probe(Severity::Recommended, "cgroup namespace", || sys::unshare(Kind::Cgroup.flag()), CONFIGURED),
    probe(
        Severity::Recommended,
        "user namespace",
        user_namespace,
        "kernel.unprivileged_userns_clone 1, user.max_user_namespaces above 0, \
         kernel.apparmor_restrict_unprivileged_userns 0 or a profile for the runtime",
    ),
    probe(Severity::Optional, "time namespace", || sys::unshare(Kind::Time.flag()), CONFIGURED),
    probe(Severity::Required, "cgroups below /sys/fs/cgroup", cgroups, "mount cgroup2 on /sys/fs/cgroup"),
    probe(
        Severity::Recommended,
        "cgroup v2 controllers memory, cpu, pids",
        controllers,
        "no cgroup v1 hierarchies of them; cgroup_no_v1=all",
    ),
    probe(
        Severity::Recommended,
        "device policy (eBPF)",
        device_policy,
        "CONFIG_CGROUP_BPF, CAP_BPF or CAP_SYS_ADMIN",
    ),
    probe(Severity::Recommended, "seccomp filters with listeners", seccomp, "CONFIG_SECCOMP_FILTER"),
    probe(
        Severity::Recommended,
        "overlay file system",
        || filesystem(c"overlay").map(drop),
        "modprobe overlay",
    ),
    probe(
        Severity::Recommended,
        "mqueue file system",
        || filesystem(c"mqueue").map(drop),
        "CONFIG_POSIX_MQUEUE",
    ),
    probe(
        Severity::Optional,
        "raising hard limits (CAP_SYS_RESOURCE)",
        raise_limit,
        "start the runtime with CAP_SYS_RESOURCE",
    ),
    probe(
        Severity::Optional,
        "audit records in /dev/kmsg (which call a filter killed for)",
        || rustix::fs::open("/dev/kmsg", OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).map(drop),
        "kernel.dmesg_restrict 0, or CAP_SYSLOG",
    ),
    probe(
        Severity::Optional,
        "AppArmor",
        || there(crate::launch::labels::apparmor()),
        "boot with security=apparmor",
    ),
    probe(
        Severity::Optional,
        "SELinux",
        || there(crate::launch::labels::selinux()),
        "boot with security=selinux",
    ),
    probe(
        Severity::Optional,
        "Intel RDT",
        || there(Path::new("/sys/fs/resctrl/schemata").exists()),
        "mount -t resctrl resctrl /sys/fs/resctrl",
    ),
];

/// Runs every probe. An ordinary user's run in a user namespace, as its containers do.
pub fn examine() -> crate::error::Result<Vec<Finding>> {
    PROBES.iter().map(examine_one).collect()
}

fn examine_one(probe: &'static Probe) -> crate::error::Result<Finding> {
    let how = sys::Clone { namespaces: 0, share: false, cgroup: None };
    let mask = sys::block_signals().host("sigprocmask", "")?;
    let spawned = sys::spawn(&how, probe, child);
    sys::restore_signals(mask).host("sigprocmask", "")?;
    let (_, pidfd) = spawned.host("clone3", "for a probe")?;
    let status = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)
        .host("waitid", "a probe")?
        .ok_or_else(|| Error::State("a probe is gone".into()))?;
    let reason = match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => String::new(),
        (Some(errno), _) => describe(Errno::from_raw_os_error(errno)),
        (None, signal) => format!("killed by {}", crate::signal::name(signal.unwrap_or_default())),
    };
    let works = reason.is_empty();
    Ok(Finding {
        name: probe.name,
        severity: probe.severity,
        works,
        reason,
        advice: if works { "" } else { probe.advice },
    })
}

/// The child has memory of its own, so the probe may do what it likes.
extern "C" fn child(probe: &'static Probe) -> ! {
    let alone = if rustix::process::geteuid().is_root() { Ok(()) } else { sys::unshare(Kind::User.flag()) };
    let done = alone.and_then(|()| (probe.run)());
    init_core::sys::exit(done.err().map_or(0, Errno::raw_os_error))
}

/// The child of an ordinary user is in one already.
fn user_namespace() -> Result<()> {
    if rustix::process::geteuid().is_root() { sys::unshare(Kind::User.flag()) } else { Ok(()) }
}

/// No such device: what has no call to be tried by.
fn there(found: bool) -> Result<()> {
    if found { Ok(()) } else { Err(Errno::NODEV) }
}

fn resolve() -> Result<()> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, "proc", OFlags::PATH, Mode::empty(), how).map(drop)
}

fn memfd() -> Result<()> {
    let sealed = crate::launch::image::seal();
    sealed.map(drop).map_err(|error| match error {
        Error::Host { errno, .. } => errno,
        _ => Errno::IO,
    })
}

fn filesystem(kind: &std::ffi::CStr) -> Result<rustix::fd::OwnedFd> {
    sys::unshare(Kind::Mount.flag() | Kind::Ipc.flag())?;
    rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
}

fn mounts() -> Result<()> {
    let context = filesystem(c"tmpfs")?;
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    rustix::mount::fsconfig_create(&context)?;
    let mount =
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)?;
    let attributes = init_core::sys::MountAttributes { set: 1, ..Default::default() };
    init_core::sys::mount_setattr(&mount, false, attributes)?;
    // In a user namespace a tree is whole or nothing: what lies below hides what it covers.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(CWD, "/", flags | OpenTreeFlags::OPEN_TREE_CLOEXEC).map(drop)
}

fn close_range() -> Result<()> {
    init_core::sys::close_range(1000, u32::MAX)
}

fn keyring() -> Result<()> {
    init_core::sys::join_session_keyring(c"_ses.doctor").map(drop)
}

fn cgroups() -> Result<()> {
    let facts = cgroup::facts().map_err(|_| Errno::NODEV)?;
    there(facts.v1.is_none_or(|controllers| !controllers.is_empty()))
}

fn controllers() -> Result<()> {
    let file = Path::new(cgroup::MOUNT).join("cgroup.controllers");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let has = |name: &str| text.split_whitespace().any(|word| word == name);
    there(["memory", "cpu", "pids"].into_iter().all(has))
}

fn device_policy() -> Result<()> {
    let program = devices::compile(&DEFAULT_DEVICES).ok_or(Errno::INVAL)?;
    sys::load_device_program(&program).map(drop)
}

fn seccomp() -> Result<()> {
    // SECCOMP_RET_USER_NOTIF of linux/seccomp.h.
    sys::action_available(0x7fc0_0000)
}

fn raise_limit() -> Result<()> {
    const RLIMIT_NOFILE: u32 = 7;
    let (soft, hard) = sys::limit(0, RLIMIT_NOFILE)?;
    sys::set_limit(0, RLIMIT_NOFILE, soft, hard.saturating_add(1).min(1 << 20))
}
