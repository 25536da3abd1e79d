//! JUnit XML: a suite for each runtime. What cannot be passed is skipped, with the reason.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{Report, Tested};
use crate::error::{Error, Result};
use crate::verdict::{Row, Verdict};

/// The document.
pub fn render(report: &Report) -> Result<String> {
    let mut document = quick_junit::Report::new("conformance");
    document.add_test_suites(report.tested.iter().map(suite));
    document.to_string().map_err(|error| Error::new(format!("junit.xml: {error}")))
}

fn suite(tested: &Tested) -> TestSuite {
    let mut suite = TestSuite::new(tested.name.as_str());
    suite.add_test_cases(tested.rows.iter().map(|row| case(row, "suite")));
    suite.add_test_cases(tested.patched.iter().map(|row| case(row, "patched")));
    suite
}

fn case(row: &Row, class: &str) -> TestCase {
    let reason = row.reason.clone().unwrap_or_default();
    let status = match row.verdict {
        Verdict::Pass | Verdict::Race => TestCaseStatus::success(),
        Verdict::NotRunnable | Verdict::Broken if row.expected => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason);
            status
        }
        verdict => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(verdict.name()).set_message(reason);
            if let Some(run) = row.telling() {
                status.set_description(run.finding.failures.join("\n"));
            }
            status
        }
    };
    let mut case = TestCase::new(row.name.as_str(), status);
    case.set_classname(class).set_time(Duration::from_secs_f64(row.seconds()));
    if row.verdict == Verdict::Race {
        case.set_system_out(row.reason.clone().unwrap_or_default());
    }
    case
}
