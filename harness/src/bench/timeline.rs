//! One start on one time axis: what each process did, when it waited, and who woke it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::trace::{Event, What};

/// How a stretch of time was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A named part of the work, as the process itself sees it.
    Phase,
    /// In a system call, by its number.
    Call(u32),
    /// Waiting for somebody.
    Blocked,
    /// Ready to run, and waiting for a processor.
    Queued,
}

/// A stretch of time, in microseconds from the origin of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// What.
    pub kind: Kind,
    /// Name of a phase.
    pub name: String,
    /// Beginning.
    pub begin: f64,
    /// End.
    pub end: f64,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// What it is called.
    pub name: String,
    /// Its first and last sign of life.
    pub alive: (f64, f64),
    /// Phases, then calls and waits, each in order.
    pub spans: Vec<Span>,
}

/// One process woke or made another: from and to are lanes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Wake {
    /// When.
    pub at: f64,
    /// Who.
    pub from: usize,
    /// Whom.
    pub to: usize,
}

/// A start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The runtime.
    pub subject: String,
    /// Title of the picture.
    pub title: String,
    /// Processes, in the order in which they began.
    pub lanes: Vec<Lane>,
    /// Who waited for whom.
    pub wakes: Vec<Wake>,
}

/// Phases from stamps of their beginnings, in nanoseconds of `CLOCK_MONOTONIC`. Each lasts until
/// the next one begins, and the last until `end` (microseconds). This is what init's page and any
/// other process's own stamps are read with.
pub fn phases<'s>(stamps: impl Iterator<Item = (&'s str, u64)>, origin: f64, end: f64) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (name, nanoseconds) in stamps {
        let begin = nanoseconds as f64 / 1e3 - origin;
        if let Some(last) = spans.last_mut() {
            last.end = begin;
        }
        spans.push(Span { kind: Kind::Phase, name: name.to_owned(), begin, end: end.max(begin) });
    }
    spans
}

impl Timeline {
    /// From the events of a trace; `names` are the processes to show, in order, and time begins
    /// with the first sign of the first.
    pub fn new(subject: &str, title: &str, events: &[Event], names: &[(i32, &str)]) -> (Self, f64) {
        let first = |pid| events.iter().find(|event| event.pid == pid).map(|event| event.at);
        let origin = names.iter().find_map(|(pid, _)| first(*pid)).unwrap_or(0.0);
        let lanes = names.iter().map(|(pid, name)| lane(events, *pid, name, origin)).collect();
        let place = |pid| names.iter().position(|(known, _)| *known == pid);
        let wakes = events.iter().filter_map(|event| match event.what {
            What::Wakes(other) | What::Forks(other) => {
                let (from, to) = (place(event.pid)?, place(other)?);
                Some(Wake { at: event.at - origin, from, to }).filter(|_| from != to)
            }
            _ => None,
        });
        let wakes = wakes.collect();
        (Self { subject: subject.into(), title: title.into(), lanes, wakes }, origin)
    }

    /// The end of the last lane.
    pub fn end(&self) -> f64 {
        self.lanes.iter().map(|lane| lane.alive.1).fold(0.0, f64::max)
    }

    /// The timeline for a terminal of `width` columns: phases where a lane has them, with the
    /// number of system calls in each.
    pub fn text(&self, width: usize) -> String {
        const LABEL: usize = 18;
        const FIGURES: usize = 33;
        let columns = width.saturating_sub(LABEL + FIGURES).max(20);
        let scale = columns as f64 / self.end().max(1.0);
        let mut text = format!("{}\n", self.title);
        let traced =
            self.lanes.iter().flat_map(|lane| &lane.spans).any(|span| matches!(span.kind, Kind::Call(_)));
        for lane in &self.lanes {
            let line = |label: &str, ink, (begin, end)| {
                let calls = lane
                    .spans
                    .iter()
                    .filter(|span| matches!(span.kind, Kind::Call(_)) && (begin..end).contains(&span.begin));
                let bar = bar(label, ink, (begin, end), scale, columns);
                if traced { bar + &format!("{:>5} calls\n", calls.count()) } else { bar + "\n" }
            };
            text += &line(&lane.name, '=', lane.alive);
            for span in lane.spans.iter().filter(|span| span.kind == Kind::Phase) {
                text += &line(&format!("  {}", span.name), '-', (span.begin, span.end));
            }
            for span in lane.spans.iter().filter(|span| span.kind == Kind::Blocked) {
                if (span.end - span.begin) * scale >= 1.0 {
                    text += &bar("  . waits", '.', (span.begin, span.end), scale, columns);
                    text += "\n";
                }
            }
        }
        text
    }
}

