//! Distributions: every sample of every subject on one logarithmic axis, a panel a measure.

use super::{Anchor, Log, Svg, colour, short};
use crate::bench::analysis::Analysis;
use crate::bench::lab::Findings;
use crate::bench::stats::{Dice, quantile, sorted};
use crate::bench::table::three;

const WIDTH: f64 = 1000.0;
const GUTTER: f64 = 150.0;
const RIGHT: f64 = 120.0;
const TOP: f64 = 80.0;
const ROW: f64 = 26.0;
const PANEL_GAP: f64 = 26.0;

/// One subject in one panel.
struct Strip {
    subject: String,
    values: Vec<f64>,
}

/// Draws the base scenario, and exec.
pub fn draw(findings: &Findings, analysis: &Analysis) -> String {
    let measures =
        [("create", "base"), ("start", "base"), ("delete", "base"), ("run", "base"), ("exec", "exec")];
    let panels: Vec<(&str, Vec<Strip>)> = measures
        .into_iter()
        .map(|(measure, scenario)| (measure, strips(findings, analysis, scenario, measure)))
        .filter(|(_, strips)| !strips.is_empty())
        .collect();
    let references: Vec<(&str, f64)> = [("n0", "process"), ("floor", "container")]
        .into_iter()
        .filter_map(|(name, measure)| Some((name, analysis.median("base", measure, name)?.estimate().value)))
        .collect();
    let all = panels.iter().flat_map(|(_, strips)| strips).flat_map(|strip| strip.values.iter().copied());
    let axis = Log::around(all.chain(references.iter().map(|(_, value)| *value)), WIDTH - GUTTER - RIGHT);
    let rows: usize = panels.iter().map(|(_, strips)| strips.len()).sum();
    let bottom = TOP + rows as f64 * ROW + panels.len() as f64 * PANEL_GAP;
    let mut svg = Svg::new(WIDTH, bottom + 30.0);
    svg.text((20.0, 28.0), "title", Anchor::Start, "How long each command takes, ms (logarithmic)");
    svg.text((20.0, 46.0), "small dim", Anchor::Start, "dots: samples; box: p10 to p90; bar: median; dashed: medians of the no-op process (n0) and of the kernel's work alone (floor)");
    grid(&mut svg, &axis, &references, bottom);
    let mut y = TOP;
    for (measure, strips) in &panels {
        svg.text((20.0, y + 17.0), "head", Anchor::Start, measure);
        for one in strips {
            strip(&mut svg, analysis, &axis, one, y);
            y += ROW;
        }
        y += PANEL_GAP;
    }
    svg.finish()
}

/// The subjects of a panel, ours first.
fn strips(findings: &Findings, analysis: &Analysis, scenario: &str, measure: &str) -> Vec<Strip> {
    let rows = analysis.rows.iter().filter(|row| row.scenario == scenario && row.measure == measure);
    rows.filter_map(|row| {
        let values = findings.series.get(scenario, measure, &row.subject)?.kept().values;
        Some(Strip { subject: row.subject.clone(), values })
    })
    .collect()
}

fn grid(svg: &mut Svg, axis: &Log, references: &[(&str, f64)], bottom: f64) {
    for tick in axis.ticks() {
        let x = GUTTER + axis.place(tick);
        svg.line((x, TOP - 6.0), (x, bottom - 8.0), "grid");
        svg.text((x, bottom + 8.0), "small dim", Anchor::Middle, &short(tick));
    }
    for (name, value) in references {
        let x = GUTTER + axis.place(*value);
        let class = if *name == "floor" { "s4" } else { "s5" };
        svg.line((x, TOP - 6.0), (x, bottom - 8.0), &format!("{class} ref"));
        let label = format!("{name} {}", three(*value));
        svg.text((x, TOP - 10.0), &format!("small {class} ink"), Anchor::Middle, &label);
    }
}

fn strip(svg: &mut Svg, analysis: &Analysis, axis: &Log, strip: &Strip, y: f64) {
    let middle = y + ROW / 2.0;
    let class = colour(&analysis.own, &analysis.others(), &strip.subject);
    svg.text((GUTTER - 10.0, middle + 4.0), &format!("{class} ink"), Anchor::End, &strip.subject);
    let list = sorted(&strip.values);
    let [low, median, high] = [0.1, 0.5, 0.9].map(|share| GUTTER + axis.place(quantile(&list, share)));
    svg.rect((low, y + 4.0), ((high - low).max(1.0), ROW - 8.0), &format!("{class} box"), "");
    // Scattered up and down, so that dots do not hide each other; the same way every time.
    let mut dice = Dice::new(1);
    for value in &strip.values {
        let shift = dice.below(100) as f64 / 100.0 - 0.5;
        svg.circle(
            (GUTTER + axis.place(*value), middle + shift * (ROW - 12.0)),
            1.8,
            &format!("{class} dot"),
        );
    }
    svg.line((median, y + 3.0), (median, y + ROW - 3.0), &format!("{class} mid"));
    let note = three(quantile(&list, 0.5));
    svg.text((WIDTH - RIGHT + 12.0, middle + 4.0), &format!("{class} ink"), Anchor::Start, &note);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::analysis::tests::findings;

    #[test]
    fn every_sample_is_a_dot() {
        let found = findings();
        let picture = draw(&found, &Analysis::new(&found, "harness"));
        assert_eq!(picture.matches("<circle").count(), 40);
        assert!(picture.contains("floor 2.04</text>"), "{picture}");
    }
}
