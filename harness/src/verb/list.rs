//! `list`.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::cli::{Args, Global};
use crate::error::{Error, Result};
use crate::state::{State, Status, Store};

/// Lists the containers below `--root`.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    let json = match args.value("format").map(|format| format.to_string_lossy().into_owned()).as_deref() {
        None | Some("table") => false,
        Some("json") => true,
        Some(other) => {
            return Err(Error::Usage(format!("list: --format: {other:?} is neither table nor json")));
        }
    };
    let rows = rows(global)?;
    let text = if args.has("quiet") {
        rows.iter().map(|(state, _)| state.id.clone() + "\n").collect()
    } else if json {
        format!(
            "{}\n",
            Value::from(rows.iter().map(|(state, status)| object(state, *status)).collect::<Vec<_>>())
        )
    } else {
        table(&rows)
    };
    super::print(&text)?;
    Ok(0)
}

fn rows(global: &Global) -> Result<Vec<(State, Status)>> {
    let store = match Store::open(&global.root()) {
        Err(Error::Host { errno: rustix::io::Errno::NOENT, .. }) => return Ok(Vec::new()),
        store => store?,
    };
    let mut rows = Vec::new();
    for id in store.ids()? {
        // One that is being made or removed meanwhile is not there.
        let Ok(directory) = store.find(&id) else { continue };
        match directory.load() {
            Ok(state) => {
                let status = directory.status(&state);
                rows.push((state, status));
            }
            Err(error) => eprintln!("warning: {id}: {error}"),
        }
    }
    Ok(rows)
}

fn created(state: &State) -> String {
    humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(state.created)).to_string()
}

fn object(state: &State, status: Status) -> Value {
    json!({
        "ociVersion": state.oci_version,
        "id": state.id,
        "pid": if status == Status::Stopped { 0 } else { state.pid },
        "status": status.name(),
        "bundle": state.bundle,
        "rootfs": state.rootfs,
        "created": created(state),
        "annotations": state.annotations,
        "owner": state.owner.to_string(),
    })
}

fn table(rows: &[(State, Status)]) -> String {
    let mut cells = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(String::from)];
    for (state, status) in rows {
        let pid = if *status == Status::Stopped { 0 } else { state.pid };
        cells.push([
            state.id.clone(),
            pid.to_string(),
            status.name().into(),
            state.bundle.clone(),
            created(state),
            state.owner.to_string(),
        ]);
    }
    let width =
        |column: usize| cells.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for row in &cells {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += line.join("   ").trim_end();
        text += "\n";
    }
    text
}
