//! Scheduling of other processes, and ids of mounted files.

use init_core::sys::arch::syscall;
use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Result;

use super::check;
use crate::plan::Scheduler;

/// `struct sched_attr`, version 0 (`sched_setattr(2)`).
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// `sched_setattr(2)`.
pub fn set_scheduler(pid: i32, scheduler: &Scheduler) -> Result<()> {
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: scheduler.policy,
        flags: scheduler.flags,
        nice: scheduler.nice,
        priority: scheduler.priority,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    };
    // SAFETY: the kernel reads `size` bytes of the structure, which outlives the call.
    check(unsafe {
        syscall(raw::__NR_sched_setattr, [pid as usize, &raw const attributes as usize, 0, 0, 0])
    })
    .map(drop)
}

/// `ioprio_set(2)` of one process.
pub fn set_io_priority(pid: i32, priority: u32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: usize = 1;
    // SAFETY: the call takes numbers.
    check(unsafe {
        syscall(raw::__NR_ioprio_set, [IOPRIO_WHO_PROCESS, pid as usize, priority as usize, 0, 0])
    })
    .map(drop)
}

/// `mount_setattr(2)` with `MOUNT_ATTR_IDMAP`: the ids of a detached mount become those of a user
/// namespace.
pub fn map_ids(mount: impl AsFd, namespace: impl AsFd, recursive: bool) -> Result<()> {
    let attributes = raw::mount_attr {
        attr_set: raw::MOUNT_ATTR_IDMAP.into(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_fd().as_raw_fd() as u64,
    };
    let flags = raw::AT_EMPTY_PATH | if recursive { raw::AT_RECURSIVE } else { 0 };
    let mount = mount.as_fd().as_raw_fd() as usize;
    let empty = c"".as_ptr() as usize;
    let args = [mount, empty, flags as usize, &raw const attributes as usize, size_of_val(&attributes)];
    // SAFETY: the kernel reads the path and the structure, both of which outlive the call.
    check(unsafe { syscall(raw::__NR_mount_setattr, args) }).map(drop)
}

/// The signal that ended the process of a pidfd, or 0: the kernel tells once it has been waited for,
/// from 6.15 on (`PIDFD_GET_INFO` of linux/pidfd.h).
pub fn ended_by(process: impl AsFd) -> Option<i32> {
    /// `struct pidfd_info`, version 0; of its ids none is looked at.
    #[repr(C)]
    struct Info {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const EXIT: u64 = 1 << 3;
    const GET_INFO: usize = 0xc040_ff0b;
    let mut info = Info { mask: EXIT, cgroup: 0, ids: [0; 11], exit_code: 0 };
    let args = [process.as_fd().as_raw_fd() as usize, GET_INFO, &raw mut info as usize, 0, 0];
    // SAFETY: the kernel writes the 64 bytes that the request's number says, the size of `info`.
    check(unsafe { syscall(raw::__NR_ioctl, args) }).ok()?;
    (info.mask & EXIT != 0).then_some(info.exit_code & 0x7f)
}
