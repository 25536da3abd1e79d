//! The page: all runtimes side by side, every cell opening what its verdict rests on. One file
//! without scripts, and nothing that is loaded.

use std::fs;

use askama::Template;

use super::{Report, Tested};
use crate::error::{Error, Result};
use crate::suite::Suite;
use crate::verdict::Verdict;

/// The longest stream that is shown; the rest is in the evidence.
const MOST: usize = 60_000;

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'r> {
    version: &'static str,
    kernel: String,
    seconds: String,
    jobs: usize,
    runtimes: Vec<Runtime<'r>>,
    lines: Vec<Line<'r>>,
}

struct Runtime<'r> {
    name: &'r str,
    version: &'r str,
    passed: usize,
    possible: usize,
    sentence: String,
}

/// A row of the matrix.
struct Line<'r> {
    name: &'r str,
    patched: bool,
    /// What there is to say of the runtime under test.
    why: &'r str,
    cells: Vec<Cell<'r>>,
}

struct Cell<'r> {
    id: String,
    runtime: &'r str,
    verdict: &'static str,
    /// What the cell says beside its colour.
    label: String,
    reason: &'r str,
    seconds: String,
    failures: &'r [String],
    stdout: String,
    stderr: String,
}

/// The document.
pub fn render(report: &Report) -> Result<String> {
    let Some(first) = report.tested.first() else { return Ok(String::new()) };
    let originals = first.rows.iter().map(|row| (row, false));
    let lines = originals.chain(first.patched.iter().map(|row| (row, true))).map(|(row, patched)| Line {
        name: &row.name,
        patched,
        why: row.reason.as_deref().unwrap_or_default(),
        cells: report
            .tested
            .iter()
            .enumerate()
            .filter_map(|(index, tested)| cell(tested, index, &row.name, patched))
            .collect(),
    });
    let runtimes = report.tested.iter().map(|tested| Runtime {
        name: &tested.name,
        version: &tested.version,
        passed: tested.count(Verdict::Pass),
        possible: tested.possible(),
        sentence: tested.sentence(),
    });
    let page = Page {
        version: Suite::version(),
        kernel: super::kernel(),
        seconds: format!("{:.0}", report.seconds),
        jobs: report.jobs,
        runtimes: runtimes.collect(),
        lines: lines.collect(),
    };
    page.render().map_err(|error| Error::new(format!("index.html: {error}")))
}

fn cell<'r>(tested: &'r Tested, index: usize, name: &str, patched: bool) -> Option<Cell<'r>> {
    let row = tested.row(name, patched)?;
    let run = row.telling()?;
    let label = match row.verdict {
        Verdict::Pass if row.wanted > 0 => format!("{} ok", run.finding.ok),
        Verdict::Pass => "pass".into(),
        Verdict::WrongPass => "wrong pass".into(),
        Verdict::Fail => "fail".into(),
        Verdict::Race => format!("{} of {}", row.right(), row.runs.len()),
        Verdict::NotRunnable => "not here".into(),
        Verdict::Broken => "broken".into(),
    };
    let text = |path: &std::path::Path| {
        let bytes = fs::read(path).unwrap_or_default();
        let shown = bytes.get(..MOST).unwrap_or(&bytes);
        String::from_utf8_lossy(shown).into_owned()
    };
    Some(Cell {
        id: format!("{}{index}-{name}", if patched { "p" } else { "s" }),
        runtime: &tested.name,
        verdict: row.verdict.name(),
        label,
        reason: row.reason.as_deref().unwrap_or_default(),
        seconds: format!("{:.1}", row.seconds()),
        failures: &run.finding.failures,
        stdout: text(&run.stdout),
        stderr: text(&run.stderr),
    })
}
