//! The waterfall of a start: a strip for each process, arrows for who woke whom, and below them a
//! row for each phase.

use super::{Anchor, Svg};
use crate::bench::sysname::{Class, describe};
use crate::bench::timeline::{Kind, Lane, Span, Timeline};

const WIDTH: f64 = 1280.0;
const GUTTER: f64 = 150.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 84.0;
/// Height of a strip, and of the room for arrows between two.
const STRIP: f64 = 26.0;
const GAP: f64 = 30.0;
const ROW: f64 = 17.0;
/// Widths from which a name fits into a box, for each letter.
const LETTER: f64 = 6.2;

/// Draws it.
pub fn draw(timeline: &Timeline) -> String {
    let phases: Vec<(&Lane, &Span)> = timeline
        .lanes
        .iter()
        .flat_map(|lane| lane.spans.iter().map(move |span| (lane, span)))
        .filter(|(_, span)| span.kind == Kind::Phase)
        .collect();
    let strips = TOP + timeline.lanes.len() as f64 * (STRIP + GAP);
    let height = strips + if phases.is_empty() { 0.0 } else { 24.0 + phases.len() as f64 * ROW } + 24.0;
    let scale = (WIDTH - GUTTER - RIGHT) / timeline.end().max(1.0);
    let mut svg = Svg::new(WIDTH, height);
    svg.text((20.0, 28.0), "title", Anchor::Start, &timeline.title);
    legend(&mut svg);
    axis(&mut svg, timeline.end(), scale, height - 16.0);
    for (index, lane) in timeline.lanes.iter().enumerate() {
        strip(&mut svg, lane, strip_top(index), scale);
    }
    wakes(&mut svg, timeline, scale);
    if !phases.is_empty() {
        svg.text((20.0, strips + 6.0), "head", Anchor::Start, "phases");
    }
    for (index, (lane, span)) in phases.into_iter().enumerate() {
        row(&mut svg, lane, span, strips + 16.0 + index as f64 * ROW, scale);
    }
    svg.finish()
}

fn strip_top(index: usize) -> f64 {
    TOP + index as f64 * (STRIP + GAP)
}

fn legend(svg: &mut Svg) {
    let mut x = 20.0;
    let mut entry = |svg: &mut Svg, class: &str, caption: &str| {
        svg.rect((x, 42.0), (12.0, 10.0), class, "");
        svg.text((x + 17.0, 51.0), "small", Anchor::Start, caption);
        x += 34.0 + caption.len() as f64 * LETTER;
    };
    for (index, (_, caption)) in Class::ALL.iter().enumerate() {
        entry(svg, &format!("c{index}"), caption);
    }
    entry(svg, "phase", "own code");
    entry(svg, "blocked", "waits");
    entry(svg, "queued", "wants a CPU");
}

fn axis(svg: &mut Svg, end: f64, scale: f64, bottom: f64) {
    let step = [50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0]
        .into_iter()
        .find(|step| end / step <= 14.0)
        .unwrap_or(50_000.0);
    let mut at = 0.0;
    while at <= end {
        let x = GUTTER + at * scale;
        svg.line((x, TOP - 8.0), (x, bottom), "grid");
        let unit = if at == 0.0 { " µs" } else { "" };
        svg.text((x, TOP - 12.0), "small dim", Anchor::Middle, &format!("{at:.0}{unit}"));
        at += step;
    }
}

/// The colour of a system call.
fn colour(class: Class) -> String {
    format!("c{}", Class::ALL.iter().position(|(one, _)| *one == class).unwrap_or(0))
}

fn strip(svg: &mut Svg, lane: &Lane, top: f64, scale: f64) {
    let (begin, end) = lane.alive;
    svg.text((GUTTER - 10.0, top + 17.0), "head", Anchor::End, &lane.name);
    svg.rect((GUTTER + begin * scale, top), ((end - begin) * scale, STRIP), "phase", &lane.name);
    calls(svg, lane, (begin, end), (top, STRIP), scale);
    let note = format!("{:.0} µs", end - begin);
    svg.text((GUTTER + end * scale + 6.0, top + 17.0), "small dim", Anchor::Start, &note);
}

