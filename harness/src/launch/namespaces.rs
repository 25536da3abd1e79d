//! Namespaces to join: opened once, proved to be what they are said to be.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};

use crate::error::{Error, Result, describe, lossy};
use crate::plan::{Kind, Plan};
use crate::sys;

/// Opens every namespace to join, in joining order.
pub fn open(plan: &Plan<'_>) -> Result<Vec<(OwnedFd, Kind)>> {
    let mut opened = Vec::new();
    for kind in Kind::ALL {
        for namespace in plan.namespaces.joined().filter(|namespace| namespace.kind == kind) {
            let path = namespace.path.unwrap_or_default();
            let wrong = |reason: &str| {
                Error::config(
                    format!("{}/path", namespace.place),
                    format!("{} namespace {}: {reason}", kind.name(), lossy(path)),
                )
            };
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let file =
                rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| wrong(&describe(errno)))?;
            match sys::namespace_kind(&file) {
                Ok(found) if found == kind.flag() => {
                    if plan.changes(kind) && is_own(&file, kind) {
                        return Err(wrong("is the runtime's own, which the configuration would change"));
                    }
                    opened.push((file, kind));
                }
                Ok(_) => return Err(wrong("is of another kind")),
                Err(_) => return Err(wrong("is no namespace")),
            }
        }
    }
    Ok(opened)
}

/// Whether a namespace is the one that the runtime itself is in.
fn is_own(file: &OwnedFd, kind: Kind) -> bool {
    let name = match kind {
        Kind::Network => "net",
        kind => kind.name(),
    };
    let own = rustix::fs::stat(format!("/proc/self/ns/{name}"));
    rustix::fs::fstat(file).is_ok_and(|found| own.is_ok_and(|own| own.st_ino == found.st_ino))
}
