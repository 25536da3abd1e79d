//! `demo`.
use crate::cli::{Args, Global};
use crate::error::Result;
/// Demo.
pub fn run(_: &Global, _: &Args) -> Result<u8> {
    Ok(0)
}
