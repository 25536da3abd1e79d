//! Scaling: create against mounts, tasks and containers of the host, throughput against the
//! number at once.

use super::{Anchor, Log, Svg, colour, short};
use crate::bench::analysis::Analysis;
use crate::bench::stats::Estimate;
use crate::bench::table::three;

const PANEL: (f64, f64) = (520.0, 300.0);
const MARGIN: (f64, f64) = (60.0, 50.0);
/// Room for the names at the ends of the lines.
const NAMES: f64 = 110.0;
const TOP: f64 = 50.0;

/// What a panel shows: title, measure, and the scenarios with their places on the axis.
struct Panel {
    title: &'static str,
    measure: &'static str,
    points: &'static [(f64, &'static str)],
}

const MANY: &[(f64, &str)] =
    &[(1.0, "parallel-1"), (2.0, "parallel-2"), (8.0, "parallel-8"), (32.0, "parallel-32")];

const PANELS: [Panel; 6] = [
    Panel {
        title: "create, ms, by more mounts on the host",
        measure: "create",
        points: &[(0.0, "base"), (100.0, "mounts-100"), (500.0, "mounts-500"), (2000.0, "mounts-2000")],
    },
    Panel {
        title: "create, ms, by sleeping processes on the host",
        measure: "create",
        points: &[(0.0, "base"), (500.0, "tasks-500"), (2000.0, "tasks-2000")],
    },
    Panel {
        title: "create, ms, by idle containers",
        measure: "create",
        points: &[(0.0, "base"), (100.0, "idle-100"), (500.0, "idle-500")],
    },
    Panel {
        title: "run, ms, by more mounts on the host",
        measure: "run",
        points: &[(0.0, "base"), (100.0, "mounts-100"), (500.0, "mounts-500"), (2000.0, "mounts-2000")],
    },
    Panel { title: "cycles a second, by number at once", measure: "cycles", points: MANY },
    Panel { title: "runs a second, by number at once", measure: "runs", points: MANY },
];

/// Draws it; nothing where no panel has two points.
pub fn draw(analysis: &Analysis) -> Option<String> {
    let panels: Vec<&Panel> = PANELS.iter().filter(|panel| !lines(analysis, panel).is_empty()).collect();
    if panels.is_empty() {
        return None;
    }
    let rows = panels.len().div_ceil(2);
    let mut svg = Svg::new(2.0 * PANEL.0, TOP + rows as f64 * PANEL.1);
    svg.text((20.0, 28.0), "title", Anchor::Start, "What a busy host costs (medians with 95 % intervals)");
    for (index, panel) in panels.into_iter().enumerate() {
        let corner = ((index % 2) as f64 * PANEL.0, TOP + (index / 2) as f64 * PANEL.1);
        draw_panel(&mut svg, analysis, panel, corner);
    }
    Some(svg.finish())
}

/// A subject with its points.
type Line<'a> = (&'a str, Vec<(usize, Estimate)>);

fn lines<'a>(analysis: &'a Analysis, panel: &Panel) -> Vec<Line<'a>> {
    let mut subjects: Vec<&str> = vec![&analysis.own];
    subjects.extend(analysis.others());
    let points = |subject: &str| -> Vec<(usize, Estimate)> {
        let measure = match subject {
            "floor" if panel.measure == "create" => "container",
            _ => panel.measure,
        };
        let found = panel.points.iter().enumerate().filter_map(|(index, (_, scenario))| {
            Some((index, analysis.median(scenario, measure, subject)?.estimate()))
        });
        found.collect()
    };
    let all = subjects.into_iter().map(|subject| (subject, points(subject)));
    all.filter(|(_, points)| points.len() > 1).collect()
}

fn draw_panel(svg: &mut Svg, analysis: &Analysis, panel: &Panel, (left, top): (f64, f64)) {
    let (width, height) = (PANEL.0 - MARGIN.0 - NAMES, PANEL.1 - 2.0 * MARGIN.1);
    let (left, bottom) = (left + MARGIN.0, top + MARGIN.1 + height - 14.0);
    let lines = lines(analysis, panel);
    let values = lines.iter().flat_map(|(_, points)| points).flat_map(|(_, one)| [one.low, one.high]);
    let axis = Log::around(values, height);
    // Evenly spaced: the steps are chosen so that each is several times the one before.
    let across = |index: usize| left + width * index as f64 / (panel.points.len() - 1).max(1) as f64;
    svg.text((left - 40.0, top + 16.0), "head", Anchor::Start, panel.title);
    for tick in axis.ticks() {
        let y = bottom - axis.place(tick);
        svg.line((left - 4.0, y), (left + width + 4.0, y), "grid");
        svg.text((left - 9.0, y + 4.0), "small dim", Anchor::End, &short(tick));
    }
    for (index, (place, _)) in panel.points.iter().enumerate() {
        svg.text((across(index), bottom + 18.0), "small dim", Anchor::Middle, &short(*place));
    }
    svg.line((left - 4.0, bottom), (left + width + 4.0, bottom), "axis");
    let others = analysis.others();
    let mut names: Vec<(f64, String, String)> = Vec::new();
    for (subject, points) in &lines {
        let class = colour(&analysis.own, &others, subject);
        let place = |(index, one): &(usize, Estimate)| (across(*index), bottom - axis.place(one.value));
        for (index, one) in points {
            let x = across(*index);
            svg.line((x, bottom - axis.place(one.low)), (x, bottom - axis.place(one.high)), &class);
        }
        let path: Vec<(f64, f64)> = points.iter().map(place).collect();
        svg.polyline(&path, &format!("{class} line"));
        for point in &path {
            svg.circle(*point, 3.0, &class);
        }
        if let (Some(end), Some((_, one))) = (path.last(), points.last()) {
            names.push((end.1, format!("{class} ink"), format!("{subject} {}", three(one.value))));
        }
    }
    // From the top down, each name at least its height below the one before.
    names.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut lowest = f64::MIN;
    for (y, class, name) in names {
        lowest = y.max(lowest + 13.0);
        svg.text((left + width + 9.0, lowest + 4.0), &class, Anchor::Start, &name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::analysis::tests::findings;

    #[test]
    fn a_panel_needs_two_points() {
        let mut found = findings();
        assert!(draw(&Analysis::new(&found, "harness")).is_none());
        let one = found.series.entry("mounts-100", "create", "harness", "ms");
        one.values = vec![1.0; 5];
        one.noise = vec![0.0; 5];
        let picture = draw(&Analysis::new(&found, "harness")).unwrap_or_default();
        assert!(picture.contains("by more mounts"), "{picture}");
        assert!(!picture.contains("by idle containers"), "{picture}");
    }
}