fn bar(label: &str, ink: char, (begin, end): (f64, f64), scale: f64, columns: usize) -> String {
    let from = ((begin * scale) as usize).min(columns.saturating_sub(1));
    let to = ((end * scale).ceil() as usize).clamp(from + 1, columns.max(from + 1));
    let mut line = format!("{label:<18}{:from$}", "");
    line.extend(std::iter::repeat_n(ink, to - from));
    let _to_a_string =
        write!(line, "{:pad$}{begin:>9.0} {:>8.0} us", "", end - begin, pad = columns.saturating_sub(to));
    line
}

fn lane(events: &[Event], pid: i32, name: &str, origin: f64) -> Lane {
    let mut spans = Vec::new();
    let mut call: Option<(u32, f64)> = None;
    let mut away: Option<(bool, f64)> = None;
    let mut alive: Option<(f64, f64)> = None;
    let mut add = |kind, begin: f64, end: f64| spans.push(Span { kind, name: String::new(), begin, end });
    for event in events.iter().filter(|event| event.pid == pid) {
        let at = event.at - origin;
        alive = Some((alive.map_or(at, |(begin, _)| begin), at));
        // A filter by pid hides switches from the idle task, so any sign of life ends an absence.
        if let Some((blocked, begin)) = away.take() {
            add(if blocked { Kind::Blocked } else { Kind::Queued }, begin, at);
        }
        match event.what {
            What::Enter(number) => call = Some((number, at)),
            What::Exit => {
                if let Some((number, begin)) = call.take() {
                    add(Kind::Call(number), begin, at);
                }
            }
            What::Off { blocked } => away = Some((blocked, at)),
            What::On | What::Wakes(_) | What::Forks(_) => {}
        }
    }
    // A call that does not return ends with the process: exit_group(2).
    if let (Some((number, begin)), Some((_, end))) = (call, alive) {
        add(Kind::Call(number), begin, end);
    }
    Lane { name: name.into(), alive: alive.unwrap_or_default(), spans }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: f64, pid: i32, what: What) -> Event {
        Event { at, pid, what }
    }

    fn timeline() -> Timeline {
        let events = [
            event(100.0, 1, What::Enter(5)),
            event(110.0, 1, What::Off { blocked: true }),
            event(120.0, 2, What::Wakes(1)),
            event(130.0, 1, What::On),
            event(140.0, 1, What::Exit),
            event(150.0, 2, What::Enter(231)),
            event(200.0, 2, What::Off { blocked: true }),
        ];
        Timeline::new("t", "t", &events, &[(1, "one"), (2, "two")]).0
    }

    #[test]
    fn a_wait_lies_within_its_call_and_has_a_waker() {
        let found = timeline();
        let one: Vec<(Kind, f64, f64)> =
            found.lanes[0].spans.iter().map(|span| (span.kind, span.begin, span.end)).collect();
        assert_eq!(one, [(Kind::Blocked, 10.0, 30.0), (Kind::Call(5), 0.0, 40.0)]);
        assert_eq!(found.wakes, [Wake { at: 20.0, from: 1, to: 0 }]);
        assert_eq!(found.lanes[1].spans.last().map(|span| (span.begin, span.end)), Some((50.0, 100.0)));
    }

    #[test]
    fn stamps_become_phases() {
        let spans = phases([("a", 1000), ("b", 3000)].into_iter(), 0.0, 7.0);
        let found: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.begin, span.end)).collect();
        assert_eq!(found, [("a", 1.0, 3.0), ("b", 3.0, 7.0)]);
    }

    #[test]
    fn text_has_a_line_for_each_process() {
        let text = timeline().text(80);
        assert!(text.lines().any(|line| line.starts_with("one               =")), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
