//! Scheduling and I/O priority: properties of a process that the harness sets from outside.

use crate::error::{Error, Result};
use crate::spec::{self, Text};

/// What is set, with the numbers of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// `sched_setattr(2)`.
    pub scheduler: Option<Scheduler>,
    /// `ioprio_set(2)`: class and level in one.
    pub io_priority: Option<u32>,
}

/// `struct sched_attr` (`sched_setattr(2)`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduler {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// -20 to 19.
    pub nice: i32,
    /// 1 to 99.
    pub priority: u32,
    /// Nanoseconds.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// Policies of sched(7) by their number.
const POLICIES: [(&str, u32); 7] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

/// Flags of `sched_setattr(2)`.
const FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 1),
    ("SCHED_FLAG_RECLAIM", 2),
    ("SCHED_FLAG_DL_OVERRUN", 4),
    ("SCHED_FLAG_KEEP_POLICY", 8),
    ("SCHED_FLAG_KEEP_PARAMS", 16),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 32),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 64),
];

/// Classes of `ioprio_set(2)`.
const CLASSES: [(&str, u32); 3] = [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];
const CLASS_SHIFT: u32 = 13;

/// Plans scheduler and I/O priority.
pub fn plan(process: &spec::Process<'_>) -> Result<Schedule> {
    Ok(Schedule {
        scheduler: process.scheduler.as_deref().map(scheduler).transpose()?,
        io_priority: process.io_priority.as_deref().map(io_priority).transpose()?,
    })
}

fn find<T: Copy>(table: &[(&str, T)], name: &Text<'_>, pointer: &str) -> Result<T> {
    let found = table.iter().find(|(known, _)| *known == &**name);
    found.map(|(_, value)| *value).ok_or_else(|| Error::config(pointer, format!("unknown: {:?}", &**name)))
}

fn scheduler(spec: &spec::Scheduler<'_>) -> Result<Scheduler> {
    const POINTER: &str = "/process/scheduler";
    let wrong = |field: &str, reason: String| Err(Error::config(format!("{POINTER}/{field}"), reason));
    let policy = find(&POLICIES, &spec.policy, "/process/scheduler/policy")?;
    let nice = spec.nice.unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return wrong("nice", format!("{nice} is outside -20 to 19"));
    }
    let priority = spec.priority.unwrap_or(0);
    let real_time = matches!(policy, 1 | 2);
    match priority {
        1..=99 if real_time => {}
        0 if !real_time => {}
        _ if real_time => return wrong("priority", format!("{priority} is outside 1 to 99")),
        _ => return wrong("priority", format!("must be 0 with {}", &*spec.policy)),
    }
    let mut flags = 0;
    for (index, flag) in spec.flags.iter().flatten().enumerate() {
        flags |= find(&FLAGS, flag, &format!("{POINTER}/flags/{index}"))?;
    }
    let times = [spec.runtime, spec.deadline, spec.period].map(Option::unwrap_or_default);
    if policy != 6 && times != [0; 3] {
        return wrong("runtime", "runtime, deadline and period need SCHED_DEADLINE".into());
    }
    let [runtime, deadline, period] = times;
    Ok(Scheduler { policy, flags, nice, priority: priority as u32, runtime, deadline, period })
}

fn io_priority(spec: &spec::IoPriority<'_>) -> Result<u32> {
    let class = find(&CLASSES, &spec.class, "/process/ioPriority/class")?;
    match spec.priority {
        level @ 0..=7 => Ok(class << CLASS_SHIFT | level as u32),
        level => Err(Error::config("/process/ioPriority/priority", format!("{level} is outside 0 to 7"))),
    }
}
