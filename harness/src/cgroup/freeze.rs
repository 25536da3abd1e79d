//! The freezer: all processes of a container stopped and going on as one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{is_unified, read_short, write};
use crate::error::{Error, Result};

/// Longest that it may take until every process has stopped.
const DEADLINE: Duration = Duration::from_secs(10);

/// The directory that has the freezer, and whether it is of version 2.
fn freezer(directories: &[PathBuf]) -> Option<(&Path, bool)> {
    directories.iter().map(PathBuf::as_path).find_map(|directory| {
        let unified = is_unified(directory);
        (unified || directory.join("freezer.state").exists()).then_some((directory, unified))
    })
}

fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

/// Whether a container is paused; one without a cgroup cannot be.
pub fn is_frozen(directories: &[PathBuf]) -> Result<bool> {
    let Some((directory, unified)) = freezer(directories) else { return Ok(false) };
    if unified {
        return Ok(read_short(directory, "cgroup.freeze")?.trim() == "1");
    }
    Ok(read_short(directory, "freezer.state")?.trim() != "THAWED")
}

/// Pauses or resumes, and waits until that has happened.
pub fn freeze(directories: &[PathBuf], frozen: bool) -> Result<()> {
    let missing = || Error::State("the container has no cgroup with a freezer".into());
    let (directory, unified) = freezer(directories).ok_or_else(missing)?;
    let (file, value) = match (unified, frozen) {
        (true, true) => ("cgroup.freeze", "1"),
        (true, false) => ("cgroup.freeze", "0"),
        (false, true) => ("freezer.state", "FROZEN"),
        (false, false) => ("freezer.state", "THAWED"),
    };
    let start = Instant::now();
    loop {
        // Version 1 may need to be told again while processes come and go.
        write(directory, file, value)?;
        let done = if unified {
            field(&read_short(directory, "cgroup.events")?, "frozen ").as_deref() == Some(value)
        } else {
            read_short(directory, file)?.trim() == value
        };
        if done {
            return Ok(());
        }
        if start.elapsed() > DEADLINE {
            write(directory, file, if unified { "0" } else { "THAWED" })?;
            return Err(Error::State(format!(
                "not all processes could be paused within {} s",
                DEADLINE.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
