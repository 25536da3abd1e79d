//! The laboratory: arena, bundles and runtimes, and what a run has found out so far.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arena::Arena;
use super::bundle::{Bundles, Variant};
use super::company::{self, Company, Floor};
use super::counts::Counts;
use super::memory::Memory;
use super::scenario::{Kind, Scenario};
use super::series::Table;
use super::stats::Dice;
use super::subject::{Runtime, adopt_orphans, reap};
use super::timeline::Timeline;
use super::{counts, memory, parallel, phases, rounds, start};
use crate::error::{Error, Result};
use crate::sys;

/// What could not be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// Scenario.
    pub scenario: String,
    /// Runtime, or `all`.
    pub subject: String,
    /// Why.
    pub reason: String,
}

/// What a run has found out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Findings {
    /// Samples.
    pub series: Table,
    /// Memory, one entry a runtime.
    #[serde(default)]
    pub memory: Vec<Memory>,
    /// Counts, one entry a process.
    #[serde(default)]
    pub counts: Vec<Counts>,
    /// One start of each runtime.
    #[serde(default)]
    pub timelines: Vec<Timeline>,
    /// What is missing.
    #[serde(default)]
    pub skipped: Vec<Skip>,
}

/// The laboratory.
pub struct Lab {
    /// Runtimes; the first is this one.
    pub runtimes: Vec<Runtime>,
    /// Bundles.
    pub bundles: Bundles,
    /// The floor program.
    pub program: PathBuf,
    /// For the order of rounds.
    pub dice: Dice,
    /// What has been found out.
    pub findings: Findings,
    /// Place; dropped after all else.
    pub arena: Arena,
}

impl Lab {
    /// Sets everything up.
    pub fn new(runtimes: &[(String, PathBuf)], seccomp: Option<Value>) -> Result<Self> {
        sys::catch_interrupts();
        adopt_orphans()?;
        // As a shell has it: the runtimes inherit it.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let arena = Arena::enter()?;
        let bundles = Bundles::make(&arena, seccomp)?;
        let program = company::install(&arena)?;
        let runtimes: Result<Vec<Runtime>> =
            runtimes.iter().map(|(name, path)| Runtime::new(name, path, &arena)).collect();
        let dice = Dice::new(u64::from(std::process::id()));
        Ok(Self { runtimes: runtimes?, bundles, program, dice, findings: Findings::default(), arena })
    }

    /// The no-op: the program of every bundle.
    pub fn noop(&self) -> PathBuf {
        self.bundles.root(Variant::Default).join("witness")
    }

    /// The floor program, where the cgroup view is the one it knows.
    pub fn floor(&self) -> Result<Floor> {
        let cgroup = Path::new(crate::cgroup::MOUNT).join(&self.arena.cgroup).join("floor");
        Floor::start(&self.program, &self.bundles.root(Variant::Default), &cgroup)
    }

    /// Notes that something could not be measured.
    pub fn skip(&mut self, scenario: &Scenario, subject: &str, reason: impl std::fmt::Display) {
        let reason = reason.to_string();
        eprintln!("{}: {subject}: skipped: {reason}", scenario.name);
        self.findings.skipped.push(Skip { scenario: scenario.name.into(), subject: subject.into(), reason });
    }

    /// Measures one scenario.
    pub fn measure(&mut self, scenario: &Scenario, rounds: usize) -> Result<()> {
        eprintln!("{}: {}", scenario.name, scenario.about);
        if let Err(reason) = self.arena.set_view(scenario.view) {
            self.skip(scenario, "all", reason);
            return Ok(());
        }
        let company = self.company(scenario)?;
        let done = match scenario.kind {
            Kind::Rounds => rounds::run(self, scenario, rounds),
            Kind::Exec => rounds::exec(self, scenario, rounds),
            Kind::Parallel(count) => parallel::run(self, scenario, count, rounds),
            Kind::Memory => memory::run(self, scenario, rounds),
            Kind::Counts => counts::run(self, scenario),
            Kind::Phases => phases::run(self, scenario, rounds),
            Kind::Waterfall => start::run(self, scenario),
        };
        self.runtimes.iter().for_each(Runtime::clear);
        drop(company);
        reap();
        done
    }

    /// What is around the containers. Idle ones are this runtime's, for every subject.
    fn company(&mut self, scenario: &Scenario) -> Result<Company> {
        let mut company = Company::default();
        company.processes(&self.program, "wait", scenario.tasks)?;
        company.processes(&self.program, "spin", scenario.busy)?;
        company.mounts(&self.arena.path, scenario.mounts)?;
        for index in 0..scenario.idle {
            let name = format!("idle-{index}");
            let Some(own) = self.runtimes.first() else { break };
            own.create(&self.bundles.bundle(&name, "pause", Variant::Default)?, &name)?;
            own.call(&["start", &name])?;
            check_interrupt()?;
        }
        Ok(company)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.runtimes.iter().for_each(Runtime::clear);
        if let Some(own) = self.runtimes.first() {
            // The arena's file system goes with the namespace in any case.
            let _template_removed = own.call(&["cleanup"]);
        }
        reap();
    }
}

/// An error if the user has had enough; what was made is taken down on the way out.
pub fn check_interrupt() -> Result<()> {
    if sys::interrupted() { Err(Error::State("bench: interrupted".into())) } else { Ok(()) }
}
