//! Properties of a process that are set from outside, by its pid.

use crate::error::{Error, Result};
use crate::plan::{Schedule, cpu_list};
use crate::sys;

/// Scheduler and I/O priority.
pub fn apply(schedule: &Schedule, pid: i32) -> Result<()> {
    if let Some(scheduler) = &schedule.scheduler {
        sys::set_scheduler(pid, scheduler)
            .map_err(|errno| Error::config("/process/scheduler", crate::error::describe(errno)))?;
    }
    if let Some(priority) = schedule.io_priority {
        sys::set_io_priority(pid, priority)
            .map_err(|errno| Error::config("/process/ioPriority", crate::error::describe(errno)))?;
    }
    Ok(())
}

/// CPUs that a process may run on; `None` is the caller.
pub fn affinity(pid: Option<rustix::process::Pid>, list: &str, pointer: &str) -> Result<()> {
    let cpus = cpu_list(list).filter(|cpus| !cpus.is_empty());
    let cpus = cpus.ok_or_else(|| Error::config(pointer, format!("{list:?} is no list of CPUs")))?;
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus {
        if cpu as usize >= rustix::thread::CpuSet::MAX_CPU {
            return Err(Error::config(
                pointer,
                format!("CPU {cpu} exceeds {}", rustix::thread::CpuSet::MAX_CPU),
            ));
        }
        set.set(cpu as usize);
    }
    rustix::thread::sched_setaffinity(pid, &set)
        .map_err(|errno| Error::config(pointer, format!("{list:?}: {}", crate::error::describe(errno))))
}
