//! What one run of a program shows. Believes nothing that could also come from a program that
//! never ran.

use crate::cell::Ended;
use crate::expect::{Judge, Program};
use crate::tap::{self, Document};

/// All that a silent program prints when it has nothing to complain about.
const EMPTY_DOCUMENT: &str = "TAP version 13\n1..0\n";

/// What a run shows.
#[derive(Debug)]
pub struct Finding {
    /// `ok` lines.
    pub ok: usize,
    /// What speaks against a pass, the most telling first.
    pub failures: Vec<String>,
}

impl Finding {
    /// Whether a line is among the failures.
    pub fn has(&self, line: &str) -> bool {
        self.failures.iter().any(|failure| failure.contains(line))
    }
}

/// Judges one run; `wanted` is the number of `ok` lines.
pub fn judge(program: &Program, wanted: usize, ended: &Ended, stdout: &str, stderr: &str) -> Finding {
    let documents = tap::parse(stdout);
    let points = || documents.iter().flat_map(|document| &document.points);
    let ok = points().filter(|point| point.ok).count();
    let mut failures: Vec<String> = points()
        .filter(|point| !point.ok)
        .map(|point| match &point.cause {
            Some(cause) => format!("not ok: {}: {}", point.title, cause.trim()),
            None => format!("not ok: {}", point.title),
        })
        .collect();
    failures.extend(documents.iter().filter_map(|document| document.bail_out.clone()));
    match program.judge {
        Judge::Tap => {
            failures.extend(incomplete(&documents));
            failures.extend(embedded(program, &documents));
        }
        Judge::Hooks => failures.extend(complaints(&documents, stdout, stderr)),
        Judge::Refusal => {
            if !stdout.is_empty() {
                failures.push("something was printed".into());
            }
            if !stderr.contains("failed to create the container") {
                failures.push("create did not fail".into());
            }
        }
    }
    match ended.code {
        Some(0) => {}
        None => failures.push(format!("its time was up after {:.0} s", ended.seconds)),
        Some(code) => {
            let said = said(stderr);
            let text = if said.is_empty() { format!("exit status {code}") } else { said };
            failures.insert(0, text);
        }
    }
    // Last: it says least.
    if program.judge == Judge::Tap && ok != wanted {
        failures.push(format!("{ok} ok, {wanted} expected"));
    }
    Finding { ok, failures }
}

/// Streams without a plan, or with another number of points than planned.
fn incomplete(documents: &[Document]) -> Option<String> {
    if documents.iter().all(|document| document.plan.is_none()) {
        return Some("no plan".into());
    }
    let differs = |document: &&Document| document.plan.is_some_and(|plan| plan != document.points.len());
    let document = documents.iter().find(differs)?;
    Some(format!("{} planned, {} run", document.plan.unwrap_or_default(), document.points.len()))
}

/// What is wrong with the TAP of the container's program, which these programs embed as a string
/// and search for "not ok" only.
fn embedded(program: &Program, documents: &[Document]) -> Vec<String> {
    if program.inner == 0 {
        return Vec::new();
    }
    let text = |block: &serde_json::Value, key: &str| block.get(key)?.as_str().map(str::to_owned);
    let blocks = || documents.iter().flat_map(|document| &document.blocks);
    let mut failures = Vec::new();
    let mut complete = 0;
    for stdout in blocks().filter_map(|block| {
        let stdout = text(block, "stdout")?;
        let expected = program.inner_stderr.as_ref();
        let ended_as_meant =
            expected.is_none_or(|end| text(block, "stderr").is_some_and(|own| own.contains(end)));
        ended_as_meant.then_some(stdout)
    }) {
        let inner = tap::parse(&stdout);
        let points: Vec<_> = inner.iter().flat_map(|document| &document.points).collect();
        let failed = points.iter().filter(|point| !point.ok);
        failures.extend(failed.map(|point| format!("not ok in the container: {}", point.title)));
        let ended = program.inner_stderr.is_some() || incomplete(&inner).is_none();
        complete += usize::from(ended && !points.is_empty());
    }
    if complete != program.inner {
        failures.push(format!("the container's program reported {complete} of {} times", program.inner));
    }
    failures
}

/// Programs without test points put their failures into a YAML block, or warn on stderr, and exit
/// with 0 either way.
fn complaints(documents: &[Document], stdout: &str, stderr: &str) -> Vec<String> {
    let blocks = documents.iter().flat_map(|document| &document.blocks);
    let mut failures: Vec<String> = blocks.filter_map(tap::cause).collect();
    failures.extend(stderr.lines().filter(|line| line.contains("WARNING:")).map(str::to_owned));
    if failures.is_empty() && stdout != EMPTY_DOCUMENT {
        failures.push("something else than an empty TAP document was printed".into());
    }
    failures
}

/// The message of a program that gave up, on one line.
fn said(stderr: &str) -> String {
    let lines =
        stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("Refer to:"));
    let lines: Vec<&str> = lines.collect();
    lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join(": ")
}

#[cfg(test)]
mod tests;
