//! `delete`.

use rustix::event::Timespec;
use rustix::process::{Signal, pidfd_send_signal};

use crate::cli::{Args, Global};
use crate::error::{Context, Error, Result};
use crate::state::{self, Directory, State, Status, pin};
use crate::{cgroup, launch};

/// How long a process that was killed may take to go.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

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
            eprintln!("warning: {error}; its process and cgroup, if any, are left alone");
            directory.remove()?;
        }
        Err(error) => return Err(error),
    }
    Ok(0)
}

/// Proves that the process has ended, or with `force` kills it; then removes cgroups and state.
pub fn remove(directory: &Directory, state: &State, force: bool) -> Result<()> {
    let status = directory.status(state);
    if status != Status::Stopped && !force && state.startable {
        return Err(Error::State(format!(
            "cannot delete container {:?}: it is {}; stop it first or use --force",
            state.id,
            status.name()
        )));
    }
    if let Some(process) = pin(state)? {
        match pidfd_send_signal(&process, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => return Err(errno).host("kill", state.pid),
        }
        if !launch::wait_gone(&process, Some(PATIENCE))? {
            return Err(Error::State(format!("container {:?} does not end after SIGKILL", state.id)));
        }
    }
    let others = if state.pid_namespace { cgroup::Others::Spare } else { cgroup::Others::Kill };
    for cgroup in &state.made {
        cgroup::remove(cgroup, others)?;
    }
    directory.remove()
}
