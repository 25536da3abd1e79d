//! What the runs of a program mean for the runtime: its verdict, and whether that is what a
//! conforming runtime gets on this machine.

use std::path::PathBuf;

use crate::expect::{Class, Program};
use crate::facts::Facts;
use crate::judge::Finding;

/// A verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Passed.
    Pass,
    /// The program is content, but cannot have seen what it is about.
    WrongPass,
    /// Failed.
    Fail,
    /// Races with itself: passed at least once, or lost every time where that is allowed, and did nothing
    /// worse than lose.
    Race,
    /// No runtime can pass it on this machine.
    NotRunnable,
    /// No conforming runtime can pass it anywhere.
    Broken,
}

impl Verdict {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::WrongPass => "wrong-pass",
            Self::Fail => "fail",
            Self::Race => "race",
            Self::NotRunnable => "not-runnable",
            Self::Broken => "broken",
        }
    }
}

/// One run and what it showed.
pub struct Run {
    /// What it showed.
    pub finding: Finding,
    /// How long it took.
    pub seconds: f64,
    /// Exit status; `None` when its time was up.
    pub code: Option<i32>,
    /// What the program printed.
    pub stdout: PathBuf,
    /// What it complained of.
    pub stderr: PathBuf,
}

impl Run {
    /// Whether the program was content.
    pub fn passed(&self) -> bool {
        self.finding.failures.is_empty()
    }
}

/// What is reported of a program.
pub struct Row {
    /// Its name.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, unless it passed.
    pub reason: Option<String>,
    /// Whether a conforming runtime gets the same.
    pub expected: bool,
    /// Whether a conforming runtime passes it on this machine.
    pub possible: bool,
    /// `ok` lines of a correct run.
    pub wanted: usize,
    /// Its runs; more than one where it races.
    pub runs: Vec<Run>,
}

/// What other programs show of the same runtime.
#[derive(Clone, Copy)]
pub struct Others {
    /// Whether the program's control passed.
    pub control: bool,
    /// Whether its corrected form did.
    pub corrected: bool,
}

impl Row {
    /// Settles the verdict.
    pub fn settle(name: &str, program: &Program, runs: Vec<Run>, others: Others, facts: &Facts) -> Self {
        let obstacle = program.obstacle(facts);
        let possible = obstacle.is_none() && program.class != Class::Broken;
        // Those before the last were lost races, and repeated.
        let races = program.races();
        let counted = if races { 0 } else { runs.len().saturating_sub(1) };
        let counted = runs.get(counted..).unwrap_or_default();
        let failures: Vec<&Finding> =
            counted.iter().filter(|run| !run.passed()).map(|run| &run.finding).collect();
        let right = counted.len() - failures.len();
        let (verdict, reason) = match failures.first() {
            None => content(program, obstacle, others.control),
            Some(_) if obstacle.is_some() => (Verdict::NotRunnable, obstacle),
            Some(failure) if program.class == Class::Broken => {
                let known = program.fails.as_ref().is_some_and(|line| failure.has(line));
                let first = failure.failures.first().cloned().unwrap_or_default();
                let other = || format!("fails otherwise than a conforming runtime: {first}");
                (Verdict::Broken, if known { program.reason.clone() } else { Some(other()) })
            }
            Some(failure) => {
                let lost = |failure: &&Finding| program.race.as_ref().is_some_and(|line| failure.has(line));
                let other = failures.iter().find(|failure| !lost(failure));
                let all_lost = program.may_lose_all(facts).is_some() && others.corrected;
                if (races && right > 0 || all_lost) && other.is_none() {
                    (Verdict::Race, None)
                } else {
                    (Verdict::Fail, other.unwrap_or(failure).failures.first().cloned())
                }
            }
        };
        // However many runs it won: a count that hangs on luck would differ from run to run.
        let raced = verdict == Verdict::Race || races && verdict == Verdict::Pass;
        let (verdict, reason) = if raced {
            let why = program.reason.as_deref().unwrap_or_default();
            (Verdict::Race, Some(format!("{right} of {} runs in order: {why}", runs.len())))
        } else if verdict == Verdict::Pass && runs.len() > 1 {
            let why = program.reason.as_deref().unwrap_or_default();
            (Verdict::Pass, Some(format!("run {} was in time: {why}", runs.len())))
        } else {
            (verdict, reason)
        };
        let expected = match verdict {
            Verdict::Pass | Verdict::Race | Verdict::NotRunnable => true,
            Verdict::Broken => [&program.reason, &program.luck].contains(&&reason),
            Verdict::WrongPass | Verdict::Fail => false,
        };
        Self {
            name: name.to_owned(),
            verdict,
            reason,
            expected,
            possible,
            wanted: program.ok_here(facts),
            runs,
        }
    }

    /// How many runs passed.
    pub fn right(&self) -> usize {
        self.runs.iter().filter(|run| run.passed()).count()
    }

    /// The run that the verdict rests on: the first that did not pass, or the one that did.
    pub fn telling(&self) -> Option<&Run> {
        if self.verdict == Verdict::Pass {
            return self.runs.last();
        }
        self.runs.iter().find(|run| !run.passed()).or(self.runs.first())
    }

    /// Seconds of all runs.
    pub fn seconds(&self) -> f64 {
        self.runs.iter().map(|run| run.seconds).sum()
    }
}

