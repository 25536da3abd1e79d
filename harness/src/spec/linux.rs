//! `linux`, without its resources.

use serde::{Deserialize, Serialize};

use super::{Map, Resources, Text};

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
    pub resources: Option<Box<Resources<'a>>>,
    /// cgroup path.
    #[serde(borrow)]
    pub cgroups_path: Option<Text<'a>>,
    /// Namespaces.
    #[serde(borrow)]
    pub namespaces: Option<Vec<Namespace<'a>>>,
    /// Device nodes.
    #[serde(borrow)]
    pub devices: Option<Vec<Device<'a>>>,
    /// Network devices to move, by their name on the host.
    #[serde(borrow)]
    pub net_devices: Option<Map<'a, NetDevice<'a>>>,
    /// Seccomp filter.
    #[serde(borrow)]
    pub seccomp: Option<Box<Seccomp<'a>>>,
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
    #[serde(borrow)]
    pub mount_label: Option<Text<'a>>,
    /// Intel RDT.
    #[serde(borrow)]
    pub intel_rdt: Option<Box<IntelRdt<'a>>>,
    /// NUMA memory policy.
    #[serde(borrow)]
    pub memory_policy: Option<Box<MemoryPolicy<'a>>>,
    /// personality(2).
    #[serde(borrow)]
    pub personality: Option<Box<Personality<'a>>>,
    /// Offsets of a time namespace, by clock.
    #[serde(borrow)]
    pub time_offsets: Option<Map<'a, Offset>>,
}

/// An id mapping.
#[derive(Deserialize, Serialize, Debug, Clone, Copy, PartialEq, Eq)]
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

/// A value of `linux.netDevices`.
#[derive(Deserialize, Debug, Clone, Default, PartialEq, Eq)]
pub struct NetDevice<'a> {
    /// Its name in the container; absent: the same.
    #[serde(borrow, default)]
    pub name: Option<Text<'a>>,
}

/// A value of `linux.timeOffsets`.
#[derive(Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offset {
    /// Seconds.
    #[serde(default)]
    pub secs: i64,
    /// Nanoseconds.
    #[serde(default)]
    pub nanosecs: u32,
}

/// `linux.personality`.
#[derive(Deserialize)]
pub struct Personality<'a> {
    /// `LINUX` or `LINUX32`.
    #[serde(borrow)]
    pub domain: Text<'a>,
    /// None are defined.
    #[serde(borrow, default)]
    pub flags: Option<Vec<Text<'a>>>,
}

/// `linux.memoryPolicy` (`set_mempolicy(2)`).
#[derive(Deserialize)]
pub struct MemoryPolicy<'a> {
    /// `MPOL_*`.
    #[serde(borrow)]
    pub mode: Text<'a>,
    /// A list of nodes.
    #[serde(borrow, default)]
    pub nodes: Option<Text<'a>>,
    /// `MPOL_F_*`.
    #[serde(borrow, default)]
    pub flags: Option<Vec<Text<'a>>>,
}

/// `linux.intelRdt`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct IntelRdt<'a> {
    /// Name of the group; absent: the id.
    #[serde(borrow, rename = "closID")]
    pub clos_id: Option<Text<'a>>,
    /// Lines of its schemata file.
    #[serde(borrow)]
    pub schemata: Option<Vec<Text<'a>>>,
    /// The same for the cache.
    #[serde(borrow)]
    pub l3_cache_schema: Option<Text<'a>>,
    /// The same for memory bandwidth.
    #[serde(borrow)]
    pub mem_bw_schema: Option<Text<'a>>,
    /// Make a monitoring group.
    pub enable_monitoring: Option<bool>,
}

/// `linux.seccomp`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Seccomp<'a> {
    /// Action for all that no rule names.
    #[serde(borrow)]
    pub default_action: Option<Text<'a>>,
    /// errno of the default action.
    pub default_errno_ret: Option<u32>,
    /// `SCMP_ARCH_*`.
    #[serde(borrow)]
    pub architectures: Option<Vec<Text<'a>>>,
    /// `SECCOMP_FILTER_FLAG_*`.
    #[serde(borrow)]
    pub flags: Option<Vec<Text<'a>>>,
    /// Socket of the one who is notified.
    #[serde(borrow)]
    pub listener_path: Option<Text<'a>>,
    /// Text for it.
    #[serde(borrow)]
    pub listener_metadata: Option<Text<'a>>,
    /// Rules, in order.
    #[serde(borrow)]
    pub syscalls: Option<Vec<SeccompRule<'a>>>,
}

/// An element of `linux.seccomp.syscalls`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompRule<'a> {
    /// Names of system calls.
    #[serde(borrow)]
    pub names: Vec<Text<'a>>,
    /// `SCMP_ACT_*`.
    #[serde(borrow)]
    pub action: Text<'a>,
    /// errno, or the data of TRACE.
    #[serde(default)]
    pub errno_ret: Option<u32>,
    /// Conditions, all of which must hold.
    #[serde(borrow, default)]
    pub args: Option<Vec<SeccompArg<'a>>>,
}

/// A condition.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompArg<'a> {
    /// 0 to 5.
    pub index: u32,
    /// Operand, or the mask of `SCMP_CMP_MASKED_EQ`.
    pub value: u64,
    /// Operand of `SCMP_CMP_MASKED_EQ`.
    #[serde(default)]
    pub value_two: Option<u64>,
    /// `SCMP_CMP_*`.
    #[serde(borrow)]
    pub op: Text<'a>,
}
