//! The verbs, one file each.

pub mod bench;
pub mod cleanup;
pub mod conformance;
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

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use crate::error::{Context, Error, Result};
use crate::state::{State, Status};

/// Prints to stdout. A reader that has gone is no failure of ours.
pub fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.host("write", "stdout"),
    }
}

/// The state as the runtime-spec has it (runtime.md, "State").
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Public<'s> {
    oci_version: &'s str,
    id: &'s str,
    status: &'static str,
    /// Only while there is a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    bundle: &'s str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'s BTreeMap<String, String>,
}

impl<'s> Public<'s> {
    fn new(state: &'s State, status: Status) -> Self {
        let pid = matches!(status, Status::Created | Status::Running).then_some(state.pid);
        Self {
            oci_version: &state.oci_version,
            id: &state.id,
            status: status.name(),
            pid: pid.filter(|pid| *pid != 0),
            bundle: &state.bundle,
            annotations: &state.annotations,
        }
    }
}

/// Prints a value as JSON over several lines.
fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::State(error.to_string()))?;
    print(&format!("{text}\n"))
}
