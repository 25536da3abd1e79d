//! `pause` and `resume`.

use crate::cgroup;
use crate::cli::{Args, Global};
use crate::error::{Error, Result};
use crate::state::{self, Status};

/// Stops every process of a container.
pub fn pause(global: &Global, args: &Args) -> Result<u8> {
    switch(global, args, true)
}

/// Lets them go on.
pub fn resume(global: &Global, args: &Args) -> Result<u8> {
    switch(global, args, false)
}

fn switch(global: &Global, args: &Args, frozen: bool) -> Result<u8> {
    let directory = state::find(&global.root(), args.id()?)?;
    let state = directory.load()?;
    let status = directory.status(&state);
    let fits =
        matches!((frozen, status), (true, Status::Running | Status::Created) | (false, Status::Paused));
    if !fits {
        let verb = if frozen { "pause" } else { "resume" };
        return Err(Error::State(format!("cannot {verb} container {:?}: it is {}", state.id, status.name())));
    }
    cgroup::freeze(&state.cgroups, frozen)?;
    Ok(0)
}
