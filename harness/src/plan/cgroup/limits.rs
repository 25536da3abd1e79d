//! Limits: what is written to which file of the cgroup, on v1 and on v2.

use std::borrow::Cow;

use super::io;
use crate::error::{Error, Result};
use crate::spec::{Cpu, Memory, Resources, escape};

/// A value for a file of the cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Controller: the directory on v1, a word of cgroup.controllers on v2; empty for files that
    /// every cgroup has.
    pub controller: Cow<'static, str>,
    /// File.
    pub file: Cow<'static, str>,
    /// What to write.
    pub value: String,
    /// Where the configuration asks for it.
    pub pointer: String,
    /// What to do where the kernel has no such file.
    pub missing: Missing,
}

/// What to do where the kernel has no such file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The limit cannot be set: an error.
    Refuse,
    /// Another file says the same.
    Instead(&'static str, String),
    /// It only sharpens another limit.
    Skip,
}

/// The limits of a container, in the order in which they are planned.
pub struct Limits<'p> {
    /// On cgroup v2.
    pub v2: bool,
    pointer: &'p str,
    list: Vec<Limit>,
}

/// Plans the limits; `pointer` is where the resources stand.
pub fn plan(resources: &Resources<'_>, v2: bool, pointer: &str) -> Result<Vec<Limit>> {
    let mut limits = Limits { v2, pointer, list: Vec::new() };
    if let Some(memory) = &resources.memory {
        if v2 { memory_v2(memory, &mut limits)? } else { memory_v1(memory, &mut limits)? }
    }
    if let Some(cpu) = &resources.cpu {
        if v2 {
            cpu_v2(cpu, &mut limits)?;
        } else {
            cpu_v1(cpu, &mut limits);
        }
        cpusets(cpu, &mut limits);
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit).filter(|limit| *limit != 0) {
        limits.put("pids", "pids.max", maximum(limit), "pids/limit");
    }
    io::plan(resources, &mut limits)?;
    unified(resources, &mut limits)?;
    Ok(limits.list)
}

impl Limits<'_> {
    /// Adds a value.
    #[allow(clippy::needless_pass_by_value)] // Numbers and strings alike.
    pub fn put(
        &mut self,
        controller: &'static str,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
        field: &str,
    ) {
        self.put_or(controller, file, value, field, Missing::Refuse);
    }

    /// Adds a value for a file that not every kernel has.
    #[allow(clippy::needless_pass_by_value)] // As above.
    pub fn put_or(
        &mut self,
        controller: &'static str,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
        field: &str,
        missing: Missing,
    ) {
        let pointer = format!("{}/{field}", self.pointer);
        self.list.push(Limit {
            controller: controller.into(),
            file: file.into(),
            value: value.to_string(),
            pointer,
            missing,
        });
    }

    /// A mistake of a field.
    pub fn wrong(&self, field: &str, reason: impl Into<String>) -> Error {
        Error::config(format!("{}/{field}", self.pointer), reason)
    }
}

/// A number as v2 has it: negative is unlimited.
fn maximum(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}

