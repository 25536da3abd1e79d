//! `create`.

use std::path::PathBuf;

use crate::cli::{Args, Global};
use crate::error::Result;
use crate::launch::{self, Bundle, Options};
use crate::log;

/// Creates a container whose process waits for `start`.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    // Before anything is opened, which could pass for a descriptor of the caller's.
    let wishes = super::wishes(args)?;
    let id = args.id()?;
    let bundle = Bundle::open(&args.bundle())?;
    let options = Options {
        pid_file: args.value("pid-file").map(PathBuf::from),
        console_socket: args.value("console-socket").map(PathBuf::from),
        pidfd_socket: args.value("pidfd-socket").map(PathBuf::from),
        timing: args.has("timing"),
        wishes,
        ..Options::default()
    };
    let container = launch::create(&global.root(), id, &bundle, &options)?;
    log::debug(global, &format!("created {id:?}, pid {}", container.state.pid));
    // The end of the process closes everything at once.
    std::mem::forget(container);
    Ok(0)
}
