//! `exec`.

use std::path::{Path, PathBuf};

use bumpalo::Bump;

use super::{terminal, wishes};
use crate::cli::{Args, Global};
use crate::error::{Context, Error, Result};
use crate::launch::exec::{self, Options};
use crate::plan;
use crate::spec::{self, Process, Spec, Text, User};
use crate::state;

/// Starts one more process in a container; its exit status.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    // Before anything is opened, which could pass for a descriptor of the caller's.
    let extra = wishes(args)?.extra;
    let directory = state::find(&global.root(), args.id()?)?;
    let state = directory.load()?;
    let path = |name: &str| args.value(name).map(PathBuf::from);
    let file = path("process");
    let text = source(args, &state, file.as_deref())?;
    let bundle;
    let process = if file.is_some() {
        spec::parse_part::<Process<'_>>(file.as_deref().unwrap_or(Path::new("")), &text)?
    } else {
        bundle = spec::parse(Path::new("config.json"), &text)?;
        from_arguments(args, bundle)?
    };
    let arena = Bump::new();
    let process = arena.alloc(process);
    let mut warnings = Vec::new();
    let planned = plan::plan_process(&arena, process, &[], &[], extra, &mut warnings)?;
    for warning in &warnings {
        crate::log::warning(warning);
    }
    let detach = args.has("detach");
    let affinity = process.exec_cpu_affinity.as_ref();
    let cpus = |list: &Option<Text<'_>>| list.as_deref().filter(|list| !list.is_empty()).map(str::to_owned);
    let options = Options {
        pid_file: path("pid-file"),
        console_socket: path("console-socket"),
        pidfd_socket: path("pidfd-socket"),
        cgroup: below(args)?,
        ignore_paused: args.has("ignore-paused"),
        affinity: [
            affinity.and_then(|affinity| cpus(&affinity.initial)),
            affinity.and_then(|affinity| cpus(&affinity.last)),
        ],
        stays: !detach,
    };
    let running = exec::exec(&directory, &state, &planned, &options)?;
    if detach {
        return Ok(0);
    }
    terminal::foreground(&running.pidfd, running.pid, running.master, &state)
}

/// `--process`, or the configuration that the arguments change.
fn source(args: &Args, state: &state::State, file: Option<&Path>) -> Result<Vec<u8>> {
    let Some(file) = file else {
        if args.text(1)?.is_none() {
            return Err(Error::Usage("exec: a program or --process is needed".into()));
        }
        let config = Path::new(&state.bundle).join("config.json");
        return std::fs::read(&config).host("read", config.display());
    };
    if args.text(1)?.is_some() {
        return Err(Error::Usage("exec: --process and a program exclude each other".into()));
    }
    std::fs::read(file).host("read", file.display())
}

/// The container's first process with other arguments, and what the options say.
fn from_arguments<'a>(args: &Args, spec: Spec<'a>) -> Result<Process<'a>> {
    let mut process = spec.process.unwrap_or_default();
    let owned = |text: &std::ffi::OsString| Text::from(text.to_string_lossy().into_owned());
    process.args = Some(args.rest(1).iter().map(owned).collect());
    process.terminal = Some(args.has("tty"));
    process.exec_cpu_affinity = None;
    process.env.get_or_insert_default().extend(args.values("env").map(owned));
    if let Some(cwd) = args.value("cwd") {
        process.cwd = Some(owned(cwd));
    }
    if let Some(user) = args.value("user") {
        process.user = user_of(&user.to_string_lossy(), process.user)?;
    }
    let groups: std::result::Result<Vec<u32>, _> =
        args.values("additional-gids").map(|gid| gid.to_string_lossy().parse()).collect();
    let groups = groups.map_err(|_| Error::Usage("exec: --additional-gids: a number is needed".into()))?;
    process.user.additional_gids.get_or_insert_default().extend(groups);
    if args.has("no-new-privs") {
        process.no_new_privileges = Some(true);
    }
    if let Some(profile) = args.value("apparmor") {
        process.apparmor_profile = Some(owned(profile));
    }
    if let Some(label) = args.value("process-label") {
        process.selinux_label = Some(owned(label));
    }
    let sets = process.capabilities.get_or_insert_default();
    for name in args.values("cap") {
        // Not inheritable, so not ambient: only what was asked for (CVE-2022-29162).
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.get_or_insert_default().push(owned(name));
        }
    }
    Ok(*process)
}

/// `UID[:GID]`, numbers alone: the image's files have no say in it.
fn user_of(text: &str, old: User) -> Result<User> {
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u32>().ok().filter(|number| digits && *number != u32::MAX);
        number.ok_or_else(|| Error::Usage(format!("exec: --user: {text:?} is no id (UID or UID:GID)")))
    };
    let uid = number(uid)?;
    let gid = gid.map(number).transpose()?.unwrap_or(old.gid);
    Ok(User { uid, gid, umask: old.umask, additional_gids: old.additional_gids })
}

/// A path below the container's cgroup.
fn below(args: &Args) -> Result<String> {
    let Some(path) = args.value("cgroup") else { return Ok(String::new()) };
    let path = path.to_string_lossy();
    if path.split('/').any(|part| part == "..") {
        return Err(Error::Usage(format!("exec: --cgroup: {path:?} must not contain \"..\"")));
    }
    Ok(path.trim_matches('/').to_owned())
}
