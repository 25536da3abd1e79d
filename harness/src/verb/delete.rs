//! `delete`.

use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

use crate::cgroup;
use crate::cli::{Args, Global};
use crate::error::{Context, Error, Result};
use crate::launch::{hooks, rdt};
use crate::process::{PATIENCE, wait_gone};
use crate::state::{self, Directory, State, Status, pin};

/// Removes a container.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    let id = args.id()?;
    let force = args.has("force");
    let directory = match state::find(&global.root(), id) {
        Err(Error::State(_)) if force => return Ok(0),
        directory => directory?,
    };
    match directory.load() {
        Ok(state) => remove(&directory, &state, force)?,
        // Nothing is known about its process or cgroup, so neither is touched.
        Err(error) if force => {
            crate::log::warning(&format!("{error}; its process and cgroup, if any, are left alone"));
            directory.remove()?;
        }
        Err(error) => return Err(error),
    }
    Ok(0)
}

/// Proves that the process has ended, or with `force` kills it; then removes cgroups and state.
pub fn remove(directory: &Directory, state: &State, force: bool) -> Result<()> {
    let process = pin(state)?;
    let unfinished = state.startable && state.pid == 0;
    if !force && (process.is_some() || unfinished) {
        return Err(Error::State(format!(
            "cannot delete container {:?}: it is {}; stop it first or use --force",
            state.id,
            directory.status(state).name()
        )));
    }
    if let Some(process) = process {
        match pidfd_send_signal(&process, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno).host("kill", state.pid),
        }
        if cgroup::is_frozen(&state.cgroups).unwrap_or(false) {
            cgroup::freeze(&state.cgroups, false)?;
        }
        if !wait_gone(&process, Some(PATIENCE))? {
            return Err(Error::State(format!("container {:?} does not end after SIGKILL", state.id)));
        }
    }
    let others = if state.pid_namespace { cgroup::Others::Spare } else { cgroup::Others::Kill };
    forget_policy(directory, state)?;
    for cgroup in &state.made {
        cgroup::remove(cgroup, others)?;
    }
    if let Some(made) = &state.rdt {
        rdt::remove(made);
    }
    directory.remove()?;
    let hooks = state.hooks.as_ref().and_then(|hooks| hooks.poststop.as_deref());
    hooks::run_all("poststop", hooks.unwrap_or_default(), state, Status::Stopped.name());
    Ok(())
}

/// Takes the device policy off a cgroup that stays, unless a process of the container may be left in it.
fn forget_policy(directory: &Directory, state: &State) -> Result<()> {
    if !state.made.is_empty() {
        return Ok(());
    }
    let programs = directory.programs()?;
    if programs.is_empty() || !state.pid_namespace && cgroup::is_populated(&state.cgroups)? {
        return Ok(());
    }
    match cgroup::Entry::open(&state.cgroups, "") {
        Err(Error::Host { errno: Errno::NOENT, .. }) => Ok(()),
        entry => entry?.unified.map_or(Ok(()), |cgroup| cgroup::detach(&cgroup, &programs)),
    }
}
