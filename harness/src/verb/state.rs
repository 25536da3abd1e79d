//! `state`.

use crate::cli::{Args, Global};
use crate::error::Result;
use crate::state;

/// Prints the state of a container.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    let directory = state::find(&global.root(), args.id()?)?;
    let state = directory.load()?;
    super::print_json(&super::Public::new(&state, directory.status(&state)))?;
    Ok(0)
}
