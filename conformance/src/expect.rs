//! What a conforming runtime does in each program: conformance/expected.toml.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::facts::Facts;

const TEXT: &str = include_str!("../expected.toml");

/// The expectation file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The programs of the suite.
    pub programs: BTreeMap<String, Program>,
    /// Those of them that we correct, as they are after that.
    pub patched: BTreeMap<String, Program>,
}

/// One program.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Program {
    /// Whether a conforming runtime can pass it.
    pub class: Class,
    /// How its verdict shows.
    #[serde(default)]
    pub judge: Judge,
    /// Number of `ok` lines of a correct run.
    #[serde(default)]
    pub ok: usize,
    /// Number of `ok` lines where a fact holds.
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// TAP documents of the container's program, embedded in the stream.
    #[serde(default)]
    pub inner: usize,
    /// What ends an embedded document instead of its plan.
    pub inner_stderr: Option<String>,
    /// Facts of the machine without which it cannot pass.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The program that must pass for a pass of this one to mean something.
    pub control: Option<String>,
    /// Run with no other program beside it: it takes for granted that its container gets the CPU.
    #[serde(default)]
    pub alone: bool,
    /// How many times it is run, where it races with itself.
    #[serde(default = "once")]
    pub runs: usize,
    /// How many more times it is run after a lost race, until it is won once. Winning shows all
    /// there is to see; never winning is a failure.
    #[serde(default)]
    pub retries: usize,
    /// The failure that the race leads to.
    pub race: Option<String>,
    /// Where any runtime may lose the race every time.
    pub lost_with: Option<Lost>,
    /// The failure of a conforming runtime, for a broken program.
    pub fails: Option<String>,
    /// How a conforming runtime may pass it all the same, for a broken program.
    pub luck: Option<String>,
    /// Why it is broken, or cannot be passed on every machine.
    pub reason: Option<String>,
}

/// Whether a conforming runtime can pass a program.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// On an ordinary machine with the v1 controllers.
    Passable,
    /// Only on some machines, or kernels.
    Conditional,
    /// Nowhere: it is wrong, or asks for what the specification no longer says.
    Broken,
}

/// How the verdict of a program shows.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum Judge {
    /// In `ok` and `not ok` lines.
    #[default]
    Tap,
    /// In what an empty TAP document does not complain about.
    Hooks,
    /// In the refusal to create, of which only stderr tells.
    Refusal,
}

/// Another number of `ok` lines.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The fact with which it holds.
    pub fact: String,
    /// Number of `ok` lines.
    pub ok: usize,
}

/// A machine on which a race may be lost every time. There it is run so many times until it
/// wins, and may lose them all if its corrected form passes, which shows that the race is all that was lost.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Lost {
    /// The fact that tells it.
    pub fact: String,
    /// How many times it is run at most, until it wins.
    pub runs: usize,
}

fn once() -> usize {
    1
}

impl Expected {
    /// The expectations that this program was built with.
    pub fn load() -> Result<Self> {
        let invalid = |reason: String| Error::file("conformance/expected.toml", reason);
        let expected: Self = toml::from_str(TEXT).map_err(|error| invalid(error.to_string()))?;
        for (name, program) in expected.programs.iter().chain(&expected.patched) {
            if let Some(control) =
                program.control.as_ref().filter(|name| !expected.programs.contains_key(*name))
            {
                return Err(invalid(format!("{name}: unknown control {control:?}")));
            }
            let variants = program.variants.iter().map(|variant| &variant.fact);
            let lost = program.lost_with.iter().map(|lost| &lost.fact);
            let facts = program.needs.iter().chain(variants).chain(lost);
            if let Some(fact) = facts.into_iter().find(|fact| !Facts::knows(fact)) {
                return Err(invalid(format!("{name}: unknown fact {fact:?}")));
            }
            if program.class != Class::Passable && program.reason.is_none() {
                return Err(invalid(format!("{name}: a reason is missing")));
            }
            if program.lost_with.is_some() && !expected.patched.contains_key(name) {
                return Err(invalid(format!("{name}: a corrected form is missing")));
            }
            if program.class == Class::Broken && program.fails.is_none() {
                return Err(invalid(format!("{name}: the failing line is missing")));
            }
        }
        Ok(expected)
    }
}

impl Program {
    /// Number of `ok` lines of a correct run on this machine.
    pub fn ok_here(&self, facts: &Facts) -> usize {
        let variant = self.variants.iter().find(|variant| facts.lack(&variant.fact).is_none());
        variant.map_or(self.ok, |variant| variant.ok)
    }

    /// Whether it is a race whose rate is reported, and not one that is repeated until it is won.
    pub fn races(&self) -> bool {
        self.race.is_some() && self.retries == 0
    }

    /// How many times it is run if any runtime may lose all of them on this machine.
    pub fn may_lose_all(&self, facts: &Facts) -> Option<usize> {
        self.lost_with.as_ref().filter(|lost| facts.lack(&lost.fact).is_none()).map(|lost| lost.runs)
    }

    /// Why no runtime can pass it on this machine.
    pub fn obstacle(&self, facts: &Facts) -> Option<String> {
        self.needs.iter().find_map(|need| facts.lack(need))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_sound() {
        let expected = Expected::load().unwrap();
        assert_eq!(expected.programs.len(), 58);
        let count = |class| expected.programs.values().filter(|program| program.class == class).count();
        assert_eq!([Class::Passable, Class::Conditional, Class::Broken].map(count), [36, 11, 11]);
        let corrected = expected
            .programs
            .iter()
            .filter(|(_, program)| program.class == Class::Broken || program.lost_with.is_some());
        assert!(corrected.map(|(name, _)| name).eq(expected.patched.keys()), "each of these is corrected");
    }
}
