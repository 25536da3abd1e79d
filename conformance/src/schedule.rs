//! Runs programs, several at a time, with a progress bar where somebody watches.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cell::{self, Order};
use crate::cgroups::Hierarchy;
use crate::error::{Context, Error, Result};
use crate::expect::Program;
use crate::facts::Facts;
use crate::judge;
use crate::verdict::Run;

/// One run of one program.
pub struct Task<'t> {
    /// Index of the runtime.
    pub runtime: usize,
    /// Path of the runtime.
    pub path: &'t Path,
    /// Whether it is the corrected program.
    pub patched: bool,
    /// Name of the program.
    pub name: &'t str,
    /// What is expected of it.
    pub program: &'t Program,
    /// The program's file.
    pub file: PathBuf,
    /// Where its output goes, but for the ending.
    pub evidence: PathBuf,
}

/// What all runs share.
pub struct Lane<'l> {
    /// Where programs run.
    pub work: &'l Path,
    /// The machine's hierarchies.
    pub hierarchies: &'l [Hierarchy],
    /// The machine's facts.
    pub facts: &'l Facts,
    /// How many programs run at a time.
    pub jobs: usize,
    /// The longest that a program may take.
    pub limit: Duration,
}

impl Lane<'_> {
    /// Carries the tasks out; the runs, in their order.
    pub fn run(&self, tasks: &[Task<'_>]) -> Result<Vec<Vec<Run>>> {
        static STOPPED: AtomicBool = AtomicBool::new(false);
        ctrlc::set_handler(|| STOPPED.store(true, Ordering::Relaxed)).at("take", "signals")?;
        let done: Vec<Mutex<Option<Result<Vec<Run>>>>> = tasks.iter().map(|_| Mutex::new(None)).collect();
        let bar = progress(tasks.len());
        let one = |index: usize| {
            let (Some(task), Some(slot)) = (tasks.get(index), done.get(index)) else { return };
            let stopped = || STOPPED.load(Ordering::Relaxed);
            if stopped() {
                return;
            }
            bar.set_message(task.name.to_owned());
            let run = self.until_won(task, index + 1, stopped);
            // Isolation that fails once fails always.
            if run.is_err() {
                STOPPED.store(true, Ordering::Relaxed);
            }
            if let Ok(mut slot) = slot.lock() {
                *slot = Some(run);
            }
            bar.inc(1);
        };
        let (alone, together): (Vec<usize>, Vec<usize>) =
            (0..tasks.len()).partition(|index| tasks.get(*index).is_some_and(|task| self.alone(task)));
        alone.into_iter().for_each(one);
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.min(together.len()) {
                scope.spawn(|| {
                    while let Some(index) = together.get(next.fetch_add(1, Ordering::Relaxed)) {
                        one(*index);
                    }
                });
            }
        });
        bar.finish_and_clear();
        let mut runs: Vec<Option<Result<Vec<Run>>>> =
            done.into_iter().map(|slot| slot.into_inner().unwrap_or_default()).collect();
        if let Some(failed) = runs.iter().position(|run| matches!(run, Some(Err(_)))) {
            let failed = runs.swap_remove(failed);
            return failed.unwrap_or_else(|| Err(interrupted())).map(|_| Vec::new());
        }
        runs.into_iter().map(|run| run.unwrap_or_else(|| Err(interrupted()))).collect()
    }

    /// Where a race may be lost every time, nothing is gained by giving it the CPU.
    fn alone(&self, task: &Task<'_>) -> bool {
        task.program.alone && task.program.may_lose_all(self.facts).is_none()
    }

    /// The runs of a task: one, or more where it lost a race that it may repeat.
    fn until_won(&self, task: &Task<'_>, number: usize, stopped: impl Fn() -> bool) -> Result<Vec<Run>> {
        let lost = |run: &Run| task.program.race.as_ref().is_some_and(|line| run.finding.has(line));
        let most = task.program.may_lose_all(self.facts).unwrap_or(task.program.retries + 1);
        let mut runs = vec![self.one(task, &task.evidence, number, &stopped)?];
        while runs.len() < most && runs.last().is_some_and(lost) && !stopped() {
            let evidence = format!("{}-{:02}", task.evidence.display(), runs.len() + 1);
            runs.push(self.one(task, Path::new(&evidence), number, &stopped)?);
        }
        Ok(runs)
    }

    fn one(
        &self,
        task: &Task<'_>,
        evidence: &Path,
        number: usize,
        stopped: &impl Fn() -> bool,
    ) -> Result<Run> {
        let (stdout, stderr) = (evidence.with_extension("stdout"), evidence.with_extension("stderr"));
        let order = Order {
            program: task.file.clone(),
            arguments: Vec::new(),
            runtime: task.path.to_path_buf(),
            work: self.work.to_path_buf(),
            stdout: stdout.clone(),
            stderr: stderr.clone(),
            cgroups: Vec::new(),
            driver: PathBuf::new(),
        };
        let ended = cell::run(order, self.hierarchies, number, self.limit, stopped)?;
        let text = |path: &Path| {
            std::fs::read(path)
                .at("read", path.display())
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let wanted = task.program.ok_here(self.facts);
        let finding = judge::judge(task.program, wanted, &ended, &text(&stdout)?, &text(&stderr)?);
        Ok(Run { finding, seconds: ended.seconds, code: ended.code, stdout, stderr })
    }
}

fn interrupted() -> Error {
    Error::new("interrupted")
}

/// Shows itself only on a terminal.
fn progress(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {elapsed}  {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
