//! Pictures as SVG, written by hand: a few shapes, one style sheet, light and dark.

pub mod distribution;
pub mod scaling;
pub mod waterfall;

use std::fmt::Write;

use super::analysis::Analysis;
use super::lab::Findings;

/// Colours are classes: `s0` to `s5` for subjects, `c0` to `c6` for classes of system calls.
const STYLE: &str = "\
svg{font-family:'DejaVu Sans',Verdana,sans-serif;font-size:11px;fill:#24292f}\
.paper{fill:#fff}.title{font-size:16px;font-weight:600}.head{font-size:12px;font-weight:600}.dim{fill:#6e7781}\
.grid{stroke:#d8dee4;stroke-width:1}.axis{stroke:#8c959f;stroke-width:1}.track{fill:#f3f5f7}\
.s0{fill:#0969da;stroke:#0969da}.s1{fill:#d4711c;stroke:#d4711c}.s2{fill:#1a7f37;stroke:#1a7f37}\
.s3{fill:#a0449b;stroke:#a0449b}.s4{fill:#57606a;stroke:#57606a}.s5{fill:#8c959f;stroke:#8c959f}\
.dot{stroke:none;fill-opacity:.35}.box{fill-opacity:.18;stroke:none}.line{fill:none;stroke-width:2}\
.ref{stroke-width:1;stroke-dasharray:4 3;fill:none}.ink{stroke:none}.mid{stroke-width:2.5}\
.c0{fill:#d1495b}.c1{fill:#2e86ab}.c2{fill:#edae49}.c3{fill:#66a182}.c4{fill:#8d6cab}.c5{fill:#c97b84}.c6{fill:#9aa5b1}\
.phase{fill:#dbe4ee}.blocked{fill:#e9ecef;stroke:#b8c0c8;stroke-width:.5;stroke-dasharray:2 2}.queued{fill:#ffd8a8}\
.wake{stroke:#24292f;stroke-width:1;fill:none}.tip{fill:#24292f}.on{fill:#fff;font-size:9.5px}.small{font-size:10px}\
@media(prefers-color-scheme:dark){svg{fill:#e6edf3}.paper{fill:#0d1117}.dim{fill:#8b949e}.grid{stroke:#262c34}\
.track{fill:#161b22}.phase{fill:#263445}.blocked{fill:#1c2128;stroke:#444c56}.wake{stroke:#e6edf3}.tip{fill:#e6edf3}}";

/// A picture.
pub struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// All pictures of a run, with their file names.
pub fn all(findings: &Findings, analysis: &Analysis) -> Vec<(String, String)> {
    let mut pictures = Vec::new();
    for timeline in &findings.timelines {
        pictures.push((format!("waterfall-{}.svg", timeline.subject), waterfall::draw(timeline)));
    }
    if analysis.median("base", "create", &analysis.own).is_some() {
        pictures.push(("distribution.svg".into(), distribution::draw(findings, analysis)));
    }
    pictures.extend(scaling::draw(analysis).map(|picture| ("scaling.svg".into(), picture)));
    pictures
}

/// Which side of a text its point is on.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// The text begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

impl Svg {
    /// An empty picture.
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// A rectangle, with a text that shows when it is pointed at, if that is not empty.
    pub fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str, tip: &str) {
        let shape = format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\""
        );
        let tip =
            if tip.is_empty() { "/>".into() } else { format!("><title>{}</title></rect>", escape(tip)) };
        self.body += &format!("{shape}{tip}\n");
    }

    /// A text.
    pub fn text(&mut self, (x, y): (f64, f64), class: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.body += &format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>\n"
        );
    }

    /// A line.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        self.body += &format!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>\n"
        );
    }

    /// Lines from point to point.
    pub fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        let mut list = String::new();
        for (x, y) in points {
            let _to_a_string = write!(list, "{x:.1},{y:.1} ");
        }
        self.body += &format!("<polyline points=\"{}\" class=\"{class}\"/>\n", list.trim_end());
    }

    /// A filled area.
    pub fn polygon(&mut self, points: &[(f64, f64)], class: &str) {
        self.polyline(points, class);
    }

    /// A dot.
    pub fn circle(&mut self, (x, y): (f64, f64), radius: f64, class: &str) {
        self.body += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" class=\"{class}\"/>\n");
    }

    /// The file.
    pub fn finish(self) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\">\n\
             <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n{2}</svg>\n",
            self.width, self.height, self.body
        )
    }
}

/// Text between tags.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A logarithmic axis from one value to another, on `length` units.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    low: f64,
    high: f64,
    length: f64,
}

impl Log {
    /// Around the values, with a little room.
    pub fn around(values: impl Iterator<Item = f64>, length: f64) -> Self {
        let found = values.filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) =
            found.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            Self { low: 0.1, high: 10.0, length }
        } else {
            Self { low: low / 1.15, high: high * 1.15, length }
        }
    }

    /// Where a value lies.
    pub fn place(&self, value: f64) -> f64 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        share.min(1.0) * self.length
    }

    /// Round values within: 1, 2 and 5 times powers of ten.
    pub fn ticks(&self) -> Vec<f64> {
        let powers = (self.low.log10().floor() as i32)..=(self.high.log10().ceil() as i32);
        let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(power)));
        all.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }
}

/// A number without idle zeros.
pub fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The colour of a subject: ours first, the floor and the no-op grey.
pub fn colour(own: &str, others: &[&str], subject: &str) -> String {
    match subject {
        "floor" => "s4".into(),
        "n0" => "s5".into(),
        name if name == own => "s0".into(),
        name => format!("s{}", 1 + others.iter().position(|other| *other == name).unwrap_or(0) % 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let axis = Log::around([0.3, 42.0].into_iter(), 100.0);
        assert_eq!(axis.ticks().into_iter().map(short).collect::<Vec<_>>().join(" "), "0.5 1 2 5 10 20");
        assert!(axis.place(0.3) > 0.0 && axis.place(42.0) < 100.0);
        assert!(Log::around(std::iter::empty(), 1.0).place(1.0).is_finite());
    }

    #[test]
    fn text_is_escaped() {
        let mut svg = Svg::new(1.0, 1.0);
        svg.text((0.0, 0.0), "x", Anchor::Start, "a<b & c");
        assert!(svg.finish().contains("a&lt;b &amp; c</text>"));
    }
}
