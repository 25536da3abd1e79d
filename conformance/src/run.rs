//! One run: choose, build, probe, carry out, settle, report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::error::{Context, Error, Result};
use crate::expect::{Expected, Program};
use crate::facts::Facts;
use crate::report::{Report, Tested};
use crate::schedule::{Lane, Task};
use crate::suite::Suite;
use crate::verdict::{Others, Row, Run, Verdict};
use crate::{cell, cgroups};

/// The runs of one runtime by program.
type Runs<'t> = BTreeMap<&'t str, Vec<Run>>;

/// What to run, as `harness conformance run` has read it from its command line.
#[derive(Deserialize)]
pub struct Options {
    /// Runtimes by name; the first is the one under test, the others are its peers.
    pub runtimes: Vec<(String, PathBuf)>,
    /// These programs only, and their controls.
    pub only: Vec<String>,
    /// Programs at a time.
    pub jobs: usize,
    /// The longest that a program may take, in seconds.
    pub limit: u64,
    /// Where the suite is, or is to be built.
    pub suite: PathBuf,
    /// Where reports go.
    pub output: PathBuf,
}

/// Runs the suite and writes the reports; the table, and whether all is as expected.
pub fn run(options: &Options) -> Result<(String, bool)> {
    let expected = Expected::load()?;
    let chosen = choose(&expected, &options.only)?;
    check_machine(options)?;
    // A runtime's own is 0; this is about files that people read.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let suite = Suite::ready(&options.suite, &expected)?;
    let hierarchies = cgroups::hierarchies()?;
    cgroups::sweep_after_others(&hierarchies)?;
    let facts = Facts::probe(&hierarchies)?;
    let started = Instant::now();
    let tasks = tasks(options, &expected, &chosen, &suite)?;
    let lane = Lane {
        work: &suite.work(),
        hierarchies: &hierarchies,
        facts: &facts,
        jobs: options.jobs,
        limit: Duration::from_secs(options.limit),
    };
    let runs = lane.run(&tasks)?;
    let mut grouped: Vec<[Runs<'_>; 2]> = options.runtimes.iter().map(|_| Default::default()).collect();
    for (task, mut run) in tasks.iter().zip(runs) {
        if let Some([original, patched]) = grouped.get_mut(task.runtime) {
            let runs = if task.patched { patched } else { original };
            runs.entry(task.name).or_default().append(&mut run);
        }
    }
    let tested = options.runtimes.iter().zip(grouped).map(|((name, path), [original, patched])| {
        let content = original.iter().filter(|(_, runs)| runs.iter().all(Run::passed));
        let content: BTreeSet<&str> = content.map(|(name, _)| *name).collect();
        let patched = settle(&expected.patched, patched, &content, &[], &facts);
        Tested {
            name: name.clone(),
            path: path.clone(),
            version: version(path),
            rows: settle(&expected.programs, original, &content, &patched, &facts),
            patched,
        }
    });
    let report = Report {
        tested: tested.collect(),
        facts: facts.json(),
        jobs: options.jobs,
        seconds: started.elapsed().as_secs_f64(),
        output: options.output.clone(),
    };
    report.write()?;
    Ok((report.table(), report.as_expected()))
}

/// The rows of one runtime; `content` are the programs of the suite that pass by their own account,
/// `patched` the rows of the corrected ones.
fn settle(
    programs: &BTreeMap<String, Program>,
    runs: Runs<'_>,
    content: &BTreeSet<&str>,
    patched: &[Row],
    facts: &Facts,
) -> Vec<Row> {
    let row = |(name, runs): (&str, Vec<Run>)| {
        let program = programs.get(name)?;
        let control = program.control.as_ref().is_none_or(|control| content.contains(control.as_str()));
        let corrected = patched.iter().any(|row| row.name == name && row.verdict == Verdict::Pass);
        Some(Row::settle(name, program, runs, Others { control, corrected }, facts))
    };
    runs.into_iter().filter_map(row).collect()
}

/// The programs to run, with the controls that they need.
fn choose<'e>(expected: &'e Expected, only: &[String]) -> Result<BTreeSet<&'e String>> {
    if only.is_empty() {
        return Ok(expected.programs.keys().collect());
    }
    let mut chosen = BTreeSet::new();
    for name in only {
        let unknown = || Error::new(format!("--only: the suite has no program {name:?}"));
        let (key, program) = expected.programs.get_key_value(name).ok_or_else(unknown)?;
        chosen.insert(key);
        let patched = expected.patched.get(name).and_then(|program| program.control.as_ref());
        for control in program.control.iter().chain(patched) {
            chosen.extend(expected.programs.get_key_value(control).map(|(key, _)| key));
        }
    }
    Ok(chosen)
}

/// What the suite cannot be run without.
fn check_machine(options: &Options) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new("needs root: the suite creates containers of every kind"));
    }
    if cfg!(not(target_arch = "x86_64")) {
        return Err(Error::new("the suite has a root file system for x86_64 only"));
    }
    for (name, path) in &options.runtimes {
        if !path.is_file() {
            return Err(Error::file(path, format!("the runtime {name} is not there")));
        }
    }
    let paths = options.runtimes.iter().map(|(_, path)| path).chain([&options.suite, &options.output]);
    match paths.into_iter().find(|path| path.starts_with(cell::RUN)) {
        Some(path) => Err(Error::file(path, "must not lie under /run, which is fresh for each program")),
        None => Ok(()),
    }
}

/// One task for each run, with a directory for what it will print.
fn tasks<'t>(
    options: &'t Options,
    expected: &'t Expected,
    chosen: &BTreeSet<&'t String>,
    suite: &Suite,
) -> Result<Vec<Task<'t>>> {
    let evidence = options.output.join("evidence");
    match fs::remove_dir_all(&evidence) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).at("remove", evidence.display());
        }
        _ => {}
    }
    let mut tasks = Vec::new();
    for (runtime, (label, path)) in options.runtimes.iter().enumerate() {
        for (patched, programs) in [(false, &expected.programs), (true, &expected.patched)] {
            let directory = evidence.join(label).join(if patched { "patched" } else { "suite" });
            fs::create_dir_all(&directory).at("mkdir", directory.display())?;
            for (name, program) in programs.iter().filter(|(name, _)| chosen.contains(name)) {
                for run in 1..=program.runs {
                    let number = if program.runs > 1 { format!("-{run:02}") } else { String::new() };
                    let file = if patched { suite.patched(name) } else { suite.program(name) };
                    let evidence = directory.join(format!("{name}{number}"));
                    tasks.push(Task { runtime, path, patched, name, program, file, evidence });
                }
            }
        }
    }
    Ok(tasks)
}

/// The first line of `--version`, or nothing.
fn version(path: &Path) -> String {
    let output = Command::new(path).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}
