//! `linux.resources`: of config.json, and of `update --resources`.

use serde::Deserialize;

use super::{Map, Text};

/// `linux.resources`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources<'a> {
    /// Device policy.
    #[serde(borrow)]
    pub devices: Option<Vec<DeviceRule<'a>>>,
    /// Memory.
    pub memory: Option<Box<Memory>>,
    /// CPU.
    #[serde(borrow)]
    pub cpu: Option<Box<Cpu<'a>>>,
    /// Number of processes.
    pub pids: Option<Pids>,
    /// Block I/O.
    #[serde(rename = "blockIO")]
    pub block_io: Option<Box<BlockIo>>,
    /// Huge pages.
    #[serde(borrow)]
    pub hugepage_limits: Option<Vec<HugepageLimit<'a>>>,
    /// Network classes and priorities, cgroup v1.
    #[serde(borrow)]
    pub network: Option<Box<Network<'a>>>,
    /// RDMA, by device.
    #[serde(borrow)]
    pub rdma: Option<Map<'a, Rdma>>,
    /// Raw cgroup v2 files.
    #[serde(borrow)]
    pub unified: Option<Map<'a>>,
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
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// Limit.
    pub limit: Option<i64>,
    /// Soft limit.
    pub reservation: Option<i64>,
    /// Limit of memory and swap together.
    pub swap: Option<i64>,
    /// Kernel memory, cgroup v1; gone from newer kernels.
    pub kernel: Option<i64>,
    /// Kernel TCP memory, cgroup v1.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Option<i64>,
    /// 0 to 100, cgroup v1.
    pub swappiness: Option<u64>,
    /// cgroup v1.
    #[serde(rename = "disableOOMKiller")]
    pub disable_oom_killer: Option<bool>,
    /// cgroup v1; on by default.
    pub use_hierarchy: Option<bool>,
    /// Refuse a limit below the usage.
    pub check_before_update: Option<bool>,
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
    pub burst: Option<u64>,
    /// Microseconds.
    pub period: Option<u64>,
    /// Real-time, microseconds a period, cgroup v1.
    pub realtime_runtime: Option<i64>,
    /// Real-time, microseconds, cgroup v1.
    pub realtime_period: Option<u64>,
    /// CPUs, as a list.
    #[serde(borrow)]
    pub cpus: Option<Text<'a>>,
    /// Memory nodes, as a list.
    #[serde(borrow)]
    pub mems: Option<Text<'a>>,
    /// `SCHED_IDLE`: 0 or 1.
    pub idle: Option<i64>,
}

/// `linux.resources.pids`.
#[derive(Deserialize, Default, Clone, Copy)]
pub struct Pids {
    /// Limit; 0 or absent leaves it, negative is unlimited.
    #[serde(default)]
    pub limit: Option<i64>,
}

/// `linux.resources.blockIO`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockIo {
    /// 10 to 1000.
    pub weight: Option<u16>,
    /// The same, against the cgroup's own children (cgroup v1).
    pub leaf_weight: Option<u16>,
    /// By device.
    pub weight_device: Option<Vec<WeightDevice>>,
    /// Bytes a second.
    pub throttle_read_bps_device: Option<Vec<ThrottleDevice>>,
    /// Bytes a second.
    pub throttle_write_bps_device: Option<Vec<ThrottleDevice>>,
    /// Operations a second.
    #[serde(rename = "throttleReadIOPSDevice")]
    pub throttle_read_iops_device: Option<Vec<ThrottleDevice>>,
    /// Operations a second.
    #[serde(rename = "throttleWriteIOPSDevice")]
    pub throttle_write_iops_device: Option<Vec<ThrottleDevice>>,
}

/// A weight of a device.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightDevice {
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// 10 to 1000.
    #[serde(default)]
    pub weight: Option<u16>,
    /// The same (cgroup v1).
    #[serde(default)]
    pub leaf_weight: Option<u16>,
}

/// A rate of a device.
#[derive(Deserialize)]
pub struct ThrottleDevice {
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// A second.
    pub rate: u64,
}

/// An element of `linux.resources.hugepageLimits`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HugepageLimit<'a> {
    /// `64KB`, `2MB`, `1GB`.
    #[serde(borrow)]
    pub page_size: Text<'a>,
    /// Bytes.
    pub limit: u64,
}

/// `linux.resources.network`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Network<'a> {
    /// net_cls.classid.
    #[serde(rename = "classID")]
    pub class_id: Option<u32>,
    /// net_prio.ifpriomap.
    #[serde(borrow)]
    pub priorities: Option<Vec<InterfacePriority<'a>>>,
}

/// A priority of traffic.
#[derive(Deserialize)]
pub struct InterfacePriority<'a> {
    /// Interface, of the host.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Priority.
    pub priority: u32,
}

/// A value of `linux.resources.rdma`.
#[derive(Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Rdma {
    /// hca_handle.
    pub hca_handles: Option<u32>,
    /// hca_object.
    pub hca_objects: Option<u32>,
}
