//! cgroup v1: a directory in every hierarchy.

use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::{Made, read, write, write_limit};
use crate::error::{Context, Error, Result};
use crate::plan::{Cgroup, EVERY, MKNOD, READ, Rule, Scope, WRITE, base};

/// Makes the directories, writes limits and device policy, and opens what the child writes to.
pub fn make(root: &Path, controllers: &[String], plan: &Cgroup, made: &mut Made) -> Result<()> {
    let mounted = |name: &str| controllers.iter().any(|hierarchy| holds(hierarchy, name));
    if let Some(limit) = plan.limits.iter().find(|limit| !mounted(&limit.controller)) {
        return Err(Error::config(
            limit.pointer.as_str(),
            format!("cgroup controller {} is not mounted", limit.controller),
        ));
    }
    check(&plan.devices, "/linux/resources/devices")?;
    for controller in controllers {
        let mount = root.join(controller);
        let cpuset = holds(controller, "cpuset");
        let directory = made.directory(&mount, &plan.path, &mut |parent, child| {
            if cpuset { inherit(parent, child) } else { Ok(()) }
        })?;
        for limit in plan.limits.iter().filter(|limit| holds(controller, &limit.controller)) {
            write_limit(&directory, limit)?;
        }
        if holds(controller, "devices") {
            devices(&directory, &plan.devices)?;
        }
        let tasks = directory.join("tasks");
        let tasks = rustix::fs::open(&tasks, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .host("open", tasks.display())?;
        made.entry.tasks.push(tasks);
    }
    Ok(())
}

/// Refuses a policy that v1 cannot carry out.
pub fn check(rules: &[Rule], pointer: &str) -> Result<()> {
    // The first rule is this runtime's own; those after the configured ones only allow.
    let configured = rules.len().saturating_sub(crate::plan::DEFAULT_DEVICES.len());
    match beyond(rules.get(..configured).unwrap_or_default()) {
        None => Ok(()),
        Some(at) => Err(Error::config(
            format!("{pointer}/{}", at - 1),
            "cgroup v1 cannot decide about a part of what an earlier rule decides",
        )),
    }
}

/// Whether a hierarchy, `cpu,cpuacct` say, holds a controller.
fn holds(hierarchy: &str, controller: &str) -> bool {
    hierarchy.split(',').any(|name| name == controller)
}

/// A new cpuset is empty and takes no process before it has CPUs and memory nodes (cpusets(7)).
fn inherit(parent: &Path, directory: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if read(directory, file)?.trim().is_empty() {
            write(directory, file, read(parent, file)?.trim())?;
        }
    }
    Ok(())
}

/// The policy as a sequence of writes, in the order given.
pub fn devices(directory: &Path, rules: &[Rule]) -> Result<()> {
    for rule in rules {
        let file = if rule.allow { "devices.allow" } else { "devices.deny" };
        for line in lines(*rule) {
            write(directory, file, &line)?;
        }
    }
    Ok(())
}

/// The place of the first rule that v1 cannot carry out: it takes back whole entries only, so a
/// rule against a part of an earlier one would be without effect.
pub fn beyond(rules: &[Rule]) -> Option<usize> {
    let base = base(rules)?;
    let allowed = rules.get(base)?.allow;
    let after = rules.get(base + 1..)?;
    let meet = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
    let at = after.iter().enumerate().position(|(index, rule)| {
        rule.allow == allowed
            && after.iter().take(index).any(|earlier| {
                let scopes =
                    earlier.scope == rule.scope || earlier.scope == Scope::All || rule.scope == Scope::All;
                let same =
                    earlier.scope == rule.scope && earlier.major == rule.major && earlier.minor == rule.minor;
                earlier.allow != allowed
                    && earlier.access & rule.access != 0
                    && scopes
                    && meet(earlier.major, rule.major)
                    && meet(earlier.minor, rule.minor)
                    && !same
            })
    })?;
    Some(base + 1 + at)
}

/// A rule as devices.allow and devices.deny take it; `a` always means every access.
fn lines(rule: Rule) -> Vec<String> {
    match rule.scope {
        Scope::All if rule.access == EVERY => vec!["a".into()],
        Scope::All => vec![line('c', rule), line('b', rule)],
        Scope::Char => vec![line('c', rule)],
        Scope::Block => vec![line('b', rule)],
    }
}

fn line(kind: char, rule: Rule) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| "*".into(), |number| number.to_string());
    let letters = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
    let access: String =
        letters.iter().filter(|(bit, _)| rule.access & bit != 0).map(|(_, letter)| letter).collect();
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, scope: Scope, major: Option<u32>, access: u32) -> Rule {
        Rule { allow, scope, major, minor: None, access }
    }

    #[test]
    fn rules_become_lines() {
        assert_eq!(lines(rule(true, Scope::All, None, 7)), ["a"]);
        assert_eq!(lines(rule(true, Scope::All, None, 2)), ["c *:* r", "b *:* r"]);
        assert_eq!(lines(rule(true, Scope::Char, Some(1), 6)), ["c 1:* rw"]);
    }

    #[test]
    fn what_version_1_cannot_do_is_found() {
        let deny = rule(false, Scope::All, None, 7);
        let chars = rule(true, Scope::Char, None, 7);
        assert_eq!(beyond(&[deny, chars, rule(false, Scope::Char, Some(1), 7)]), Some(2));
        assert_eq!(beyond(&[deny, chars, rule(false, Scope::Char, None, 4)]), None);
        assert_eq!(beyond(&[deny, chars, rule(false, Scope::Block, None, 4)]), None);
        assert_eq!(beyond(&[rule(true, Scope::All, None, 7), rule(false, Scope::Char, None, 4)]), None);
    }
}
