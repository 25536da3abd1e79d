//! The report for a terminal: ratios first, then times, then what does not depend on the clock.

use std::fmt::Write;

use super::analysis::{Analysis, FLOOR_LIMIT, Row};
use super::lab::Findings;
use super::stats::Estimate;

/// Width of the waterfall.
const COLUMNS: usize = 110;

/// The whole text.
pub fn text(findings: &Findings, analysis: &Analysis) -> String {
    let mut text = ratios(analysis);
    text += &times(analysis);
    text += &memory(findings);
    text += &counts(findings);
    for timeline in findings.timelines.iter().filter(|timeline| timeline.subject == analysis.own) {
        text += &format!("\n{}", timeline.text(COLUMNS));
    }
    if !findings.skipped.is_empty() {
        text += "\nskipped\n";
    }
    for skip in &findings.skipped {
        let _to_a_string = writeln!(text, "  {:<14}{:<10}{}", skip.scenario, skip.subject, skip.reason);
    }
    text
}

/// Ours over the others.
fn ratios(analysis: &Analysis) -> String {
    let others = analysis.others();
    let mut text = format!("{} over", analysis.own);
    text = format!("{text:<24}");
    for other in &others {
        let _to_a_string = write!(text, "{other:<22}");
    }
    text = text.trim_end().to_owned() + "\n";
    for row in analysis.rows.iter().filter(|row| row.subject == analysis.own) {
        let ratios = others.iter().map(|other| analysis.ratio(&row.scenario, &row.measure, other));
        let ratios: Vec<Option<Estimate>> = ratios.collect();
        if ratios.iter().all(Option::is_none) {
            continue;
        }
        let mut line = format!("  {:<14}{:<8}", row.scenario, row.measure);
        for ratio in ratios {
            let _to_a_string = write!(line, "{:<22}", ratio.map_or_else(String::new, interval));
        }
        text += line.trim_end();
        text += "\n";
    }
    if let Some(floor) = analysis.floor() {
        let verdict = if floor.value <= FLOOR_LIMIT { "" } else { ": too slow a floor to compare with" };
        let _to_a_string =
            writeln!(text, "  floor over n0         {} (at most {FLOOR_LIMIT}){verdict}", interval(floor));
    }
    text
}

/// A figure with its interval, in three digits.
pub fn interval(estimate: Estimate) -> String {
    let Estimate { value, low, high } = estimate;
    format!("{} [{} {}]", three(value), three(low), three(high))
}

/// Three digits that count.
pub fn three(value: f64) -> String {
    let places = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else if value.abs() >= 1.0 {
        2
    } else {
        3
    };
    format!("{value:.places$}")
}

fn times(analysis: &Analysis) -> String {
    let mut text = format!(
        "\n  {:<14}{:<15}{:<10}{:<6}{:<24}{:>8}{:>9}{:>6}{:>10}{:>8}\n",
        "scenario", "measure", "subject", "unit", "median [95 %]", "p10", "p99", "n", "left out", "noisy"
    );
    let mut before = "";
    for row in &analysis.rows {
        if before != row.scenario && !before.is_empty() {
            text += "\n";
        }
        before = &row.scenario;
        text += &time(row);
    }
    text
}

fn time(row: &Row) -> String {
    format!(
        "  {:<14}{:<15}{:<10}{:<6}{:<24}{:>8}{:>9}{:>6}{:>8.0} %{:>6.0} %\n",
        row.scenario,
        row.measure,
        row.subject,
        row.unit,
        interval(row.median.estimate()),
        three(row.p10),
        three(row.p99),
        row.count,
        100.0 * row.left_out,
        100.0 * row.noisy
    )
}

fn memory(findings: &Findings) -> String {
    if findings.memory.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n  {:<12}{:>8}{:>11}{:>10}{:>10}{:>13}{:>8}{:>14}\n",
        "waiting, kB", "rss", "pss alone", "pss many", "anon", "page tables", "slab", "kernel stack"
    );
    for one in &findings.memory {
        let _to_a_string = writeln!(
            text,
            "  {:<12}{:>8.0}{:>11.0}{:>10.0}{:>10.0}{:>13.0}{:>8.0}{:>14.0}",
            one.subject,
            one.rss,
            one.pss_alone,
            one.pss_many,
            one.anonymous,
            one.page_tables,
            one.slab,
            one.kernel_stack
        );
    }
    text
}

fn counts(findings: &Findings) -> String {
    if findings.counts.is_empty() {
        return String::new();
    }
    let number = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let mut text =
        format!("\n  {:<12}{:<10}{:>10}{:>8}{:>10}\n", "process", "of", "syscalls", "faults", "switches");
    for one in &findings.counts {
        let _to_a_string = writeln!(
            text,
            "  {:<12}{:<10}{:>10}{:>8}{:>10}",
            one.process,
            one.subject,
            number(one.syscalls),
            number(one.faults),
            number(one.switches)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::analysis::tests::findings;

    #[test]
    fn ratios_come_first() {
        let found = findings();
        let text = text(&found, &Analysis::new(&found, "harness"));
        assert!(
            text.starts_with("harness over            crun                  floor                 n0\n"),
            "{text}"
        );
        assert!(
            text.lines().nth(1).is_some_and(|line| line.starts_with("  base          create  0.250 [")),
            "{text}"
        );
        assert!(text.contains("floor over n0         4.00 ["), "{text}");
    }

    #[test]
    fn three_digits_count() {
        assert_eq!([0.1234, 1.234, 12.34, 123.4].map(three), ["0.123", "1.23", "12.3", "123"]);
    }
}
