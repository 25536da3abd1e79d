//! `run`: create, start, wait, delete.

use std::path::PathBuf;

use super::{delete, terminal};
use crate::cli::{Args, Global};
use crate::error::{Context, Result};
use crate::launch::{self, Bundle, Container, Options};
use crate::sys;

/// Runs a container; its exit status, or 128 + the signal that ended it.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    let id = args.id()?;
    let bundle = Bundle::open(&args.bundle())?;
    let detach = args.has("detach");
    let options = Options {
        pid_file: args.value("pid-file").map(PathBuf::from),
        console_socket: args.value("console-socket").map(PathBuf::from),
        pidfd_socket: args.value("pidfd-socket").map(PathBuf::from),
        stays: !detach,
        wishes: super::wishes(args)?,
        ..Options::default()
    };
    let mut container = launch::create(&global.root(), id, &bundle, &options)?;
    if detach {
        return started(&container).map(|()| 0);
    }
    container.settle();
    foreground(&mut container, !args.has("keep"))
}

/// Starts; a container that does not start is removed again.
fn started(container: &Container) -> Result<()> {
    launch::start::start(&container.directory, &container.state).inspect_err(|_| {
        // The error that led here is what counts.
        let _gone = delete::remove(&container.directory, &container.state, true);
    })
}

/// Starts, forwards signals, waits, and removes the container if asked to.
pub fn foreground(container: &mut Container, remove: bool) -> Result<u8> {
    // Before the start, so that neither the end of the process nor a signal for it is missed.
    let mask = sys::block_signals().host("sigprocmask", "")?;
    started(container)?;
    let master = container.master.take();
    let status = match &container.pidfd {
        Some(process) => terminal::foreground(process, container.state.pid, master, &container.state),
        None => Ok(0),
    };
    sys::restore_signals(mask).host("sigprocmask", "")?;
    let status = status?;
    if remove {
        delete::remove(&container.directory, &container.state, true)?;
    }
    Ok(status)
}