fn memory_v1(memory: &Memory, limits: &mut Limits<'_>) -> Result<()> {
    // The limit first: memory and swap together may not be less.
    for (file, value, field) in [
        ("memory.limit_in_bytes", memory.limit, "memory/limit"),
        ("memory.memsw.limit_in_bytes", memory.swap, "memory/swap"),
        ("memory.soft_limit_in_bytes", memory.reservation, "memory/reservation"),
        ("memory.kmem.limit_in_bytes", memory.kernel, "memory/kernel"),
        ("memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp, "memory/kernelTCP"),
    ] {
        if let Some(value) = value.filter(|value| *value != 0) {
            limits.put("memory", file, value, field);
        }
    }
    if let Some(value) = memory.swappiness {
        if value > 100 {
            return Err(limits.wrong("memory/swappiness", format!("{value} exceeds 100")));
        }
        limits.put("memory", "memory.swappiness", value, "memory/swappiness");
    }
    if memory.disable_oom_killer == Some(true) {
        limits.put("memory", "memory.oom_control", 1, "memory/disableOOMKiller");
    }
    hierarchy(memory, limits)
}

fn hierarchy(memory: &Memory, limits: &Limits<'_>) -> Result<()> {
    match memory.use_hierarchy {
        Some(false) => Err(limits.wrong("memory/useHierarchy", "the kernel always accounts hierarchically")),
        _ => Ok(()),
    }
}

fn memory_v2(memory: &Memory, limits: &mut Limits<'_>) -> Result<()> {
    let some = |value: Option<i64>| value.is_some_and(|value| value != 0);
    for (field, set) in [
        ("memory/swappiness", memory.swappiness.is_some()),
        ("memory/disableOOMKiller", memory.disable_oom_killer == Some(true)),
        ("memory/kernel", some(memory.kernel)),
        ("memory/kernelTCP", some(memory.kernel_tcp)),
    ] {
        if set {
            return Err(limits.wrong(field, "cgroup v2 has no such setting"));
        }
    }
    let limit = memory.limit.filter(|limit| *limit != 0);
    if let Some(limit) = limit {
        limits.put("memory", "memory.max", maximum(limit), "memory/limit");
    }
    if let Some(swap) = memory.swap.filter(|swap| *swap != 0) {
        const FIELD: &str = "memory/swap";
        // v1 counts memory and swap together, v2 swap alone.
        let value = match limit {
            _ if swap < 0 => "max".into(),
            None => return Err(limits.wrong(FIELD, "needs a memory limit")),
            Some(limit) if limit < 0 => return Err(limits.wrong(FIELD, "is limited, memory is not")),
            Some(limit) if swap < limit => return Err(limits.wrong(FIELD, "is less than the memory limit")),
            Some(limit) => (swap - limit).to_string(),
        };
        limits.put("memory", "memory.swap.max", value, FIELD);
    }
    if let Some(reservation) = memory.reservation.filter(|value| *value != 0) {
        limits.put("memory", "memory.low", maximum(reservation), "memory/reservation");
    }
    hierarchy(memory, limits)
}

fn cpu_v1(cpu: &Cpu<'_>, limits: &mut Limits<'_>) {
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        limits.put("cpu", "cpu.shares", shares, "cpu/shares");
    }
    // The period first: a quota is held against it, and a burst against the quota.
    if let Some(period) = cpu.period.filter(|period| *period != 0) {
        limits.put("cpu", "cpu.cfs_period_us", period, "cpu/period");
    }
    if let Some(quota) = cpu.quota.filter(|quota| *quota != 0) {
        limits.put("cpu", "cpu.cfs_quota_us", quota, "cpu/quota");
    }
    if let Some(burst) = cpu.burst {
        limits.put("cpu", "cpu.cfs_burst_us", burst, "cpu/burst");
    }
    if let Some(period) = cpu.realtime_period.filter(|period| *period != 0) {
        limits.put("cpu", "cpu.rt_period_us", period, "cpu/realtimePeriod");
    }
    if let Some(runtime) = cpu.realtime_runtime.filter(|runtime| *runtime != 0) {
        limits.put("cpu", "cpu.rt_runtime_us", runtime, "cpu/realtimeRuntime");
    }
    idle(cpu, limits);
}

fn cpu_v2(cpu: &Cpu<'_>, limits: &mut Limits<'_>) -> Result<()> {
    for (field, set) in [
        ("cpu/realtimePeriod", cpu.realtime_period.is_some_and(|value| value != 0)),
        ("cpu/realtimeRuntime", cpu.realtime_runtime.is_some_and(|value| value != 0)),
    ] {
        if set {
            return Err(limits.wrong(field, "cgroup v2 has no such setting"));
        }
    }
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        limits.put("cpu", "cpu.weight", weight(shares), "cpu/shares");
    }
    let quota = cpu.quota.filter(|quota| *quota != 0);
    let period = cpu.period.filter(|period| *period != 0);
    if quota.is_some() || period.is_some() {
        let field = if quota.is_some() { "cpu/quota" } else { "cpu/period" };
        let quota = maximum(quota.unwrap_or(-1));
        let value = period.map_or_else(|| quota.clone(), |period| format!("{quota} {period}"));
        limits.put("cpu", "cpu.max", value, field);
    }
    if let Some(burst) = cpu.burst {
        limits.put("cpu", "cpu.max.burst", burst, "cpu/burst");
    }
    idle(cpu, limits);
    Ok(())
}

fn idle(cpu: &Cpu<'_>, limits: &mut Limits<'_>) {
    if let Some(idle) = cpu.idle {
        limits.put("cpu", "cpu.idle", idle, "cpu/idle");
    }
}

fn cpusets(cpu: &Cpu<'_>, limits: &mut Limits<'_>) {
    for (file, list, field) in
        [("cpuset.cpus", &cpu.cpus, "cpu/cpus"), ("cpuset.mems", &cpu.mems, "cpu/mems")]
    {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            limits.put("cpuset", file, list, field);
        }
    }
}

/// cpu.weight for cpu.shares: 2, 1024 and 262144 become 1, 100 and 10000, with a parabola through
/// the logarithms between (the conversion that crun and runc settled on in 2025).
pub fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

/// `unified`: files of cgroup v2 by name, last because they are the most exact.
fn unified(resources: &Resources<'_>, limits: &mut Limits<'_>) -> Result<()> {
    for (key, value) in resources.unified.iter().flat_map(|map| &map.0) {
        let field = format!("unified/{}", escape(key));
        let name = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let Some((controller, _)) = key.split_once('.').filter(|(first, _)| name && !first.is_empty()) else {
            return Err(limits.wrong(&field, "is not the name of a cgroup file"));
        };
        if !limits.v2 {
            return Err(limits.wrong(&field, "needs cgroup v2"));
        }
        let controller = if controller == "cgroup" { "" } else { controller };
        for line in value.lines() {
            let pointer = format!("{}/{field}", limits.pointer);
            limits.list.push(Limit {
                controller: controller.to_owned().into(),
                file: key.to_string().into(),
                value: line.to_owned(),
                pointer,
                missing: Missing::Refuse,
            });
        }
    }
    Ok(())
}