/// The verdict on a program that is content.
fn content(program: &Program, obstacle: Option<String>, control: bool) -> (Verdict, Option<String>) {
    if let Some(obstacle) = obstacle {
        return (Verdict::WrongPass, Some(format!("passes without what it needs: {obstacle}")));
    }
    if program.class == Class::Broken {
        if program.luck.is_some() {
            return (Verdict::Broken, program.luck.clone());
        }
        let reason = program.reason.as_deref().unwrap_or_default();
        return (Verdict::WrongPass, Some(format!("passes, which no conforming runtime can: {reason}")));
    }
    match &program.control {
        Some(name) if !control => (
            Verdict::WrongPass,
            Some(format!("passes, but would also if nothing worked: {name} does not pass")),
        ),
        _ => (Verdict::Pass, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(toml: &str, runs: &[&str], control: bool) -> (Verdict, bool) {
        settle_with(toml, runs, Others { control, corrected: false }, &[])
    }

    fn settle_with(toml: &str, runs: &[&str], others: Others, facts: &[&'static str]) -> (Verdict, bool) {
        let run = |failure: &&str| Run {
            finding: Finding {
                ok: 0,
                failures: Some((*failure).to_owned()).filter(|text| !text.is_empty()).into_iter().collect(),
            },
            seconds: 1.0,
            code: Some(0),
            stdout: PathBuf::new(),
            stderr: PathBuf::new(),
        };
        let row = Row::settle(
            "x",
            &toml::from_str(toml).unwrap(),
            runs.iter().map(run).collect(),
            others,
            &Facts::only(facts),
        );
        (row.verdict, row.expected)
    }

    #[test]
    fn passes_and_wrong_ones() {
        assert_eq!(settle("class = \"passable\"", &[""], true), (Verdict::Pass, true));
        assert_eq!(settle("class = \"passable\"\ncontrol = \"y\"", &[""], true), (Verdict::Pass, true));
        assert_eq!(
            settle("class = \"passable\"\ncontrol = \"y\"", &[""], false),
            (Verdict::WrongPass, false)
        );
        assert_eq!(settle("class = \"broken\"\nfails = \"a\"", &[""], true), (Verdict::WrongPass, false));
        let needy = "class = \"conditional\"\nneeds = [\"v1:hugetlb\"]";
        assert_eq!(settle(needy, &[""], true), (Verdict::WrongPass, false));
        assert_eq!(settle(needy, &["x"], true), (Verdict::NotRunnable, true));
    }

    #[test]
    fn failures_and_known_ones() {
        assert_eq!(settle("class = \"passable\"", &["x"], true), (Verdict::Fail, false));
        assert_eq!(
            settle("class = \"broken\"\nfails = \"x\"", &["not ok: x"], true),
            (Verdict::Broken, true)
        );
        let broken = settle("class = \"broken\"\nfails = \"x\"\nreason = \"z\"", &["no"], true);
        assert_eq!(broken, (Verdict::Broken, false));
    }

    #[test]
    fn repeated_races() {
        let toml = "class = \"passable\"\nrace = \"late\"\nretries = 2";
        assert_eq!(settle(toml, &["late", ""], true), (Verdict::Pass, true));
        assert_eq!(settle(toml, &["late", "late", "late"], true), (Verdict::Fail, false));
        assert_eq!(settle(toml, &["late", "other"], true), (Verdict::Fail, false));
    }

    #[test]
    fn races_that_may_be_lost() {
        let toml = "class = \"passable\"\nrace = \"late\"\nretries = 2\nlost-with = { fact = \"emulated-cpu\", runs = 2 }";
        let settle = |runs: &[&str], corrected, facts| {
            settle_with(toml, runs, Others { control: true, corrected }, facts)
        };
        let emulated = &["emulated-cpu"];
        assert_eq!(settle(&["late", "late"], true, emulated), (Verdict::Race, true));
        assert_eq!(settle(&["late", ""], true, emulated), (Verdict::Pass, true));
        assert_eq!(settle(&["other", ""], true, emulated), (Verdict::Pass, true), "only the last one counts");
        assert_eq!(settle(&["late", "other"], true, emulated), (Verdict::Fail, false));
        assert_eq!(settle(&["late", "late"], false, emulated), (Verdict::Fail, false), "nothing shows it");
        assert_eq!(settle(&["late", ""], false, emulated), (Verdict::Pass, true), "it has shown it itself");
        assert_eq!(settle(&["late", "late"], true, &[]), (Verdict::Fail, false));
        assert_eq!(settle(&["late", ""], true, &[]), (Verdict::Pass, true));
    }

    #[test]
    fn luck() {
        let toml = "class = \"broken\"\nfails = \"x\"\nreason = \"z\"\nluck = \"slow\"";
        for failure in ["", "x"] {
            assert_eq!(settle(toml, &[failure], true), (Verdict::Broken, true));
        }
        assert_eq!(settle(toml, &["no"], true), (Verdict::Broken, false));
    }

    #[test]
    fn races() {
        let toml = "class = \"passable\"\nrace = \"order\"";
        assert_eq!(settle(toml, &["", "order"], true), (Verdict::Race, true));
        assert_eq!(settle(toml, &["", ""], true), (Verdict::Race, true));
        assert_eq!(settle(toml, &["order", "order"], true), (Verdict::Fail, false));
        assert_eq!(settle(toml, &["", "never ran"], true), (Verdict::Fail, false));
    }
}
