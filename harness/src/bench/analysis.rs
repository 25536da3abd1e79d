//! From samples to figures: a row for each series, and the ratios of ours to the others.

use serde_json::{Map, Value, json};

use super::lab::Findings;
use super::quiet::Kept;
use super::scenario::SCENARIOS;
use super::series::Series;
use super::stats::{Bootstrap, Dice, Estimate, quantile, sorted};

/// The figures of one series.
pub struct Row {
    /// Scenario, measure, subject and unit, as in the series.
    pub scenario: String,
    /// Measure.
    pub measure: String,
    /// Subject.
    pub subject: String,
    /// Unit.
    pub unit: String,
    /// The median with its uncertainty.
    pub median: Bootstrap,
    /// 10th percentile of the samples that count.
    pub p10: f64,
    /// 99th percentile of them.
    pub p99: f64,
    /// How many there are.
    pub count: usize,
    /// Share left out.
    pub left_out: f64,
    /// Share of those that count which is noisy.
    pub noisy: f64,
}

/// The figures of a run.
pub struct Analysis {
    /// Rows, in the order of the series.
    pub rows: Vec<Row>,
    /// Name of the runtime that all others are compared with.
    pub own: String,
}

/// The smallest F that could flatter us: so many times N0 (`README`, "Latency").
pub const FLOOR_LIMIT: f64 = 7.5;

/// What the targets are about.
pub const MEASURES: [&str; 7] = ["create", "start", "delete", "cycle", "run", "exec", "init"];

impl Row {
    fn new(series: &Series, dice: &mut Dice) -> Self {
        let Kept { values, left_out, noisy } = series.kept();
        let ordered = sorted(&values);
        Self {
            scenario: series.scenario.clone(),
            measure: series.measure.clone(),
            subject: series.subject.clone(),
            unit: series.unit.clone(),
            median: Bootstrap::median(&values, dice),
            p10: quantile(&ordered, 0.1),
            p99: quantile(&ordered, 0.99),
            count: values.len(),
            left_out,
            noisy,
        }
    }

    fn json(&self) -> Value {
        let Estimate { value, low, high } = self.median.estimate();
        json!({
            "unit": self.unit, "p10": self.p10, "p50": value, "p50_interval": [low, high], "p99": self.p99,
            "samples": self.count, "left_out": self.left_out, "noisy": self.noisy,
        })
    }
}

impl Analysis {
    /// Of everything that was found; the same findings give the same figures.
    pub fn new(findings: &Findings, own: &str) -> Self {
        let mut dice = Dice::new(1);
        let mut series: Vec<&Series> = findings.series.0.iter().collect();
        // In the order of the scenarios, measures and subjects; rounds begin with anyone.
        let first = |scenario: &str, measure: &str| {
            findings.series.0.iter().position(|one| one.scenario == scenario && one.measure == measure)
        };
        series.sort_by_cached_key(|one| {
            let place = |found: Option<usize>| found.unwrap_or(usize::MAX);
            let subject = match one.subject.as_str() {
                name if name == own => 0,
                "floor" => 2,
                "n0" => 3,
                _ => 1,
            };
            (
                place(SCENARIOS.iter().position(|scenario| scenario.name == one.scenario)),
                place(MEASURES.iter().position(|measure| *measure == one.measure)),
                first(&one.scenario, &one.measure),
                subject,
                one.subject.clone(),
            )
        });
        let rows = series.into_iter().map(|series| Row::new(series, &mut dice)).collect();
        Self { rows, own: own.into() }
    }

