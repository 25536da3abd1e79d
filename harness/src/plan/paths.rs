//! Paths: how they are written, and those that are masked or read-only.

use std::borrow::Cow;
use std::ffi::CStr;

use bumpalo::Bump;

use super::{Place, Placed, text};
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
    pointer: &'static str,
    list: Option<&[Text<'_>]>,
    late: &[Placed<'_>],
    sysctl: bool,
) -> Result<Paths<'a>> {
    let mut paths = Paths::default();
    let mut rest = Vec::new();
    let covered = late.iter().any(|placed| placed.mount.target.to_bytes().starts_with(b"/proc"));
    for (index, path) in list.unwrap_or_default().iter().enumerate() {
        let place = Place::element(pointer, index);
        let clean =
            clean(path).ok_or_else(|| Error::config(place, format!("{:?} must be absolute", &**path)))?;
        let path = text(arena, place, &clean)?;
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

/// An absolute path without `.`, `..` and repeated slashes, as if it were written from the root; `None`
/// for a relative one.
pub fn clean(path: &str) -> Option<Cow<'_, str>> {
    let rest = path.strip_prefix('/')?;
    let mut parts = rest.as_bytes().split(|byte| *byte == b'/');
    let odd = parts.any(|part| matches!(part, b"" | b"." | b".."));
    Some(if odd { rooted(rest).into() } else { path.into() })
}

/// A path below the root, written like this from there: always absolute and clean.
pub fn rooted(path: &str) -> String {
    let mut rooted = String::with_capacity(path.len() + 1);
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => rooted.truncate(rooted.rfind('/').unwrap_or_default()),
            part => {
                rooted.push('/');
                rooted.push_str(part);
            }
        }
    }
    if rooted.is_empty() { "/".into() } else { rooted }
}

#[cfg(test)]
mod tests {
    use super::{clean, rooted};

    #[test]
    fn paths_are_cleaned_from_the_root() {
        assert_eq!(clean("/a//b/./c/").as_deref(), Some("/a/b/c"));
        assert_eq!(clean("/../../etc").as_deref(), Some("/etc"));
        assert_eq!(clean("/").as_deref(), Some("/"));
        assert_eq!(clean("/a/b").as_deref(), Some("/a/b"));
        assert_eq!(clean("/a/..b/").as_deref(), Some("/a/..b"));
        assert_eq!(clean("a"), None);
        assert_eq!(rooted("a/../../b"), "/b");
        assert_eq!(rooted(".."), "/");
    }
}
