//! Id maps and clock offsets: written for a process of a new user or time namespace, from outside.

use std::process::Command;

use rustix::process::Pid;

use super::way::Way;
use crate::error::{Context, Error, Result};
use crate::plan::{Kind, Namespaces};
use crate::process::number;
use crate::spec::IdMapping;

/// The parent's part while the child waits in a new user namespace.
pub fn finish(way: &Way, namespaces: &Namespaces<'_>, pid: Pid) -> Result<()> {
    let Some((_, write)) = &way.gate else { return Ok(()) };
    user(number(pid), &namespaces.uid_map, &namespaces.gid_map)?;
    rustix::io::write(write, b"1").host("write", "to the child").map(drop)
}

/// Engines say which maps a user namespace has that is joined: those of a process in it must be so.
pub fn check(pid: i32, namespaces: &Namespaces<'_>) -> Result<()> {
    if !namespaces.is_joined(Kind::User) {
        return Ok(());
    }
    for (file, map, pointer) in [
        ("uid_map", &namespaces.uid_map, "/linux/uidMappings"),
        ("gid_map", &namespaces.gid_map, "/linux/gidMappings"),
    ] {
        let path = format!("/proc/{pid}/{file}");
        let text = std::fs::read_to_string(&path).host("read", &path)?;
        let sorted = |text: &str| {
            let mut lines: Vec<Vec<String>> =
                text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
            lines.sort_unstable();
            lines
        };
        if !map.is_empty() && sorted(&lines(map)) != sorted(&text) {
            return Err(Error::config(pointer, "is not that of the user namespace that is joined"));
        }
    }
    Ok(())
}

/// Clock offsets of a new time namespace, which nothing has entered yet (time_namespaces(7)).
pub fn offsets(pid: i32, namespaces: &Namespaces<'_>) -> Result<()> {
    if namespaces.offsets.is_empty() {
        return Ok(());
    }
    put(&format!("/proc/{pid}/timens_offsets"), &namespaces.offsets)
}

/// Maps of a new user namespace (user_namespaces(7)): directly where that is allowed, else by the
/// set-user-ID helpers, which know what the caller's subordinate ids are.
pub fn user(pid: i32, uids: &[IdMapping], gids: &[IdMapping]) -> Result<()> {
    let directory = format!("/proc/{pid}");
    let root = rustix::process::geteuid().is_root();
    let own = |map: &[IdMapping], id: u32| matches!(map, [one] if one.size == 1 && one.host_id == id);
    if !root {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        if !own(uids, uid) || !own(gids, gid) {
            helper("newuidmap", "/etc/subuid", pid, uids)?;
            return helper("newgidmap", "/etc/subgid", pid, gids);
        }
        // Without privileges over the parent namespace gid_map needs this.
        put(&format!("{directory}/setgroups"), "deny")?;
    }
    put(&format!("{directory}/uid_map"), &lines(uids))?;
    put(&format!("{directory}/gid_map"), &lines(gids))
}

fn put(path: &str, text: &str) -> Result<()> {
    std::fs::write(path, text).host("write", format_args!("{:?} to {path}", text.trim_end()))
}

fn lines(map: &[IdMapping]) -> String {
    map.iter().map(|one| format!("{} {} {}\n", one.container_id, one.host_id, one.size)).collect()
}

/// Runs newuidmap(1) or newgidmap(1), which refuse ranges that `ranges` does not give the caller.
fn helper(name: &str, ranges: &str, pid: i32, map: &[IdMapping]) -> Result<()> {
    let mut command = Command::new(name);
    command.arg(pid.to_string());
    for one in map {
        command.args([one.container_id, one.host_id, one.size].map(|number| number.to_string()));
    }
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::State(format!(
                "{name} is not installed (package uidmap): an ordinary user needs it to map more than the own id"
            )));
        }
        output => output.host("run", name)?,
    };
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let map = lines(map);
    let reason = text.trim();
    Err(Error::State(format!(
        "{name} refuses {:?}: {reason} (does {ranges} give you these ids?)",
        map.trim_end()
    )))
}
