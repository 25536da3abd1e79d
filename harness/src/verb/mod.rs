//! The verbs, one file each.

pub mod bench;
pub mod cleanup;
pub mod conformance;
pub mod create;
pub mod delete;
pub mod demo;
pub mod doctor;
pub mod events;
pub mod exec;
pub mod explain;
pub mod features;
pub mod kill;
pub mod list;
pub mod pause;
pub mod ps;
pub mod run;
pub mod seccomp;
pub mod sigsys;
pub mod spec;
pub mod start;
pub mod state;
pub mod terminal;
pub mod update;

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use crate::cli::Args;
use crate::error::{Context, Error, Result};
use crate::plan::{Extra, Wishes};
use crate::state::{State, Status};

/// Exit status of a question whose answer is no: `seccomp check`, `seccomp explain`, `doctor`.
const NO: u8 = 3;

/// What the options of create, run and exec say beyond the configuration.
fn wishes(args: &Args) -> Result<Wishes> {
    let preserve = match args.value("preserve-fds") {
        None => 0,
        Some(text) => {
            text.to_string_lossy().parse::<u32>().ok().filter(|count| *count <= 1 << 16).ok_or_else(|| {
                Error::Usage(format!(
                    "--preserve-fds: {:?} is no number of descriptors",
                    text.display().to_string()
                ))
            })?
        }
    };
    let listen = listen_fds();
    let preserve = preserve + listen;
    // The first one missing would be some other file by the time it is passed on.
    for number in 3..3 + preserve as i32 {
        if rustix::io::fcntl_getfd(crate::sys::borrow(number)).is_err() {
            return Err(Error::Usage(format!("--preserve-fds: descriptor {number} is not open")));
        }
    }
    let notify = crate::launch::notify::requested().is_some();
    Ok(Wishes {
        no_new_keyring: args.has("no-new-keyring"),
        no_pivot: args.has("no-pivot"),
        extra: Extra { preserve, listen, notify },
        notify,
    })
}

/// `LISTEN_FDS`, if they are meant for this process (`sd_listen_fds(3)`).
fn listen_fds() -> u32 {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let ours = number("LISTEN_PID").is_some_and(|pid| pid == std::process::id());
    number("LISTEN_FDS").filter(|count| ours && *count <= 1 << 16).unwrap_or(0)
}

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

/// The state as hooks and seccomp listeners get it.
pub fn public_value(state: &State, status: &str) -> serde_json::Value {
    let mut value = serde_json::json!({
        "ociVersion": state.oci_version,
        "id": state.id,
        "status": status,
        "bundle": state.bundle,
        "annotations": state.annotations,
    });
    if let Some(object) = value.as_object_mut().filter(|_| status != "stopped") {
        object.insert("pid".into(), state.pid.into());
    }
    value
}

impl<'s> Public<'s> {
    fn new(state: &'s State, status: Status) -> Self {
        let pid = matches!(status, Status::Created | Status::Running | Status::Paused).then_some(state.pid);
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
