//! `run`: create, start, wait, delete.

use std::path::PathBuf;

use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use super::delete;
use crate::cli::{Args, Global};
use crate::error::{Context, Result};
use crate::launch::{self, Bundle, Container, Options};
use crate::sys;

/// Runs a container; its exit status, or 128 + the signal that ended it.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    let id = args.id()?;
    let bundle = Bundle::open(&args.bundle())?;
    let options = Options {
        pid_file: args.value("pid-file").map(PathBuf::from),
        return_network: true,
        ..Options::default()
    };
    let detach = args.has("detach");
    if detach {
        let container = launch::create(&global.root(), id, &bundle, &options)?;
        return started(&container).map(|()| 0);
    }
    let mut container = launch::create(&global.root(), id, &bundle, &options)?;
    container.settle();
    foreground(&container, !args.has("keep"))
}

/// Starts; a container that does not start is removed again.
fn started(container: &Container) -> Result<()> {
    launch::start::start(&container.directory, &container.state).inspect_err(|_| {
        // The error that led here is what counts.
        let _gone = delete::remove(&container.directory, &container.state, true);
    })
}

/// Starts, forwards signals, waits, and removes the container if asked to.
pub fn foreground(container: &Container, remove: bool) -> Result<u8> {
    // Before the start, so that neither the end of the process nor a signal for it is missed.
    let mask = sys::block_signals().host("sigprocmask", "")?;
    started(container)?;
    let status = wait(container)?;
    sys::restore_signals(mask).host("sigprocmask", "")?;
    if remove {
        delete::remove(&container.directory, &container.state, true)?;
    }
    Ok(status)
}

fn wait(container: &Container) -> Result<u8> {
    let Some(process) = &container.pidfd else { return Ok(0) };
    loop {
        let signal = sys::next_signal().host("sigwaitinfo", "")?;
        match signal {
            signal if signal == Signal::CHILD.as_raw() => {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                let ended = rustix::process::waitid(WaitId::PidFd(process.as_fd()), options);
                if let Some(status) = ended.host("waitid", container.state.pid)? {
                    let code = status
                        .exit_status()
                        .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                    return Ok(code.unwrap_or(1) as u8);
                }
            }
            signal => match sys::send_signal(process, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno).host("kill", container.state.pid),
            },
        }
    }
}
