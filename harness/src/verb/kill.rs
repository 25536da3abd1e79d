//! `kill`.

use rustix::io::Errno;

use crate::cli::{Args, Global};
use crate::error::{Context, Error, Result};
use crate::state::{self, State};
use crate::{cgroup, signal, sys};

const KILL: i32 = 9;

/// Sends a signal to a container's process, or to all of its processes.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    let id = args.id()?;
    let number = signal::parse(args.text(1)?.unwrap_or("TERM"))?;
    let directory = state::find(&global.root(), id)?;
    let state = directory.load()?;
    // Without a pid namespace the others would outlive their first process.
    let all = args.has("all");
    if number != 0 && (all || number == KILL && !state.pid_namespace) {
        let mut reached = 0;
        for cgroup in state.cgroups.iter().take(1) {
            reached += cgroup::signal_all(cgroup, number)?.len();
        }
        if reached > 0 {
            return thaw(&state, number).map(|()| 0);
        }
    }
    let gone = || Error::State(format!("container not running: {id:?}"));
    let Some(process) = state::pin(&state)? else {
        // Engines ask for all processes of containers that may have ended; that is no mistake.
        return if all && state.startable { Ok(0) } else { Err(gone()) };
    };
    if number == 0 {
        return Ok(0);
    }
    match sys::send_signal(&process, number) {
        Ok(()) => thaw(&state, number).map(|()| 0),
        Err(Errno::SRCH) => Err(gone()),
        Err(errno) => Err(errno).host("kill", state.pid),
    }
}

/// A paused process of cgroup v1 dies when it goes on.
fn thaw(state: &State, number: i32) -> Result<()> {
    if number == KILL && cgroup::is_frozen(&state.cgroups)? {
        cgroup::freeze(&state.cgroups, false)?;
    }
    Ok(())
}