    /// A row by name.
    pub fn row(&self, scenario: &str, measure: &str, subject: &str) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.scenario == scenario && row.measure == measure && row.subject == subject)
    }

    /// The median of a row.
    pub fn median(&self, scenario: &str, measure: &str, subject: &str) -> Option<&Bootstrap> {
        self.row(scenario, measure, subject).map(|row| &row.median)
    }

    /// The scenarios with rows, in order.
    pub fn scenarios(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.scenario.as_str()) {
                names.push(&row.scenario);
            }
        }
        names
    }

    /// Who ours is compared with, in order: runtimes, then the floor, then the no-op.
    pub fn others(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let found = self.rows.iter().map(|row| row.subject.as_str());
        for name in found.filter(|name| ![self.own.as_str(), "floor", "n0"].contains(name)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        names.into_iter().chain(["floor", "n0"]).collect()
    }

    /// Ours over another's; the floor and the no-op have one measure each.
    pub fn ratio(&self, scenario: &str, measure: &str, other: &str) -> Option<Estimate> {
        let theirs = match other {
            "floor" => self.median(scenario, "container", other),
            "n0" => self.median(scenario, "process", other),
            _ => self.median(scenario, measure, other),
        };
        let comparable = !matches!(other, "floor" | "n0") || MEASURES.contains(&measure);
        let ours = self.median(scenario, measure, &self.own)?;
        theirs.filter(|_| comparable).map(|theirs| ours.over(theirs).estimate())
    }

    /// F over N0.
    pub fn floor(&self) -> Option<Estimate> {
        let floor = self.median("base", "container", "floor")?;
        Some(floor.over(self.median("base", "process", "n0")?).estimate())
    }

    /// `{measure: {other: pick(ratio)}}` of a scenario.
    fn ratios(&self, scenario: &str, pick: impl Fn(Estimate) -> Value) -> Map<String, Value> {
        let mut all = Map::new();
        let own = self.rows.iter().filter(|row| row.scenario == scenario && row.subject == self.own);
        for row in own {
            let ratio =
                |other: &&str| Some(((*other).to_owned(), self.ratio(scenario, &row.measure, other)?));
            let others = self.others();
            let found = others.iter().filter_map(ratio).map(|(name, ratio)| (name, pick(ratio)));
            all.insert(row.measure.clone(), Value::Object(found.collect()));
        }
        all
    }

    /// The parts of the report that are made from the samples. `ratios` are those of the base
    /// scenario and of exec.
    pub fn json(&self) -> Map<String, Value> {
        let number = |ratio: Estimate| json!(ratio.value);
        let interval = |ratio: Estimate| json!([ratio.low, ratio.high]);
        let mut ratios = self.ratios("base", number);
        ratios.extend(self.ratios("exec", number));
        let mut intervals = self.ratios("base", interval);
        intervals.extend(self.ratios("exec", interval));
        let mut scenarios = Map::new();
        for name in self.scenarios() {
            let mut figures = Map::new();
            for row in self.rows.iter().filter(|row| row.scenario == name) {
                let measure = figures.entry(row.measure.clone()).or_insert_with(|| json!({}));
                measure[&row.subject] = row.json();
            }
            let entry = json!({ "ratios": self.ratios(name, number), "figures": figures });
            scenarios.insert(name.to_owned(), entry);
        }
        let mut parts = Map::new();
        parts.insert("ratios".into(), ratios.into());
        parts.insert("ratio_intervals".into(), intervals.into());
        parts.insert("floor_over_n0".into(), json!(self.floor().map(|ratio| ratio.value)));
        parts.insert("scenarios".into(), scenarios.into());
        parts
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::bench::series::Table;

    /// Findings of one scenario: ours 1 ms, crun 4 ms, floor 2 ms, the no-op 0.5 ms.
    pub fn findings() -> Findings {
        let mut series = Table::default();
        for (measure, subject, value) in [
            ("process", "n0", 0.5),
            ("container", "floor", 2.0),
            ("create", "harness", 1.0),
            ("create", "crun", 4.0),
        ] {
            let one = series.entry("base", measure, subject, "ms");
            one.values = (0..20).map(|index| value * (1.0 + f64::from(index % 5) / 100.0)).collect();
            one.noise = vec![0.0; 20];
        }
        Findings { series, ..Findings::default() }
    }

    #[test]
    fn ratios_are_ours_over_theirs() {
        let report = Analysis::new(&findings(), "harness").json();
        let ratio = |other: &str| report["ratios"]["create"][other].as_f64().unwrap_or_default();
        for (other, expected) in [("crun", 0.25), ("floor", 0.5), ("n0", 2.0)] {
            assert!((ratio(other) - expected).abs() < 1e-9, "{other}: {}", ratio(other));
        }
        assert_eq!(report["floor_over_n0"], 4.0);
        assert_eq!(report["scenarios"]["base"]["figures"]["create"]["crun"]["samples"], 20);
        assert!(report["ratios"]["start"].is_null());
    }
}
