//! A run against an earlier one: what has changed, and what is noise.
//!
//! Times of two runs differ because the machine does, so every time is divided by the floor's
//! median of its own run and scenario, or the no-op's where there is no floor.

use std::fmt::Write;

use super::lab::Findings;
use super::series::{PER_SECOND, Series};
use super::stats::{Bootstrap, Dice, Estimate, mann_whitney};
use super::table::interval;

/// A change below this is not worth a word, however certain.
const LEAST: f64 = 0.03;
/// Chance of a false alarm in the whole comparison.
const CHANCE: f64 = 0.01;

/// What became of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Slower, beyond noise.
    Slower,
    /// Faster, beyond noise.
    Faster,
    /// Not to be told from noise.
    Same,
}

/// One measure, then and now.
pub struct Change {
    scenario: String,
    measure: String,
    /// Time now over time then, both in units of the floor.
    ratio: Estimate,
    /// Of the test of Mann and Whitney.
    p: f64,
    /// The verdict.
    pub verdict: Verdict,
}

/// Every measure of `own` that both runs have.
pub fn compare(old: &Findings, new: &Findings, old_own: &str, own: &str) -> Vec<Change> {
    let mut dice = Dice::new(1);
    let ours = new.series.0.iter().filter(|series| series.subject == own);
    let pairs: Vec<(&Series, &Series)> = ours
        .filter_map(|series| Some((old.series.get(&series.scenario, &series.measure, old_own)?, series)))
        .collect();
    // Shared among the comparisons (Bonferroni), so that many of them raise no false alarm.
    let level = CHANCE / pairs.len().max(1) as f64;
    pairs.into_iter().map(|(then, now)| change((old, then), (new, now), level, &mut dice)).collect()
}

/// The floor's median where a scenario has one, the no-op's, or the base scenario's.
fn unit(findings: &Findings, scenario: &str, dice: &mut Dice) -> Option<Bootstrap> {
    let places =
        [(scenario, "container", "floor"), (scenario, "process", "n0"), ("base", "container", "floor")];
    let found = places
        .iter()
        .find_map(|(scenario, measure, subject)| findings.series.get(scenario, measure, subject));
    found.map(|series| series.median(dice))
}

fn change(
    (old, then): (&Findings, &Series),
    (new, now): (&Findings, &Series),
    level: f64,
    dice: &mut Dice,
) -> Change {
    let (then_median, then_times) = relative(old, then, dice);
    let (now_median, now_times) = relative(new, now, dice);
    let ratio = now_median.over(&then_median).within(1.0 - level);
    let p = mann_whitney(&now_times, &then_times);
    let verdict = match ratio {
        Estimate { low, .. } if low > 1.0 + LEAST && p < level => Verdict::Slower,
        Estimate { high, .. } if high < 1.0 - LEAST && p < level => Verdict::Faster,
        _ => Verdict::Same,
    };
    Change { scenario: now.scenario.clone(), measure: now.measure.clone(), ratio, p, verdict }
}

/// The median and the samples of a series in units of the floor. A rate becomes the time of one,
/// so that more is always worse.
fn relative(findings: &Findings, series: &Series, dice: &mut Dice) -> (Bootstrap, Vec<f64>) {
    let mut times = series.kept().values;
    if series.unit == PER_SECOND {
        times = times.iter().map(|value| 1e3 / value).collect();
    }
    let median = Bootstrap::median(&times, dice);
    let Some(unit) = unit(findings, &series.scenario, dice) else { return (median, times) };
    let scale = unit.estimate().value;
    (median.over(&unit), times.iter().map(|value| value / scale).collect())
}

/// The changes as text.
pub fn text(changes: &[Change]) -> String {
    let mut text = String::from("\nnow over then, in units of the floor\n");
    for change in changes {
        let verdict = match change.verdict {
            Verdict::Slower => "REGRESSION",
            Verdict::Faster => "improvement",
            Verdict::Same => "no difference from noise",
        };
        let _to_a_string = writeln!(
            text,
            "  {:<14}{:<8}{:<22}p = {:<10.2e}{verdict}",
            change.scenario,
            change.measure,
            interval(change.ratio),
            change.p
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::analysis::tests::findings;

    /// The findings with every time of `subject` multiplied.
    fn scaled(subject: Option<&str>, factor: f64) -> Findings {
        let mut found = findings();
        let all = found.series.0.iter_mut();
        for series in all.filter(|series| subject.is_none_or(|subject| series.subject == subject)) {
            series.values = series.values.iter().map(|value| value * factor).collect();
        }
        found
    }

    fn verdicts(new: &Findings) -> Vec<Verdict> {
        let changes = compare(&findings(), new, "harness", "harness");
        changes.iter().map(|change| change.verdict).collect()
    }

    #[test]
    fn a_slower_machine_is_no_regression() {
        assert_eq!(verdicts(&scaled(None, 1.5)), [Verdict::Same]);
    }

    #[test]
    fn a_slower_runtime_is_one() {
        assert_eq!(verdicts(&scaled(Some("harness"), 1.2)), [Verdict::Slower]);
        assert_eq!(verdicts(&scaled(Some("harness"), 0.8)), [Verdict::Faster]);
        assert_eq!(verdicts(&scaled(Some("harness"), 1.01)), [Verdict::Same]);
    }

    #[test]
    fn fewer_a_second_is_slower() {
        let rates = |rate: f64| {
            let mut found = findings();
            let one = found.series.entry("parallel-8", "cycles", "harness", "1/s");
            one.values = (0..20).map(|index| rate + f64::from(index % 3)).collect();
            one.noise = vec![0.0; 20];
            found
        };
        let changes = compare(&rates(700.0), &rates(500.0), "harness", "harness");
        assert_eq!(changes.last().map(|change| change.verdict), Some(Verdict::Slower));
    }
}
