//! Limits of a container that exists.

use std::path::{Path, PathBuf};

use super::{devices, is_unified, read_short, v1, write_limit};
use crate::error::{Context, Error, Result};
use crate::plan::{Limit, Rule};
use crate::sys;

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

/// Replaces the device policy.
pub fn policy(directories: &[PathBuf], rules: &[Rule]) -> Result<()> {
    for directory in directories {
        if is_unified(directory) {
            let handle = super::open_directory(directory)?;
            let old = sys::device_programs(&handle).host("list", "device programs")?;
            // Attached first: between the two both hold, which is stricter than either.
            if let Some(program) = devices::compile(rules) {
                let program = sys::load_device_program(&program).host("load", "device program")?;
                sys::attach_device_program(&handle, &program).host("attach", "device program")?;
            }
            for program in &old {
                sys::detach_device_program(&handle, program).host("detach", "device program")?;
            }
        } else if directory.join("devices.list").exists() {
            v1::check(rules, "/devices")?;
            v1::devices(directory, rules)?;
        }
    }
    Ok(())
}
