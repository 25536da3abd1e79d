//! Runs cases, several at a time, each in a cell.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::case::{self, Outcome};
use super::table::{Around, Case};
use crate::cell;
use crate::cgroups::Hierarchy;
use crate::error::{Context, Error, Result};

/// The longest that a case may take with one runtime.
const LIMIT: Duration = Duration::from_secs(60);

/// One case with one runtime.
pub struct Task<'t> {
    /// Name of the case.
    pub name: &'t str,
    /// The case.
    pub case: &'t Case,
    /// The runtime.
    pub runtime: &'t Path,
    /// Where its output goes, but for the ending.
    pub evidence: PathBuf,
}

/// What all cases share.
pub struct Lane {
    /// The default configuration.
    pub config: Value,
    /// This program.
    pub driver: PathBuf,
    /// The machine's hierarchies.
    pub hierarchies: Vec<Hierarchy>,
    /// Cases at a time.
    pub jobs: usize,
}

impl Lane {
    /// Carries the tasks out; the outcomes, in their order.
    pub fn run(&self, tasks: &[Task<'_>]) -> Result<Vec<Outcome>> {
        static STOPPED: AtomicBool = AtomicBool::new(false);
        ctrlc::set_handler(|| STOPPED.store(true, Ordering::Relaxed)).at("take", "signals")?;
        let done: Vec<Mutex<Option<Result<Outcome>>>> = tasks.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while !STOPPED.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let (Some(task), Some(slot)) = (tasks.get(index), done.get(index)) else { return };
                let outcome = self.one(task, index + 1, || STOPPED.load(Ordering::Relaxed));
                // What fails here fails always.
                if outcome.is_err() {
                    STOPPED.store(true, Ordering::Relaxed);
                }
                if let Ok(mut slot) = slot.lock() {
                    *slot = Some(outcome);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(work);
            }
        });
        let mut all: Vec<_> = done.into_iter().map(|slot| slot.into_inner().unwrap_or_default()).collect();
        // The mistake before the tasks that it has stopped.
        all.sort_by_key(|one| !matches!(one, Some(Err(_))));
        all.into_iter().map(|one| one.unwrap_or_else(|| Err(Error::new("interrupted")))).collect()
    }

    fn one(&self, task: &Task<'_>, number: usize, stopped: impl Fn() -> bool) -> Result<Outcome> {
        let order = case::Order {
            case: task.case.clone(),
            config: self.config.clone(),
            id: format!("differential-{}-{number}", std::process::id()),
            driver: self.driver.clone(),
            runtime: task.runtime.to_path_buf(),
        };
        let file = |ending: &str| PathBuf::from(format!("{}.{ending}", task.evidence.display()));
        let mut arguments = vec!["case".into(), serde_json::to_string(&order).at("write", "order")?];
        let mut program = self.driver.clone();
        if task.case.around.contains(&Around::Pair) {
            // Never the machine's own devices.
            arguments.splice(..0, ["--net".into(), program.display().to_string()]);
            program = "unshare".into();
        }
        let order = cell::Order {
            program,
            arguments,
            runtime: task.runtime.to_path_buf(),
            work: PathBuf::from("/run/tmp"),
            stdout: file("json"),
            stderr: file("stderr"),
            cgroups: Vec::new(),
            driver: PathBuf::new(),
        };
        let ended = cell::run(order, &self.hierarchies, number, LIMIT, stopped)?;
        let read = |ending: &str| fs::read_to_string(file(ending)).at("read", file(ending).display());
        if ended.code != Some(0) {
            let reason = if ended.code.is_none() { "does not end" } else { "fails" };
            let runtime = task.runtime.display();
            return Err(Error::new(format!("{} {reason} with {runtime}: {}", task.name, read("stderr")?)));
        }
        serde_json::from_str(&read("json")?).at("read", file("json").display())
    }
}