/// The calls and waits of a lane between two points in time.
fn calls(svg: &mut Svg, lane: &Lane, (from, to): (f64, f64), (top, height): (f64, f64), scale: f64) {
    let within = |span: &&Span| span.end > from && span.begin < to;
    // Waits lie within their calls, so they are drawn on top of them.
    let (calls, waits): (Vec<&Span>, Vec<&Span>) = lane
        .spans
        .iter()
        .filter(within)
        .filter(|span| span.kind != Kind::Phase)
        .partition(|span| matches!(span.kind, Kind::Call(_)));
    for span in calls.iter().chain(&waits) {
        let (begin, end) = (span.begin.max(from), span.end.min(to));
        let width = ((end - begin) * scale).max(0.6);
        let x = GUTTER + begin * scale;
        let (class, name) = match span.kind {
            Kind::Call(number) => {
                let (name, class) = describe(number);
                (colour(class), if name.is_empty() { format!("call {number}") } else { name.to_owned() })
            }
            Kind::Blocked => ("blocked".into(), "waits".into()),
            Kind::Queued => ("queued".into(), "wants a CPU".into()),
            Kind::Phase => continue,
        };
        let tip = format!("{name}: {:.0} µs at {:.0}", span.end - span.begin, span.begin);
        svg.rect((x, top), (width, height), &class, &tip);
        // A name that a wait would lie upon is left out.
        let whole =
            span.kind == Kind::Blocked || !waits.iter().any(|wait| wait.begin < end && wait.end > begin);
        if whole && height >= STRIP && width > name.len() as f64 * LETTER + 4.0 {
            let ink = if matches!(span.kind, Kind::Call(_)) { "on" } else { "small dim" };
            svg.text((x + width / 2.0, top + 17.0), ink, Anchor::Middle, &name);
        }
    }
}

fn wakes(svg: &mut Svg, timeline: &Timeline, scale: f64) {
    for wake in &timeline.wakes {
        let x = GUTTER + wake.at * scale;
        let down = wake.to > wake.from;
        let (from, to, head) = if down {
            (strip_top(wake.from) + STRIP, strip_top(wake.to), -6.0)
        } else {
            (strip_top(wake.from), strip_top(wake.to) + STRIP, 6.0)
        };
        svg.line((x, from), (x, to), "wake");
        svg.polygon(&[(x, to), (x - 3.0, to + head), (x + 3.0, to + head)], "tip");
    }
}

fn row(svg: &mut Svg, lane: &Lane, span: &Span, top: f64, scale: f64) {
    let (begin, end) = (span.begin, span.end);
    svg.text((GUTTER - 10.0, top + 11.0), "small", Anchor::End, &span.name);
    let width = ((end - begin) * scale).max(1.0);
    svg.rect((GUTTER + begin * scale, top), (width, ROW - 4.0), "phase", &span.name);
    calls(svg, lane, (begin, end), (top, ROW - 4.0), scale);
    let note = format!("{:.0}", end - begin);
    svg.text((GUTTER + begin * scale + width + 5.0, top + 10.0), "small dim", Anchor::Start, &note);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::timeline::Wake;

    #[test]
    fn every_process_and_phase_is_drawn() {
        let span = |kind, name: &str| Span { kind, name: name.into(), begin: 10.0, end: 60.0 };
        let lane = |name: &str, spans| Lane { name: name.into(), alive: (0.0, 100.0), spans };
        let timeline = Timeline {
            subject: "harness".into(),
            title: "start".into(),
            lanes: vec![
                lane("create", vec![span(Kind::Call(u32::MAX), ""), span(Kind::Blocked, "")]),
                lane("init", vec![span(Kind::Phase, "mounts")]),
            ],
            wakes: vec![Wake { at: 50.0, from: 1, to: 0 }],
        };
        let picture = draw(&timeline);
        for text in ["create</text>", "init</text>", "mounts</text>", "class=\"blocked\"", "class=\"wake\""] {
            assert!(picture.contains(text), "{text}");
        }
    }
}
