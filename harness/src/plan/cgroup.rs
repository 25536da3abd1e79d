//! cgroup path, limits and device policy.

mod io;
mod limits;

use super::Facts;
use super::paths::rooted;
use crate::error::{Error, Result};
use crate::spec::{DeviceRule, Linux};

pub use limits::{Limit, Missing, plan as plan_limits};

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
    let rooted = rooted(path);
    if rooted == "/" {
        return Err(wrong("is the root cgroup"));
    }
    let mut plan = Cgroup { path: rooted, explicit: configured.is_some(), ..Cgroup::default() };
    if let Some(resources) = &linux.resources {
        plan.limits = limits::plan(resources, facts.v1.is_none(), "/linux/resources")?;
    }
    let rules = linux.resources.as_ref().and_then(|resources| resources.devices.as_deref());
    plan.devices = policy(rules.unwrap_or_default(), "/linux/resources/devices")?;
    Ok(plan)
}

/// The whole device policy: denied is what is not allowed; then the configured rules; then what
/// every container may do.
pub fn policy(rules: &[DeviceRule<'_>], pointer: &str) -> Result<Vec<Rule>> {
    let mut policy = vec![DENY_ALL];
    for (index, rule) in rules.iter().enumerate() {
        policy.push(device(rule, &format!("{pointer}/{index}"))?);
    }
    policy.extend(DEFAULT);
    Ok(policy)
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
