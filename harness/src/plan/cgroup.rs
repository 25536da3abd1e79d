//! cgroup path, limits and device policy.

use super::Facts;
use super::devices::clean;
use crate::error::{Error, Result};
use crate::spec::{Cpu, DeviceRule, Linux, Memory};

/// The container's cgroup, decided.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Path below the root of each hierarchy, absolute and clean.
    pub path: String,
    /// Whether config.json names it; otherwise it is the id.
    pub explicit: bool,
    /// Values to write, in order.
    pub limits: Vec<Limit>,
    /// Device policy: the last rule that matches decides, bit by bit of the access.
    pub devices: Vec<Rule>,
}

/// A value for a file of the cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Controller: the directory on v1, a word of cgroup.controllers on v2.
    pub controller: &'static str,
    /// File.
    pub file: &'static str,
    /// What to write.
    pub value: String,
    /// Where config.json asks for it.
    pub pointer: &'static str,
}

/// Which devices a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// Character devices.
    Char,
    /// Block devices.
    Block,
}

/// A rule about devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Allow or deny.
    pub allow: bool,
    /// Which.
    pub scope: Scope,
    /// Major number; `None` is all.
    pub major: Option<u32>,
    /// Minor number; `None` is all.
    pub minor: Option<u32>,
    /// Access: `BPF_DEVCG_ACC_*`.
    pub access: u32,
}

/// `BPF_DEVCG_ACC_MKNOD` of linux/bpf.h.
pub const MKNOD: u32 = 1;
/// `BPF_DEVCG_ACC_READ`.
pub const READ: u32 = 2;
/// `BPF_DEVCG_ACC_WRITE`.
pub const WRITE: u32 = 4;
/// Every access.
pub const EVERY: u32 = MKNOD | READ | WRITE;

/// The place of the last rule about everything: what stands before it is without effect.
pub fn base(rules: &[Rule]) -> Option<usize> {
    rules.iter().rposition(|rule| rule.scope == Scope::All && rule.access == EVERY)
}

const fn rule(allow: bool, scope: Scope, major: Option<u32>, minor: Option<u32>, access: u32) -> Rule {
    Rule { allow, scope, major, minor, access }
}

/// Nothing is allowed that is not allowed expressly.
const DENY_ALL: Rule = rule(false, Scope::All, None, None, EVERY);

/// What every container may do: make any node, and use those that it has by default
/// (runtime-spec, config-linux.md, "Default Devices").
pub const DEFAULT: [Rule; 10] = [
    rule(true, Scope::Char, None, None, MKNOD),
    rule(true, Scope::Block, None, None, MKNOD),
    rule(true, Scope::Char, Some(1), Some(3), EVERY),
    rule(true, Scope::Char, Some(1), Some(5), EVERY),
    rule(true, Scope::Char, Some(1), Some(7), EVERY),
    rule(true, Scope::Char, Some(1), Some(8), EVERY),
    rule(true, Scope::Char, Some(1), Some(9), EVERY),
    rule(true, Scope::Char, Some(5), Some(0), EVERY),
    rule(true, Scope::Char, Some(5), Some(2), EVERY),
    rule(true, Scope::Char, Some(136), None, EVERY),
];

impl Cgroup {
    /// Plans the cgroup.
    pub fn new(linux: &Linux<'_>, id: &str, facts: &Facts) -> Result<Self> {
        plan(linux, id, facts)
    }
}

fn plan(linux: &Linux<'_>, id: &str, facts: &Facts) -> Result<Cgroup> {
    let configured = linux.cgroups_path.as_deref().filter(|path| !path.is_empty());
    let path = configured.unwrap_or(id);
    let wrong = |reason: &str| Error::config("/linux/cgroupsPath", format!("{path:?} {reason}"));
    if path.split('/').any(|part| part == "..") {
        return Err(wrong("must not contain \"..\""));
    }
    if path.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(wrong("contains a control character"));
    }
    let path =
        clean(&format!("/{path}")).filter(|path| path != "/").ok_or_else(|| wrong("is the root cgroup"))?;
    let mut plan =
        Cgroup { path, explicit: configured.is_some(), devices: vec![DENY_ALL], ..Cgroup::default() };
    if let Some(resources) = &linux.resources {
        for (index, rule) in resources.devices.iter().flatten().enumerate() {
            plan.devices.push(device(rule, &format!("/linux/resources/devices/{index}"))?);
        }
        let v2 = facts.v1.is_none();
        if let Some(memory) = &resources.memory {
            if v2 { memory_v2(memory, &mut plan.limits)? } else { memory_v1(memory, &mut plan.limits)? }
        }
        if let Some(settings) = &resources.cpu {
            cpu(settings, v2, &mut plan.limits);
        }
        if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit).filter(|limit| *limit != 0) {
            let value = if limit < 0 { "max".into() } else { limit.to_string() };
            push(&mut plan.limits, "pids", "pids.max", value, "/linux/resources/pids/limit");
        }
    }
    plan.devices.extend(DEFAULT);
    Ok(plan)
}

fn push(
    limits: &mut Vec<Limit>,
    controller: &'static str,
    file: &'static str,
    value: String,
    pointer: &'static str,
) {
    limits.push(Limit { controller, file, value, pointer });
}

const MEMORY: &str = "/linux/resources/memory/limit";
const RESERVATION: &str = "/linux/resources/memory/reservation";
const SWAP: &str = "/linux/resources/memory/swap";

