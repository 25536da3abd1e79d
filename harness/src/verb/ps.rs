//! `ps`.

use crate::cgroup;
use crate::cli::{Args, Global};
use crate::error::{Context, Error, Result};
use crate::state::{self, pin};

/// Lists the processes of a container: as JSON their pids, as a table what ps(1) says of them.
pub fn run(global: &Global, args: &Args) -> Result<u8> {
    let directory = state::find(&global.root(), args.id()?)?;
    let state = directory.load()?;
    let mut pids = cgroup::members(&state.cgroups)?;
    if pids.is_empty() && pin(&state)?.is_some() {
        pids.push(state.pid);
    }
    match args.value("format").map(|format| format.to_string_lossy().into_owned()).as_deref() {
        Some("json") => {
            super::print(&format!("{}\n", serde_json::Value::from(pids)))?;
            return Ok(0);
        }
        None | Some("table") => {}
        Some(other) => {
            return Err(Error::Usage(format!("ps: --format: {other:?} is neither table nor json")));
        }
    }
    let rest = args.rest(1);
    let options: Vec<_> = if rest.is_empty() { vec!["-ef".into()] } else { rest.to_vec() };
    let output = std::process::Command::new("ps").args(&options).output().host("run", "ps")?;
    if !output.status.success() {
        return Err(Error::State(format!("ps: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split_ascii_whitespace().position(|word| word == "PID");
    let column = column.ok_or_else(|| Error::State("ps prints no column PID".into()))?;
    let mut table = format!("{header}\n");
    for line in lines {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|word| word.parse().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            table += &format!("{line}\n");
        }
    }
    super::print(&table)?;
    Ok(0)
}
