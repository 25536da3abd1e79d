//! Masked and read-only paths.

use std::ffi::CStr;

use bumpalo::Bump;

use super::devices::clean;
use super::{Placed, text};
use crate::error::{Error, Result};
use crate::spec::Text;

/// Paths in the order in which they are covered.
#[derive(Default)]
pub struct Paths<'a> {
    /// All of them.
    pub all: Vec<&'a CStr>,
    /// Where each stands in the configuration's list.
    pub places: Vec<usize>,
    /// How many at the front need not wait for the late mounts.
    pub early: usize,
}

impl<'a> Paths<'a> {
    /// Those that are covered early and late.
    pub fn split(&self, stacked: bool) -> (&[&'a CStr], &[&'a CStr]) {
        // Before the switch the container's paths are not those that init sees.
        self.all.split_at(if stacked { self.early } else { 0 })
    }
}

/// Masked or read-only paths, those on procfs first: they need not wait for the late mounts,
/// unless one of these covers something of procfs. Below /proc/sys they wait for the kernel
/// parameters, where there are any.
pub fn plan<'a>(
    arena: &'a Bump,
    pointer: &str,
    list: Option<&[Text<'_>]>,
    late: &[Placed<'_>],
    sysctl: bool,
) -> Result<Paths<'a>> {
    let mut paths = Paths::default();
    let mut rest = Vec::new();
    let covered = late.iter().any(|placed| placed.mount.target.to_bytes().starts_with(b"/proc"));
    for (index, path) in list.unwrap_or_default().iter().enumerate() {
        let pointer = format!("{pointer}/{index}");
        let clean =
            clean(path).ok_or_else(|| Error::config(&pointer, format!("{:?} must be absolute", &**path)))?;
        let path = text(arena, &pointer, &clean)?;
        let waits = covered || sysctl && (clean == "/proc/sys" || clean.starts_with("/proc/sys/"));
        if clean.starts_with("/proc/") && !waits {
            paths.all.push(path);
            paths.places.push(index);
        } else {
            rest.push((path, index));
        }
    }
    paths.early = paths.all.len();
    paths.all.extend(rest.iter().map(|(path, _)| *path));
    paths.places.extend(rest.iter().map(|(_, index)| index));
    Ok(paths)
}
