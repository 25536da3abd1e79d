//! `start`.

use crate::cli::{Args, Global};
use crate::error::Result;
use crate::{launch, state};

/// Starts a created container's process.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    let directory = state::find(&global.root(), args.id()?)?;
    let state = directory.load()?;
    launch::start::start(&directory, &state)?;
    Ok(0)
}