fn memory_v1(memory: &Memory, limits: &mut Vec<Limit>) -> Result<()> {
    let mut bytes = |file, value: Option<i64>, pointer| {
        if let Some(value) = value.filter(|value| *value != 0) {
            push(limits, "memory", file, value.to_string(), pointer);
        }
    };
    // The limit first: memory and swap together may not be less.
    bytes("memory.limit_in_bytes", memory.limit, MEMORY);
    bytes("memory.memsw.limit_in_bytes", memory.swap, SWAP);
    bytes("memory.soft_limit_in_bytes", memory.reservation, RESERVATION);
    if let Some(value) = memory.swappiness {
        if value > 100 {
            return Err(Error::config("/linux/resources/memory/swappiness", format!("{value} exceeds 100")));
        }
        push(limits, "memory", "memory.swappiness", value.to_string(), "/linux/resources/memory/swappiness");
    }
    if memory.disable_oom_killer == Some(true) {
        push(limits, "memory", "memory.oom_control", "1".into(), "/linux/resources/memory/disableOOMKiller");
    }
    Ok(())
}

fn memory_v2(memory: &Memory, limits: &mut Vec<Limit>) -> Result<()> {
    let text = |value: i64| if value < 0 { "max".into() } else { value.to_string() };
    for (field, set) in [
        ("swappiness", memory.swappiness.is_some()),
        ("disableOOMKiller", memory.disable_oom_killer == Some(true)),
    ] {
        if set {
            return Err(Error::config(
                format!("/linux/resources/memory/{field}"),
                "cgroup v2 has no such setting",
            ));
        }
    }
    let limit = memory.limit.filter(|limit| *limit != 0);
    if let Some(limit) = limit {
        push(limits, "memory", "memory.max", text(limit), MEMORY);
    }
    if let Some(swap) = memory.swap.filter(|swap| *swap != 0) {
        // v1 counts memory and swap together, v2 swap alone.
        let value = match limit {
            _ if swap < 0 => "max".into(),
            None => return Err(Error::config(SWAP, "needs a memory limit")),
            Some(limit) if limit < 0 => return Err(Error::config(SWAP, "is limited, memory is not")),
            Some(limit) if swap < limit => return Err(Error::config(SWAP, "is less than the memory limit")),
            Some(limit) => (swap - limit).to_string(),
        };
        push(limits, "memory", "memory.swap.max", value, SWAP);
    }
    if let Some(reservation) = memory.reservation.filter(|value| *value != 0) {
        push(limits, "memory", "memory.low", text(reservation), RESERVATION);
    }
    Ok(())
}

fn cpu(cpu: &Cpu<'_>, v2: bool, limits: &mut Vec<Limit>) {
    const SHARES: &str = "/linux/resources/cpu/shares";
    const QUOTA: &str = "/linux/resources/cpu/quota";
    const PERIOD: &str = "/linux/resources/cpu/period";
    let shares = cpu.shares.filter(|shares| *shares != 0);
    let quota = cpu.quota.filter(|quota| *quota != 0);
    let period = cpu.period.filter(|period| *period != 0);
    if v2 {
        if let Some(shares) = shares {
            push(limits, "cpu", "cpu.weight", weight(shares).to_string(), SHARES);
        }
        if quota.is_some() || period.is_some() {
            let quota =
                quota.filter(|quota| *quota > 0).map_or_else(|| "max".into(), |quota| quota.to_string());
            let value = period.map_or_else(|| quota.clone(), |period| format!("{quota} {period}"));
            push(limits, "cpu", "cpu.max", value, QUOTA);
        }
    } else {
        if let Some(shares) = shares {
            push(limits, "cpu", "cpu.shares", shares.to_string(), SHARES);
        }
        // The period first: a quota is held against it.
        if let Some(period) = period {
            push(limits, "cpu", "cpu.cfs_period_us", period.to_string(), PERIOD);
        }
        if let Some(quota) = quota {
            push(limits, "cpu", "cpu.cfs_quota_us", quota.to_string(), QUOTA);
        }
    }
    for (file, list, pointer) in [
        ("cpuset.cpus", &cpu.cpus, "/linux/resources/cpu/cpus"),
        ("cpuset.mems", &cpu.mems, "/linux/resources/cpu/mems"),
    ] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            push(limits, "cpuset", file, list.to_owned(), pointer);
        }
    }
}

/// cpu.weight for cpu.shares: 2, 1024 and 262144 become 1, 100 and 10000, with a parabola through
/// the logarithms between (the conversion that crun and runc settled on in 2025).
fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            #[allow(clippy::cast_precision_loss)]
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

fn device(rule: &DeviceRule<'_>, pointer: &str) -> Result<Rule> {
    let scope = match rule.kind.as_deref() {
        None | Some("" | "a") => Scope::All,
        Some("c" | "u") => Scope::Char,
        Some("b") => Scope::Block,
        Some(other) => {
            return Err(Error::config(format!("{pointer}/type"), format!("unknown device type {other:?}")));
        }
    };
    let number = |name: &str, value: Option<i64>| match value {
        None | Some(..=-1) => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|_| Error::config(format!("{pointer}/{name}"), format!("{value} is out of range"))),
    };
    let mut access = 0;
    for letter in rule.access.as_deref().unwrap_or_default().chars() {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => {
                return Err(Error::config(
                    format!("{pointer}/access"),
                    format!("{letter:?} is none of r, w, m"),
                ));
            }
        };
    }
    let access = if access == 0 { EVERY } else { access };
    let (major, minor) = (number("major", rule.major)?, number("minor", rule.minor)?);
    if scope == Scope::All && (major.is_some() || minor.is_some()) {
        return Err(Error::config(format!("{pointer}/type"), "numbers need type c or b"));
    }
    Ok(Rule { allow: rule.allow, scope, major, minor, access })
}

#[cfg(test)]
mod tests;
