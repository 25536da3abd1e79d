//! What is measured: named lists of samples.

use serde::{Deserialize, Serialize};

use super::quiet::{self, Kept};
use super::stats::{Bootstrap, Dice};

/// Unit of a rate; every other unit is one of time.
pub const PER_SECOND: &str = "1/s";

/// The samples of one measure of one subject in one scenario.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Scenario.
    pub scenario: String,
    /// `create`, `start`, `delete`, `cycle`, `run`, `exec`; `container` of the floor program,
    /// `process` of the no-op; `cycles` and `runs` per second.
    pub measure: String,
    /// Runtime, `floor` or `n0`.
    pub subject: String,
    /// `ms`, `us`, or [`PER_SECOND`].
    pub unit: String,
    /// The samples, in the order they were taken.
    pub values: Vec<f64>,
    /// The noise around each.
    pub noise: Vec<f64>,
    /// Page faults of the command's process, each time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<u64>,
    /// Its context switches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switches: Vec<u64>,
}

impl Series {
    /// The samples that count.
    pub fn kept(&self) -> Kept {
        quiet::keep(&self.values, &self.noise)
    }

    /// The median of the samples that count.
    pub fn median(&self, dice: &mut Dice) -> Bootstrap {
        Bootstrap::median(&self.kept().values, dice)
    }
}

/// All series of a run, in the order they were begun.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Table(pub Vec<Series>);

impl Table {
    /// The series of that name, begun where it is missing.
    pub fn entry(&mut self, scenario: &str, measure: &str, subject: &str, unit: &str) -> &mut Series {
        let is = |one: &Series| one.scenario == scenario && one.measure == measure && one.subject == subject;
        let index = self.0.iter().position(is).unwrap_or_else(|| {
            self.0.push(Series {
                scenario: scenario.into(),
                measure: measure.into(),
                subject: subject.into(),
                unit: unit.into(),
                ..Series::default()
            });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    /// The series of that name.
    pub fn get(&self, scenario: &str, measure: &str, subject: &str) -> Option<&Series> {
        self.0.iter().find(|one| one.scenario == scenario && one.measure == measure && one.subject == subject)
    }
}
