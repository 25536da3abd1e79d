//! Limits of a container that exists.

use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::{devices, is_unified, read_short, v1, write_limit};
use crate::error::{Context, Error, Result};
use crate::plan::{Limit, Rule};
use crate::spec::Resources;
use crate::state::Directory;
use crate::sys::{self, ProgramName};

/// Writes limits. One that contradicts another old value, as memory and swap do, is tried again
/// behind the others.
pub fn limits(directories: &[PathBuf], limits: &[Limit]) -> Result<()> {
    let mut later = Vec::new();
    for limit in limits {
        let directory = home(directories, limit)?;
        if write_limit(directory, limit).is_err() {
            later.push((directory, limit));
        }
    }
    later.into_iter().try_for_each(|(directory, limit)| write_limit(directory, limit))
}

/// Fills in what v2 needs to know besides what is changed, and v1 does not, as it is now: the quota of
/// a period, which are one file, and the memory that is no part of the swap.
pub fn complete(directories: &[PathBuf], resources: &mut Resources<'_>) {
    if let Some(directory) = directories.iter().find(|directory| is_unified(directory)) {
        complete_from(directory, resources);
    }
}

fn complete_from(directory: &Path, resources: &mut Resources<'_>) {
    let current = |file: &str| {
        let text = read_short(directory, file).ok()?;
        let first = text.split_ascii_whitespace().next()?;
        if first == "max" { Some(-1) } else { first.parse().ok() }
    };
    if let Some(cpu) = resources.cpu.as_mut().filter(|cpu| cpu.period.is_some() && cpu.quota.is_none()) {
        cpu.quota = current("cpu.max");
    }
    if let Some(memory) = resources.memory.as_mut().filter(|memory| memory.swap > Some(0)) {
        memory.limit = memory.limit.or_else(|| current("memory.max"));
    }
}

/// The directory of a limit's controller.
fn home<'d>(directories: &'d [PathBuf], limit: &Limit) -> Result<&'d Path> {
    let of = |directory: &&PathBuf| is_unified(directory) || directory.join(&*limit.file).exists();
    let missing = || {
        Error::config(
            &limit.pointer,
            format!("the container has no cgroup with controller {}", limit.controller),
        )
    };
    directories.iter().find(of).map(PathBuf::as_path).ok_or_else(missing)
}

/// Fails where a limit of memory lies below what is in use (`checkBeforeUpdate`).
pub fn check_memory(directories: &[PathBuf], limit: i64, pointer: &str) -> Result<()> {
    for (directory, file) in directories
        .iter()
        .flat_map(|directory| ["memory.current", "memory.usage_in_bytes"].map(|file| (directory, file)))
    {
        let Ok(text) = read_short(directory, file) else { continue };
        let usage: i64 = text.trim().parse().unwrap_or(0);
        if (1..usage).contains(&limit) {
            return Err(Error::config(pointer, format!("{limit} is less than the {usage} bytes in use")));
        }
    }
    Ok(())
}

/// Replaces the device policy, on a cgroup of the container's own all of it. On one that was there before,
/// `kept`, it replaces the container's programs, whose names it keeps there.
pub fn policy(directories: &[PathBuf], rules: &[Rule], kept: Option<&Directory>) -> Result<()> {
    for directory in directories {
        if is_unified(directory) {
            unified(&super::open_directory(directory)?, rules, kept)?;
        } else if directory.join("devices.list").exists() {
            v1::check(rules, "/devices")?;
            v1::devices(directory, rules)?;
        }
    }
    Ok(())
}

fn unified(cgroup: &OwnedFd, rules: &[Rule], kept: Option<&Directory>) -> Result<()> {
    let mut names = kept.map(Directory::programs).transpose()?.unwrap_or_default();
    let old = match kept {
        None => sys::device_programs(cgroup).host("list", "device programs")?,
        Some(_) => named(&names)?,
    };
    // Attached first: between the two both hold, which is stricter than either.
    if let Some(code) = devices::compile(rules) {
        let program = sys::load_device_program(&code).host("load", "device program")?;
        if let Some(directory) = kept {
            names.push(sys::program_name(&program).host("look at", "device program")?);
            directory.store_programs(&names)?;
        }
        sys::attach_device_program(cgroup, &program).host("attach", "device program")?;
    }
    detach_all(cgroup, &old)?;
    match (kept, names.last()) {
        (Some(directory), Some(last)) => directory.store_programs(&[*last]),
        _ => Ok(()),
    }
}

/// Detaches a container's device programs from a cgroup that stays.
pub fn detach(cgroup: &OwnedFd, programs: &[ProgramName]) -> Result<()> {
    detach_all(cgroup, &named(programs)?)
}

/// The programs of those names that there still are.
fn named(names: &[ProgramName]) -> Result<Vec<OwnedFd>> {
    let found = names.iter().filter_map(|name| sys::named_program(*name).transpose());
    found.collect::<rustix::io::Result<_>>().host("look at", "device program")
}

fn detach_all(cgroup: &OwnedFd, programs: &[OwnedFd]) -> Result<()> {
    for program in programs {
        match sys::detach_device_program(cgroup, program) {
            // Never attached, or another command was first.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).host("detach", "device program"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v2_keeps_what_is_not_changed() {
        let tree = tempfile::tempdir().unwrap();
        let after = |text: &str| {
            let mut resources: Resources<'_> = serde_json::from_str(text).unwrap();
            complete_from(tree.path(), &mut resources);
            let values = crate::plan::plan_limits(&resources, true, "").unwrap();
            values
                .iter()
                .map(|limit| format!("{} {}", limit.file, limit.value))
                .collect::<Vec<_>>()
                .join(", ")
        };
        for (max, period) in [("20000 100000\n", "20000 50000"), ("max 100000\n", "max 50000")] {
            std::fs::write(tree.path().join("cpu.max"), max).unwrap();
            assert_eq!(after(r#"{"cpu":{"period":50000}}"#), format!("cpu.max {period}"));
        }
        assert_eq!(after(r#"{"cpu":{"quota":7000}}"#), "cpu.max 7000");
        std::fs::write(tree.path().join("memory.max"), "1000\n").unwrap();
        assert_eq!(after(r#"{"memory":{"swap":1500}}"#), "memory.max 1000, memory.swap.max 500");
        assert_eq!(after(r#"{"memory":{"swap":-1}}"#), "memory.swap.max max");
        assert_eq!(after(r#"{"memory":{"swap":1500,"limit":900}}"#), "memory.max 900, memory.swap.max 600");
    }
}
