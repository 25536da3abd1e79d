//! The reports: a table for the terminal, JSON, JUnit, and a page with everything side by side.

mod junit;
mod page;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::error::{Context, Result};
use crate::suite::Suite;
use crate::verdict::{Row, Verdict};

/// A runtime and what it got.
pub struct Tested {
    /// Its name in the reports.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// What it says of itself.
    pub version: String,
    /// The programs of the suite.
    pub rows: Vec<Row>,
    /// Those with our corrections.
    pub patched: Vec<Row>,
}

/// All that is reported.
pub struct Report {
    /// The runtime under test, and its peers.
    pub tested: Vec<Tested>,
    /// What the machine can do.
    pub facts: Value,
    /// Programs at a time.
    pub jobs: usize,
    /// Wall time of all runs.
    pub seconds: f64,
    /// Where it goes.
    pub output: PathBuf,
}

impl Tested {
    /// The row of a program, or of its corrected form.
    pub fn row(&self, name: &str, patched: bool) -> Option<&Row> {
        let rows = if patched { &self.patched } else { &self.rows };
        rows.iter().find(|row| row.name == name)
    }

    /// How many programs have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// How many a conforming runtime can pass on this machine.
    fn possible(&self) -> usize {
        self.rows.iter().filter(|row| row.possible).count()
    }

    /// The corrected programs that pass.
    fn corrected(&self) -> usize {
        self.patched.iter().filter(|row| row.verdict == Verdict::Pass).count()
    }

    /// What is not as a conforming runtime has it.
    fn unexpected(&self) -> usize {
        self.rows.iter().chain(&self.patched).filter(|row| !row.expected).count()
    }

    fn summary(&self) -> Value {
        let races = self.rows.iter().filter(|row| row.runs.len() > 1);
        let races: Map<String, Value> = races
            .map(|row| (row.name.clone(), json!({ "runs": row.runs.len(), "right": row.right() })))
            .collect();
        json!({
            "programs": self.rows.len(),
            "possible": self.possible(),
            "passed": self.count(Verdict::Pass),
            "raced": self.count(Verdict::Race),
            "races": races,
            "wrong_passes": self.count(Verdict::WrongPass),
            "failed": self.count(Verdict::Fail),
            "not_runnable": self.count(Verdict::NotRunnable),
            "broken": self.count(Verdict::Broken),
            "patched": { "programs": self.patched.len(), "passed": self.corrected() },
            "unexpected": self.unexpected(),
        })
    }

    fn json(&self, output: &Path) -> Map<String, Value> {
        let corrected = |name: &str| self.patched.iter().find(|row| row.name == name);
        let programs: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let mut value = row_json(row, output);
                if let Some(corrected) = corrected(&row.name) {
                    value.insert("patched".into(), row_json(corrected, output).into());
                }
                value.into()
            })
            .collect();
        let mut value = Map::new();
        value.insert(
            "runtime".into(),
            json!({ "name": self.name, "path": self.path, "version": self.version }),
        );
        value.insert("summary".into(), self.summary());
        value.insert("programs".into(), programs.into());
        value
    }
}

fn row_json(row: &Row, output: &Path) -> Map<String, Value> {
    let telling = row.telling();
    let place = |path: &Path| path.strip_prefix(output).unwrap_or(path).display().to_string();
    let mut value = Map::new();
    value.insert("name".into(), row.name.clone().into());
    value.insert("verdict".into(), row.verdict.name().into());
    value.insert("expected".into(), row.expected.into());
    value.insert("possible".into(), row.possible.into());
    value.insert("ok".into(), telling.map_or(0, |run| run.finding.ok).into());
    value.insert("ok_expected".into(), row.wanted.into());
    value.insert("reason".into(), row.reason.clone().into());
    value.insert("seconds".into(), ((row.seconds() * 1e3).round() / 1e3).into());
    if row.runs.len() > 1 {
        value.insert("runs".into(), row.runs.len().into());
        value.insert("right".into(), row.right().into());
    }
    if let Some(run) = telling {
        let evidence = json!({
            "failures": run.finding.failures,
            "exit": run.code,
            "stdout": place(&run.stdout),
            "stderr": place(&run.stderr),
        });
        value.insert("evidence".into(), evidence);
    }
    value
}

impl Report {
    /// Writes report.json, junit.xml and index.html.
    pub fn write(&self) -> Result<()> {
        let write = |name: &str, text: String| {
            let path = self.output.join(name);
            fs::write(&path, text).at("write", path.display())
        };
        write("report.json", format!("{:#}\n", self.json()))?;
        write("junit.xml", junit::render(self)?)?;
        write("index.html", page::render(self)?)
    }

    /// Whether the runtime under test got what a conforming runtime gets.
    pub fn as_expected(&self) -> bool {
        self.tested.first().is_some_and(|tested| tested.unexpected() == 0)
    }

    fn json(&self) -> Value {
        let mut tested = self.tested.iter().map(|tested| tested.json(&self.output));
        let mut value = tested.next().unwrap_or_default();
        value.insert("suite".into(), json!({ "version": Suite::version() }));
        value.insert("machine".into(), json!({ "kernel": kernel(), "facts": self.facts }));
        value.insert("jobs".into(), self.jobs.into());
        value.insert("seconds".into(), ((self.seconds * 10.0).round() / 10.0).into());
        value.insert("peers".into(), tested.collect());
        value.into()
    }
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}
