//! Intel RDT through resctrl (Documentation/filesystems/resctrl.rst).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::plan::Rdt;

const MOUNT: &str = "/sys/fs/resctrl";
/// `RDTGROUP_SUPER_MAGIC` of linux/magic.h.
const MAGIC: i64 = 0x0765_5821;

/// What of resctrl a container uses.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Made {
    /// Groups that its processes are in.
    groups: Vec<PathBuf>,
    /// Directories that were made for it: they go with it.
    made: Vec<PathBuf>,
}

/// Makes the group where it is missing and writes its schemata.
pub fn make(plan: &Rdt, id: &str) -> Result<Made> {
    let mounted = rustix::fs::statfs(MOUNT).is_ok_and(|found| found.f_type == MAGIC);
    if !mounted {
        return Err(Error::config("/linux/intelRdt", format!("resctrl is not mounted on {MOUNT}")));
    }
    let mut made = Made::default();
    let done = fill(plan, id, &mut made);
    done.inspect_err(|_| remove(&made))?;
    Ok(made)
}

fn group(plan: &Rdt) -> PathBuf {
    Path::new(MOUNT).join(&plan.group)
}

fn fill(plan: &Rdt, id: &str, made: &mut Made) -> Result<()> {
    let group = group(plan);
    match std::fs::create_dir(&group) {
        Ok(()) if plan.named => {}
        Ok(()) => made.made.push(group.clone()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        done => done.host("mkdir", group.display())?,
    }
    if !plan.schemata.is_empty() {
        let text: String = plan.schemata.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(group.join("schemata"), text)
            .map_err(|error| Error::config("/linux/intelRdt/schemata", error.to_string()))?;
    }
    made.groups.push(group.clone());
    if plan.monitoring {
        let directory = group.join("mon_groups").join(id);
        std::fs::create_dir(&directory).host("mkdir", directory.display())?;
        made.groups.push(directory.clone());
        made.made.insert(0, directory);
    }
    Ok(())
}

/// Puts a process into the groups.
pub fn enter(made: &Made, pid: i32) -> Result<()> {
    for directory in &made.groups {
        let tasks = directory.join("tasks");
        std::fs::write(&tasks, pid.to_string()).host("write", tasks.display())?;
    }
    Ok(())
}

/// Removes what was made for a container.
pub fn remove(made: &Made) {
    for directory in &made.made {
        if let Err(error) = std::fs::remove_dir(directory)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            crate::log::warning(&format!("rmdir {}: {error}", directory.display()));
        }
    }
}
