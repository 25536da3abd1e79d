//! The process: arguments, ids, capabilities, limits.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::str::FromStr;

use bumpalo::Bump;
use caps::Capability;
use init_core::config::{Capabilities, Labels, Process, Rlimit, Terminal};

use super::schedule::{self, Schedule};
use super::{Kind, Namespaces, text, texts};
use crate::error::{Error, Result};
use crate::spec::{self, Text};

/// Names of the limits of getrlimit(2), by their number on Linux.
const RLIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// A process of a container: its first one, or one that `exec` adds.
#[derive(Debug)]
pub struct Planned<'a> {
    /// What init does.
    pub process: Process<'a>,
    /// Its terminal.
    pub terminal: Terminal,
    /// Labels of the security modules.
    pub labels: Labels<'a>,
    /// What the harness sets from outside.
    pub schedule: Schedule,
}

/// What is asked of `plan` beyond the process's own description.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extra {
    /// Descriptors from 3 up that the process keeps (`--preserve-fds`, `LISTEN_FDS`).
    pub preserve: u32,
    /// How many of these are `LISTEN_FDS`.
    pub listen: u32,
    /// Name the socket of `NOTIFY_SOCKET`.
    pub notify: bool,
}

/// Plans the process.
pub fn plan<'a>(
    arena: &'a Bump,
    process: &'a spec::Process<'a>,
    uid_map: &[spec::IdMapping],
    gid_map: &[spec::IdMapping],
    extra: Extra,
    warnings: &mut Vec<String>,
) -> Result<Planned<'a>> {
    let args = texts(arena, "/process/args", process.args.as_deref().unwrap_or_default())?;
    match args {
        [] => return Err(Error::config("/process/args", "empty")),
        [first, ..] if first.is_empty() => return Err(Error::config("/process/args/0", "empty")),
        _ => {}
    }
    let cwd = process.cwd.as_deref().ok_or_else(|| Error::config("/process/cwd", "missing"))?;
    if !cwd.starts_with('/') {
        return Err(Error::config("/process/cwd", format!("{cwd:?} must be absolute")));
    }
    let user = &process.user;
    let mut groups = user.additional_gids.clone().unwrap_or_default();
    for (index, gid) in groups.iter().enumerate() {
        id(&format!("/process/user/additionalGids/{index}"), *gid, gid_map)?;
    }
    // setgroups(2) counts repeated groups; the list asked for is a set.
    groups.sort_unstable();
    groups.dedup();
    let umask = user.umask.unwrap_or(0o022);
    if umask > 0o777 {
        return Err(Error::config("/process/user/umask", format!("{umask} exceeds 511 (0777)")));
    }
    let score = match process.oom_score_adj {
        Some(score @ (..=-1001 | 1001..)) => {
            return Err(Error::config("/process/oomScoreAdj", format!("{score} is outside -1000 to 1000")));
        }
        score => score.map(|score| score as i32),
    };
    let env = process.env.as_deref().unwrap_or_default();
    let value = |key: &str| env.iter().rev().find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='));
    let made = Process {
        args,
        env: environment(arena, env, extra)?,
        cwd: text(arena, "/process/cwd", cwd)?,
        uid: id("/process/user/uid", user.uid, uid_map)?,
        gid: id("/process/user/gid", user.gid, gid_map)?,
        groups: arena.alloc_slice_copy(&groups),
        keep_groups: false,
        umask,
        no_new_privs: process.no_new_privileges.unwrap_or(false),
        capabilities: capabilities(process.capabilities.as_deref(), warnings)?,
        rlimits: rlimits(arena, process.rlimits.as_deref().unwrap_or_default())?,
        oom_score_adj: score,
        parent_death_signal: 0,
        home: value("HOME").unwrap_or_default().is_empty(),
        listen_pid: extra.listen > 0,
        preserve: extra.preserve,
        ..Process::default()
    };
    let label =
        |pointer: &str, label: &Option<Text<'_>>| text(arena, pointer, label.as_deref().unwrap_or_default());
    Ok(Planned {
        process: made,
        terminal: terminal(process)?,
        labels: Labels {
            apparmor: label("/process/apparmorProfile", &process.apparmor_profile)?,
            selinux: label("/process/selinuxLabel", &process.selinux_label)?,
        },
        schedule: schedule::plan(process)?,
    })
}

/// The terminal and its size; the kernel has 16 bits for each.
fn terminal(process: &spec::Process<'_>) -> Result<Terminal> {
    let size = process.console_size.unwrap_or_default();
    for (field, value) in [("height", size.height), ("width", size.width)] {
        if value > u32::from(u16::MAX) {
            return Err(Error::config(
                format!("/process/consoleSize/{field}"),
                format!("{value} exceeds 65535"),
            ));
        }
    }
    let open = process.terminal.unwrap_or(false);
    Ok(Terminal { open, console: open, rows: size.height, columns: size.width })
}

/// 4294967295 means "unchanged" to setresuid(2), so it is never an id; in a user namespace only
/// mapped ones exist.
fn id(pointer: &str, id: u32, map: &[spec::IdMapping]) -> Result<u32> {
    if id == u32::MAX {
        return Err(Error::config(pointer, "4294967295 is not an id"));
    }
    let mapped =
        |one: &spec::IdMapping| id.checked_sub(one.container_id).is_some_and(|offset| offset < one.size);
    if !map.is_empty() && !map.iter().any(mapped) {
        return Err(Error::config(pointer, format!("{id} is not mapped in the user namespace")));
    }
    Ok(id)
}

