//! cgroup v2: one directory; the device policy is a program (`devices.rs`).

use std::path::{Path, PathBuf};

use super::{Made, open_directory, read_short, write, write_limit};
use crate::error::{Error, Result};
use crate::plan::{Cgroup, Limit};

/// Controllers that are turned on for containers where the kernel has them, limits or not: they
/// also count, and engines read the figures.
const WANTED: [&str; 8] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"];

/// Makes the directory and writes the limits. Without any, turning controllers on is left for later.
pub fn make(root: &Path, plan: &Cgroup, made: &mut Made) -> Result<()> {
    let wanted = if plan.limits.is_empty() { None } else { Some(wanted(root, &plan.limits)?) };
    let mut parents = Vec::new();
    let directory = made.directory(root, &plan.path, &mut |above, _| match &wanted {
        Some(wanted) => turn_on(above, wanted, &plan.limits),
        None => {
            parents.push(above.to_path_buf());
            Ok(())
        }
    })?;
    made.parents = parents;
    for limit in &plan.limits {
        write_limit(&directory, limit)?;
    }
    made.entry.unified = Some(open_directory(&directory)?);
    Ok(())
}

/// Turns the controllers on that nobody needs. What the kernel refuses here stays off.
pub fn count(root: &Path, parents: &[PathBuf]) -> Result<()> {
    if parents.is_empty() {
        return Ok(());
    }
    let wanted = wanted(root, &[])?;
    parents.iter().try_for_each(|above| turn_on(above, &wanted, &[]))
}

/// The wanted controllers that the kernel has, which must have those of `needed`.
fn wanted(root: &Path, needed: &[Limit]) -> Result<Vec<&'static str>> {
    let available = read_short(root, "cgroup.controllers")?;
    let available: Vec<&str> = available.split_ascii_whitespace().collect();
    let missing = |limit: &&Limit| !limit.controller.is_empty() && !available.contains(&&*limit.controller);
    match needed.iter().find(missing) {
        Some(limit) => Err(Error::config(
            limit.pointer.as_str(),
            format!("cgroup controller {} is not available", limit.controller),
        )),
        None => Ok(WANTED.into_iter().filter(|name| available.contains(name)).collect()),
    }
}

/// Turns controllers on for the children of a cgroup; those of `needed` must be.
fn turn_on(above: &Path, wanted: &[&str], needed: &[Limit]) -> Result<()> {
    // Where there is a container already they are on, which is cheaper to see than to repeat.
    let on = read_short(above, "cgroup.subtree_control").unwrap_or_default();
    let is_missing = |name: &&&str| !on.split_ascii_whitespace().any(|on| on == **name);
    let missing: Vec<&str> = wanted.iter().filter(is_missing).copied().collect();
    let all: Vec<String> = missing.iter().map(|name| format!("+{name}")).collect();
    if missing.is_empty() || write(above, "cgroup.subtree_control", &all.join(" ")).is_ok() {
        return Ok(());
    }
    // One that cannot be turned on here takes the others with it; only needed ones must be.
    for name in &missing {
        match write(above, "cgroup.subtree_control", &format!("+{name}")) {
            Err(error) if needed.iter().any(|limit| limit.controller == *name) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Limit, Missing};

    #[test]
    fn writes_limits_and_turns_controllers_on_in_a_recorded_tree() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        let leaf = root.join("a/b");
        std::fs::create_dir_all(&leaf).unwrap();
        std::fs::write(root.join("cgroup.controllers"), "cpuset cpu io memory pids").unwrap();
        for directory in [root, &root.join("a")] {
            std::fs::write(directory.join("cgroup.subtree_control"), "").unwrap();
        }
        for file in ["memory.max", "cpu.max", "pids.max", "cgroup.procs"] {
            std::fs::write(leaf.join(file), "").unwrap();
        }
        let limit = |controller: &'static str, file: &'static str, value: &str| Limit {
            controller: controller.into(),
            file: file.into(),
            value: value.into(),
            pointer: String::new(),
            missing: Missing::Refuse,
        };
        let plan = Cgroup {
            path: "/a/b".into(),
            limits: vec![
                limit("memory", "memory.max", "1048576"),
                limit("cpu", "cpu.max", "20000 100000"),
                limit("pids", "pids.max", "32"),
            ],
            ..Cgroup::default()
        };
        let mut made = Made::default();
        make(root, &plan, &mut made).unwrap();
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(text("cgroup.subtree_control"), "+cpuset +cpu +io +memory +pids");
        assert_eq!(text("a/cgroup.subtree_control"), "+cpuset +cpu +io +memory +pids");
        assert_eq!(text("a/b/memory.max"), "1048576");
        assert_eq!(text("a/b/cpu.max"), "20000 100000");
        assert_eq!(text("a/b/pids.max"), "32");
        // It was there before: not this container's to remove should something fail.
        assert!(made.directories.is_empty());

        let missing = Cgroup { limits: vec![limit("rdma", "rdma.max", "1")], ..plan };
        let error = make(root, &missing, &mut Made::default()).unwrap_err().to_string();
        assert_eq!(error, "config.json: : cgroup controller rdma is not available");
    }
}
