//! The verbs, one file each.

pub mod cleanup;
pub mod create;
pub mod delete;
pub mod demo;
pub mod features;
pub mod kill;
pub mod list;
pub mod run;
pub mod spec;
pub mod start;
pub mod state;

use std::io::Write;

use serde_json::{Value, json};

use crate::error::{Context, Result};
use crate::state::{State, Status};

/// Prints to stdout. A reader that has gone is no failure of ours.
pub fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.host("write", "stdout"),
    }
}

/// The state as the runtime-spec has it (runtime.md, "State"): `pid` only while there is a process.
fn public(state: &State, status: Status) -> Value {
    let mut value = json!({
        "ociVersion": state.oci_version,
        "id": state.id,
        "status": status.name(),
        "bundle": state.bundle,
    });
    if let Some(object) = value.as_object_mut() {
        if matches!(status, Status::Created | Status::Running) {
            object.insert("pid".into(), state.pid.into());
        }
        if !state.annotations.is_empty() {
            object.insert("annotations".into(), json!(state.annotations));
        }
    }
    value
}
