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