/// `KEY=value` entries; of a repeated key the last one counts, as in a shell. An empty `HOME` is
/// none: init finds out.
fn environment<'a>(arena: &'a Bump, env: &[Text<'_>], extra: Extra) -> Result<&'a [&'a CStr]> {
    let all = texts(arena, "/process/env", env)?;
    for (index, entry) in env.iter().enumerate() {
        let wrong = |reason| Err(Error::config(format!("/process/env/{index}"), reason));
        match entry.split_once('=') {
            None => return wrong(format!("{:?} has no '='", &**entry)),
            Some(("", _)) => return wrong("the name is empty".into()),
            Some(_) => {}
        }
    }
    let last: BTreeMap<&str, usize> =
        env.iter().enumerate().map(|(index, entry)| (name(entry), index)).collect();
    // What the caller's sockets are called is the runtime's to say, not the image's.
    let dropped = |entry: &str| {
        entry == "HOME="
            || extra.listen > 0 && matches!(name(entry), "LISTEN_FDS" | "LISTEN_PID")
            || extra.notify && name(entry) == "NOTIFY_SOCKET"
    };
    if last.len() == env.len()
        && extra.listen == 0
        && !extra.notify
        && !env.iter().any(|entry| &**entry == "HOME=")
    {
        return Ok(all);
    }
    let kept = all
        .iter()
        .zip(env)
        .enumerate()
        .filter(|(index, (_, entry))| last.get(name(entry)) == Some(index) && !dropped(entry));
    let mut env = bumpalo::collections::Vec::from_iter_in(kept.map(|(_, (text, _))| *text), arena);
    if extra.notify {
        env.push(text(arena, "", crate::launch::notify::VARIABLE)?);
    }
    if extra.listen > 0 {
        env.push(text(arena, "", &format!("LISTEN_FDS={}", extra.listen))?);
    }
    Ok(env.into_bump_slice())
}

fn name(entry: &str) -> &str {
    entry.split('=').next().unwrap_or_default()
}

/// Absent means none. Unknown names warn and grant nothing; so does an ambient capability that is
/// not both permitted and inheritable, which the kernel would refuse to raise.
fn capabilities(sets: Option<&spec::Capabilities<'_>>, warnings: &mut Vec<String>) -> Result<Capabilities> {
    let Some(sets) = sets else { return Ok(Capabilities::default()) };
    let mut set = |pointer: &str, names: &Option<Vec<Text<'_>>>| {
        let mut bits = 0;
        for (index, name) in names.iter().flatten().enumerate() {
            match Capability::from_str(name) {
                Ok(capability) => bits |= 1 << capability.index(),
                Err(_) => warnings.push(format!(
                    "config.json: /process/capabilities/{pointer}/{index}: unknown capability {:?} is ignored",
                    &**name
                )),
            }
        }
        bits
    };
    let mut plan = Capabilities {
        bounding: set("bounding", &sets.bounding),
        effective: set("effective", &sets.effective),
        permitted: set("permitted", &sets.permitted),
        inheritable: set("inheritable", &sets.inheritable),
        ambient: set("ambient", &sets.ambient),
    };
    if plan.effective & !plan.permitted != 0 {
        return Err(Error::config(
            "/process/capabilities/effective",
            "holds capabilities that are not permitted",
        ));
    }
    let raised = plan.ambient & plan.permitted & plan.inheritable;
    if raised != plan.ambient {
        warnings.push(
            "config.json: /process/capabilities/ambient: capabilities that are not permitted and inheritable are not raised"
                .into(),
        );
        plan.ambient = raised;
    }
    Ok(plan)
}

fn rlimits<'a>(arena: &'a Bump, limits: &[spec::Rlimit<'_>]) -> Result<&'a [Rlimit]> {
    let mut plan: Vec<Rlimit> = Vec::new();
    for (index, limit) in limits.iter().enumerate() {
        let wrong = |reason: String| Err(Error::config(format!("/process/rlimits/{index}"), reason));
        let Some(resource) = RLIMITS.iter().position(|name| *name == &*limit.kind) else {
            return wrong(format!("unknown limit {:?}", &*limit.kind));
        };
        if plan.iter().any(|other| other.resource as usize == resource) {
            return wrong(format!("{} is there twice", &*limit.kind));
        }
        if limit.soft > limit.hard {
            return wrong(format!("soft limit {} exceeds hard limit {}", limit.soft, limit.hard));
        }
        plan.push(Rlimit { resource: resource as u32, soft: limit.soft, hard: limit.hard });
    }
    Ok(arena.alloc_slice_copy(&plan))
}

/// Whether the kernel will refuse setgroups(2): an ordinary user's namespace is made with `deny`.
pub fn without_groups(process: &mut Process<'_>, namespaces: &Namespaces<'_>) -> Result<()> {
    if !process.groups.is_empty() {
        return Err(Error::config(
            "/process/user/additionalGids",
            "an ordinary user's user namespace cannot set groups",
        ));
    }
    process.keep_groups = namespaces.is_new(Kind::User);
    Ok(())
}
