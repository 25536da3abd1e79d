//! config.json (runtime-spec 1.3): typed, borrowed from the text, strict.
//!
//! Fields that this runtime does not implement yet are [`Unsupported`]: present ones are refused
//! by the plan with their JSON pointer. Unknown fields are ignored, as the specification demands.

mod read;
mod refuse;

use serde::Deserialize;

pub use read::{MAX_SIZE, Map, Text, escape, parse};
pub use refuse::Unsupported;

/// Version of the runtime-spec that is implemented; newer minor versions are accepted.
pub const OCI_VERSION: &str = "1.3.0";

/// The document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec<'a> {
    /// Version of the runtime-spec.
    #[serde(borrow)]
    pub oci_version: Option<Text<'a>>,
    /// The process; `create` works without, `start` does not.
    #[serde(borrow, default)]
    pub process: Option<Process<'a>>,
    /// The root file system.
    #[serde(borrow, default)]
    pub root: Option<Root<'a>>,
    /// Host name.
    #[serde(borrow, default)]
    pub hostname: Option<Text<'a>>,
    /// NIS domain name.
    #[serde(borrow, default)]
    pub domainname: Option<Text<'a>>,
    /// Mounts, in order.
    #[serde(borrow, default)]
    pub mounts: Option<Vec<Mount<'a>>>,
    /// Hooks.
    #[serde(default)]
    pub hooks: Unsupported,
    /// Annotations; kept in the state.
    #[serde(borrow, default)]
    pub annotations: Option<Map<'a>>,
    /// Linux.
    #[serde(borrow, default)]
    pub linux: Option<Linux<'a>>,
}

/// `process`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process<'a> {
    /// Attach a terminal.
    #[serde(default)]
    pub terminal: Unsupported,
    /// Ids.
    #[serde(default)]
    pub user: User,
    /// Argument vector.
    #[serde(borrow, default)]
    pub args: Option<Vec<Text<'a>>>,
    /// Environment.
    #[serde(borrow, default)]
    pub env: Option<Vec<Text<'a>>>,
    /// Working directory.
    #[serde(borrow, default)]
    pub cwd: Option<Text<'a>>,
    /// Capability sets; absent means none.
    #[serde(borrow, default)]
    pub capabilities: Option<Capabilities<'a>>,
    /// Resource limits.
    #[serde(borrow, default)]
    pub rlimits: Option<Vec<Rlimit<'a>>>,
    /// `PR_SET_NO_NEW_PRIVS`.
    #[serde(default)]
    pub no_new_privileges: Option<bool>,
    /// `AppArmor` profile.
    #[serde(default)]
    pub apparmor_profile: Unsupported,
    /// `oom_score_adj`.
    #[serde(default)]
    pub oom_score_adj: Option<i64>,
    /// `sched_setattr(2)`.
    #[serde(default)]
    pub scheduler: Unsupported,
    /// `SELinux` label.
    #[serde(default)]
    pub selinux_label: Unsupported,
    /// `ioprio_set(2)`.
    #[serde(default)]
    pub io_priority: Unsupported,
    /// `sched_setaffinity(2)` of exec.
    #[serde(default, rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Unsupported,
}

/// `process.user`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// umask(2).
    pub umask: Option<u32>,
    /// Supplementary groups.
    pub additional_gids: Option<Vec<u32>>,
}

/// `process.capabilities`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Capabilities<'a> {
    /// Bounding set.
    #[serde(borrow)]
    pub bounding: Option<Vec<Text<'a>>>,
    /// Effective set.
    #[serde(borrow)]
    pub effective: Option<Vec<Text<'a>>>,
    /// Inheritable set.
    #[serde(borrow)]
    pub inheritable: Option<Vec<Text<'a>>>,
    /// Permitted set.
    #[serde(borrow)]
    pub permitted: Option<Vec<Text<'a>>>,
    /// Ambient set.
    #[serde(borrow)]
    pub ambient: Option<Vec<Text<'a>>>,
}

/// An element of `process.rlimits`.
#[derive(Deserialize)]
pub struct Rlimit<'a> {
    /// `RLIMIT_*`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// Hard limit.
    pub hard: u64,
    /// Soft limit.
    pub soft: u64,
}

/// `root`.
#[derive(Deserialize)]
pub struct Root<'a> {
    /// Path, absolute or relative to the bundle.
    #[serde(borrow)]
    pub path: Text<'a>,
    /// Read-only.
    #[serde(default)]
    pub readonly: Option<bool>,
}

/// An element of `mounts`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount<'a> {
    /// Path in the container.
    #[serde(borrow)]
    pub destination: Text<'a>,
    /// File system type.
    #[serde(borrow, default, rename = "type")]
    pub kind: Option<Text<'a>>,
    /// Source.
    #[serde(borrow, default)]
    pub source: Option<Text<'a>>,
    /// Options.
    #[serde(borrow, default)]
    pub options: Option<Vec<Text<'a>>>,
    /// Idmapped mount.
    #[serde(default)]
    pub uid_mappings: Unsupported,
    /// Idmapped mount.
    #[serde(default)]
    pub gid_mappings: Unsupported,
}

