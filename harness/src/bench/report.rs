//! The report: what was measured, where, with what, and every sample.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::analysis::Analysis;
use super::lab::Findings;
use super::subject::Runtime;
use crate::error::{Context, Error, Result};

/// What can be read back of a report.
#[derive(Debug, Deserialize)]
pub struct Old {
    /// Name of the runtime that others were compared with.
    pub own: String,
    /// Samples.
    pub findings: Findings,
}

/// The machine, so that nobody compares absolute times of two.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Kernel release and version.
    pub kernel: String,
    /// Model of the first CPU.
    pub cpu: String,
    /// How many CPUs this process may use.
    pub cpus: usize,
    /// Memory.
    pub memory_kib: u64,
    /// Boot parameters, which switch mitigations and preemption.
    pub command_line: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let name = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        Self {
            kernel: format!("{} {} {}", text(name.release()), text(name.machine()), text(name.version())),
            cpu: value(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory_kib: value(&read("/proc/meminfo"), "MemTotal")
                .and_then(|text| text.split_whitespace().next()?.parse().ok())
                .unwrap_or(0),
            command_line: read("/proc/cmdline").trim().to_owned(),
        }
    }
}

/// The first value of `NAME : VALUE`.
fn value(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// What the floor program does, so that F can be judged.
const FLOOR: &str = "one process, in a loop: mkdir and open of a cgroup, clone3 (mnt, pid, net, ipc, uts, cgroup; \
INTO_CGROUP), rslave /, bind root, mount proc tmpfs devpts tmpfs mqueue sysfs cgroup2 (3 mkdir), pivot_root, \
umount, execve of the no-op, wait, rmdir";

/// The report as JSON.
pub fn json(findings: &Findings, analysis: &Analysis, runtimes: &[Runtime], rounds: usize) -> Result<Value> {
    let invalid = |error: serde_json::Error| Error::State(format!("report: {error}"));
    let runtimes: Vec<Value> = runtimes
        .iter()
        .map(|one| json!({ "name": one.name, "path": one.path, "version": one.version }))
        .collect();
    let taken = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut report = Map::new();
    report.insert("format".into(), json!(1));
    report.insert("own".into(), json!(analysis.own));
    report.insert("taken".into(), json!(taken));
    report.insert("rounds".into(), json!(rounds));
    report.insert("machine".into(), serde_json::to_value(Machine::here()).map_err(invalid)?);
    report.insert("runtimes".into(), runtimes.into());
    report.insert("floor".into(), json!(FLOOR));
    report.extend(analysis.json());
    report.insert("findings".into(), serde_json::to_value(findings).map_err(invalid)?);
    Ok(report.into())
}

/// Writes a file of the output directory.
pub fn write(directory: &Path, name: &str, content: &str) -> Result<()> {
    let path = directory.join(name);
    std::fs::write(&path, content).host("write", path.display())
}

/// Reads a report of an earlier run.
pub fn read(path: &Path) -> Result<Old> {
    let text = std::fs::read_to_string(path).host("read", path.display())?;
    serde_json::from_str(&text).map_err(|error| Error::file(path, format!("not a report of bench: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::analysis::tests::findings;

    #[test]
    fn a_report_can_be_read_back() {
        let found = findings();
        let report = json(&found, &Analysis::new(&found, "harness"), &[], 20);
        let text = report.map(|report| report.to_string()).unwrap_or_default();
        let old: Old = serde_json::from_str(&text).unwrap();
        assert_eq!(old.findings.series, found.series);
        assert_eq!(old.own, "harness");
    }

    #[test]
    fn values_are_found_by_their_key() {
        let text = "model\t\t: 1\nmodel name\t: A: B\n";
        assert_eq!(value(text, "model name").as_deref(), Some("A: B"));
        assert_eq!(value(text, "nothing"), None);
    }
}
