//! Namespaces to join: opened once, proved to be what they are said to be.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};

use crate::error::{Error, Result, describe, lossy};
use crate::plan::{Kind, Namespaces};
use crate::sys;

/// Opens every namespace to join, in joining order.
pub fn open(namespaces: &Namespaces<'_>) -> Result<Vec<(OwnedFd, Kind)>> {
    let mut opened = Vec::new();
    for kind in Kind::ALL {
        for namespace in namespaces.joined().filter(|namespace| namespace.kind == kind) {
            let path = namespace.path.unwrap_or_default();
            let wrong = |reason: &str| {
                Error::config(
                    format!("{}/path", namespace.pointer),
                    format!("{} namespace {}: {reason}", kind.name(), lossy(path)),
                )
            };
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let file =
                rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| wrong(&describe(errno)))?;
            match sys::namespace_kind(&file) {
                Ok(found) if found == kind.flag() => opened.push((file, kind)),
                Ok(_) => return Err(wrong("is of another kind")),
                Err(_) => return Err(wrong("is no namespace")),
            }
        }
    }
    Ok(opened)
}
