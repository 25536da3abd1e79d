//! cgroup v1: a directory in every hierarchy.

use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::{Made, read, write};
use crate::error::{Context, Error, Result};
use crate::plan::{Cgroup, Rule, Scope};

/// Makes the directories, writes limits and device policy, and opens what the child writes to.
pub fn make(root: &Path, controllers: &[String], plan: &Cgroup, made: &mut Made) -> Result<()> {
    if let Some(limit) = plan.limits.iter().find(|limit| hierarchy(controllers, limit.controller).is_none()) {
        return Err(Error::config(
            limit.pointer,
            format!("cgroup controller {} is not mounted", limit.controller),
        ));
    }
    for controller in controllers {
        let mount = root.join(controller);
        let cpuset = controller.split(',').any(|name| name == "cpuset");
        let mut parent: Option<std::path::PathBuf> = None;
        let directory =
            made.directory(&mount, &plan.path, &mut |above| match parent.replace(above.to_path_buf()) {
                Some(before) if cpuset => inherit(&before, above),
                _ => Ok(()),
            })?;
        if let Some(parent) = parent.filter(|_| cpuset) {
            inherit(&parent, &directory)?;
        }
        for limit in
            plan.limits.iter().filter(|limit| controller.split(',').any(|name| name == limit.controller))
        {
            write(&directory, limit.file, &limit.value)?;
        }
        if controller.split(',').any(|name| name == "devices") {
            devices(&directory, &plan.devices)?;
        }
        let tasks = directory.join("tasks");
        let tasks = rustix::fs::open(&tasks, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .host("open", tasks.display())?;
        made.tasks.push(tasks);
    }
    Ok(())
}

fn hierarchy<'c>(controllers: &'c [String], name: &str) -> Option<&'c String> {
    controllers.iter().find(|controller| controller.split(',').any(|one| one == name))
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
fn devices(directory: &Path, rules: &[Rule]) -> Result<()> {
    for rule in rules {
        let file = if rule.allow { "devices.allow" } else { "devices.deny" };
        write(directory, file, &line(*rule))?;
    }
    Ok(())
}

/// A rule as devices.allow and devices.deny take it.
fn line(rule: Rule) -> String {
    let kind = match rule.scope {
        Scope::All => return "a".into(),
        Scope::Char => 'c',
        Scope::Block => 'b',
    };
    let number = |number: Option<u32>| number.map_or_else(|| "*".into(), |number| number.to_string());
    let letters = [(2, 'r'), (4, 'w'), (1, 'm')];
    let access: String =
        letters.iter().filter(|(bit, _)| rule.access & bit != 0).map(|(_, letter)| letter).collect();
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}