/// `linux`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Linux<'a> {
    /// User ids of a user namespace.
    pub uid_mappings: Option<Vec<IdMapping>>,
    /// Group ids of a user namespace.
    pub gid_mappings: Option<Vec<IdMapping>>,
    /// Kernel parameters.
    #[serde(borrow)]
    pub sysctl: Option<Map<'a>>,
    /// cgroup limits.
    #[serde(borrow)]
    pub resources: Option<Resources<'a>>,
    /// cgroup path.
    #[serde(borrow)]
    pub cgroups_path: Option<Text<'a>>,
    /// Namespaces.
    #[serde(borrow)]
    pub namespaces: Option<Vec<Namespace<'a>>>,
    /// Device nodes.
    #[serde(borrow)]
    pub devices: Option<Vec<Device<'a>>>,
    /// Network devices to move.
    pub net_devices: Unsupported,
    /// Seccomp filter.
    pub seccomp: Unsupported,
    /// Propagation of the root mount.
    #[serde(borrow)]
    pub rootfs_propagation: Option<Text<'a>>,
    /// Paths to hide.
    #[serde(borrow)]
    pub masked_paths: Option<Vec<Text<'a>>>,
    /// Paths to make read-only.
    #[serde(borrow)]
    pub readonly_paths: Option<Vec<Text<'a>>>,
    /// `SELinux` mount label.
    pub mount_label: Unsupported,
    /// Intel RDT.
    pub intel_rdt: Unsupported,
    /// NUMA memory policy.
    pub memory_policy: Unsupported,
    /// personality(2).
    pub personality: Unsupported,
    /// Offsets of a time namespace.
    pub time_offsets: Unsupported,
}

/// An id mapping.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IdMapping {
    /// First id in the container.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// First id on the host.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

/// An element of `linux.namespaces`.
#[derive(Deserialize)]
pub struct Namespace<'a> {
    /// Kind.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// File of an existing one.
    #[serde(borrow, default)]
    pub path: Option<Text<'a>>,
}

/// An element of `linux.devices`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device<'a> {
    /// `c`, `u`, `b` or `p`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// Path in the container.
    #[serde(borrow)]
    pub path: Text<'a>,
    /// Major number.
    #[serde(default)]
    pub major: Option<i64>,
    /// Minor number.
    #[serde(default)]
    pub minor: Option<i64>,
    /// Permissions.
    #[serde(default)]
    pub file_mode: Option<u32>,
    /// Owner.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Group.
    #[serde(default)]
    pub gid: Option<u32>,
}

/// `linux.resources`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources<'a> {
    /// Device policy.
    #[serde(borrow)]
    pub devices: Option<Vec<DeviceRule<'a>>>,
    /// Memory.
    pub memory: Option<Memory>,
    /// CPU.
    #[serde(borrow)]
    pub cpu: Option<Cpu<'a>>,
    /// Number of processes.
    pub pids: Option<Pids>,
    /// Block I/O.
    #[serde(rename = "blockIO")]
    pub block_io: Unsupported,
    /// Huge pages.
    pub hugepage_limits: Unsupported,
    /// Network classes and priorities.
    pub network: Unsupported,
    /// RDMA.
    pub rdma: Unsupported,
    /// Raw cgroup v2 files.
    pub unified: Unsupported,
}

/// An element of `linux.resources.devices`.
#[derive(Deserialize, Clone)]
pub struct DeviceRule<'a> {
    /// Allow or deny.
    pub allow: bool,
    /// `a`, `c` or `b`; absent: `a`.
    #[serde(borrow, default, rename = "type")]
    pub kind: Option<Text<'a>>,
    /// Absent or negative: all.
    #[serde(default)]
    pub major: Option<i64>,
    /// Absent or negative: all.
    #[serde(default)]
    pub minor: Option<i64>,
    /// `r`, `w`, `m` in any order; absent: all three.
    #[serde(borrow, default)]
    pub access: Option<Text<'a>>,
}

/// `linux.resources.memory`, in bytes; -1 is unlimited, 0 or absent leaves the kernel's default.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// Limit.
    pub limit: Option<i64>,
    /// Soft limit.
    pub reservation: Option<i64>,
    /// Limit of memory and swap together.
    pub swap: Option<i64>,
    /// Kernel memory: gone from the kernel.
    pub kernel: Unsupported,
    /// Kernel TCP memory.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Unsupported,
    /// 0 to 100, cgroup v1.
    pub swappiness: Option<u64>,
    /// cgroup v1.
    #[serde(rename = "disableOOMKiller")]
    pub disable_oom_killer: Option<bool>,
    /// cgroup v1; on by default.
    pub use_hierarchy: Option<bool>,
    /// Refuse a limit below the usage.
    pub check_before_update: Unsupported,
}

/// `linux.resources.cpu`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Cpu<'a> {
    /// Relative weight, 2 to 262144.
    pub shares: Option<u64>,
    /// Microseconds a period; -1 is unlimited.
    pub quota: Option<i64>,
    /// Microseconds that may be saved up.
    pub burst: Unsupported,
    /// Microseconds.
    pub period: Option<u64>,
    /// Real-time.
    pub realtime_runtime: Unsupported,
    /// Real-time.
    pub realtime_period: Unsupported,
    /// CPUs, as a list.
    #[serde(borrow)]
    pub cpus: Option<Text<'a>>,
    /// Memory nodes, as a list.
    #[serde(borrow)]
    pub mems: Option<Text<'a>>,
    /// `SCHED_IDLE`.
    pub idle: Unsupported,
}

/// `linux.resources.pids`.
#[derive(Deserialize, Default)]
pub struct Pids {
    /// Limit; 0 or absent leaves it, negative is unlimited.
    #[serde(default)]
    pub limit: Option<i64>,
}
