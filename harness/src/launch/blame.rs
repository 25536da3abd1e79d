//! Which place of config.json a failure of init goes back to, where init's own words do not say it.

use init_core::failure::Op;
use rustix::io::Errno;

use crate::error::{Error, Failure, describe, lossy};
use crate::plan::Plan;

/// The failure with its place in config.json, where there is a better one than its step.
pub fn place(plan: &Plan<'_>, error: Error) -> Error {
    let Error::Init(failure) = &error else { return error };
    let (Failure { op, path, .. }, Some(errno)) = (failure, failure.errno()) else { return error };
    match (*op, errno) {
        // Init names the target, since a type may be mounted many times.
        (Op::Fsopen, Errno::NODEV) => {
            let Some(placed) = plan.mounts.iter().find(|placed| lossy(placed.mount.target) == *path) else {
                return error;
            };
            Error::config(
                format!("{}/type", placed.place),
                format!("{:?}: {} (unknown file system type)", lossy(placed.mount.kind), describe(errno)),
            )
        }
        (Op::Fsconfig, Errno::INVAL) if path == "context" && !plan.mount_label.is_empty() => {
            Error::config("/linux/mountLabel", format!("{:?}: {}", plan.mount_label, describe(errno)))
        }
        _ => error,
    }
}
