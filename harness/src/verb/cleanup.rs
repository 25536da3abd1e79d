//! `cleanup`.

use crate::cli::{Args, Global};
use crate::error::{Error, Result};
use crate::launch::{filters, template};
use crate::state::Store;

/// Removes what stays below `--root` between containers: the template mount namespace, device programs and seccomp
/// filters.
pub fn run(global: &Global, _: &Args) -> Result<u8> {
    let store = match Store::open(&global.root()) {
        Err(Error::Host { errno: rustix::io::Errno::NOENT, .. }) => return Ok(0),
        store => store?,
    };
    template::remove(&store)?;
    filters::remove(&store)?;
    Ok(0)
}
