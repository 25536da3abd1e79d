//! `doctor`: what this host lacks, and what to change.

use crate::cli::{Args, Global};
use crate::doctor::{self, Severity};
use crate::error::Result;

/// Prints a line for each feature, or with `--json` a list.
pub fn run(_: &Global, args: &Args) -> Result<u8> {
    let findings = doctor::examine()?;
    if args.has("json") {
        super::print_json(&findings)?;
    } else {
        let mut text = String::new();
        for one in &findings {
            let severity = match one.severity {
                Severity::Required => "required",
                Severity::Recommended => "recommended",
                Severity::Optional => "optional",
            };
            let found = if one.works { "yes".into() } else { format!("no: {}; {}", one.reason, one.advice) };
            text.push_str(&format!("{severity:12} {:60} {found}\n", one.name));
        }
        super::print(&text)?;
    }
    let missing = findings.iter().any(|one| !one.works && one.severity == Severity::Required);
    Ok(if missing { super::NO } else { 0 })
}
