//! Interleaved rounds: every subject once a round, in an order drawn anew each time, so that what
//! one leaves to the kernel's workers is not always the same neighbour's noise.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::arena::View;
use super::company::Floor;
use super::lab::{Lab, check_interrupt};
use super::quiet::Watch;
use super::scenario::Scenario;
use super::series::Series;
use super::subject::{Call, Runtime, call, wait_for};
use crate::error::{Error, Result};

/// The first rounds warm caches, and make this runtime's template namespace.
const WARM_UP: usize = 3;

/// A sample with its noise.
struct Sample {
    measure: &'static str,
    call: Call,
    noise: f64,
}

/// Who takes part.
#[derive(Clone)]
enum Subject {
    Noop,
    Floor,
    /// By index, with the bundle.
    Runtime(usize, PathBuf),
}

/// Takes one sample.
fn timed(measure: &'static str, work: impl FnOnce() -> Result<Call>) -> Result<Sample> {
    let watch = Watch::start();
    let call = work()?;
    let noise = watch.noise(call.milliseconds);
    Ok(Sample { measure, call, noise })
}

fn push(series: &mut Series, sample: &Sample) {
    series.values.push(sample.call.milliseconds);
    series.noise.push(sample.noise);
    series.faults.push(sample.call.usage.faults);
    series.switches.push(sample.call.usage.switches);
}

/// Rounds of create, start, delete and run.
pub fn run(lab: &mut Lab, scenario: &Scenario, rounds: usize) -> Result<()> {
    let mut floor = if scenario.view == View::V2 { Some(lab.floor()?) } else { None };
    let mut subjects = vec![Subject::Noop];
    subjects.extend(floor.as_ref().map(|_| Subject::Floor));
    subjects.extend(bundles(lab, scenario, "true"));
    for round in 0..rounds + WARM_UP {
        lab.dice.shuffle(&mut subjects);
        let mut failed = Vec::new();
        for subject in &subjects {
            check_interrupt()?;
            let name = name(lab, subject);
            match samples(lab, subject, &mut floor, round) {
                Ok(samples) if round >= WARM_UP => {
                    for sample in samples {
                        push(lab.findings.series.entry(scenario.name, sample.measure, &name, "ms"), &sample);
                    }
                }
                Ok(_) => {}
                Err(reason) => failed.push((name, reason)),
            }
        }
        retire(lab, scenario, &mut subjects, failed);
    }
    Ok(())
}

/// The runtimes with their bundles; those that have none are skipped.
fn bundles(lab: &mut Lab, scenario: &Scenario, argument: &str) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for index in 0..lab.runtimes.len() {
        let name = lab.runtimes[index].name.clone();
        match lab.bundles.bundle(&name, argument, scenario.variant) {
            Ok(bundle) => subjects.push(Subject::Runtime(index, bundle)),
            Err(reason) => lab.skip(scenario, &name, reason),
        }
    }
    subjects
}

/// Who has failed takes no further part.
fn retire(lab: &mut Lab, scenario: &Scenario, subjects: &mut Vec<Subject>, failed: Vec<(String, Error)>) {
    for (name, reason) in failed {
        subjects.retain(|subject| self::name(lab, subject) != name);
        lab.runtimes.iter().filter(|runtime| runtime.name == name).for_each(Runtime::clear);
        lab.skip(scenario, &name, reason);
    }
}

fn name(lab: &Lab, subject: &Subject) -> String {
    match subject {
        Subject::Noop => "n0".into(),
        Subject::Floor => "floor".into(),
        Subject::Runtime(index, _) => lab.runtimes[*index].name.clone(),
    }
}

fn samples(lab: &Lab, subject: &Subject, floor: &mut Option<Floor>, round: usize) -> Result<Vec<Sample>> {
    match subject {
        Subject::Noop => noop(&lab.noop()).map(|sample| vec![sample]),
        Subject::Floor => {
            let Some(floor) = floor else { return Ok(Vec::new()) };
            let sample = timed("container", || {
                let milliseconds = floor.container()?;
                Ok(Call { pid: 0, milliseconds, usage: crate::sys::Usage::default() })
            });
            sample.map(|sample| vec![sample])
        }
        Subject::Runtime(index, bundle) => cycle(&lab.runtimes[*index], bundle, &format!("bench-{round}")),
    }
}

/// The no-op: spawn, exec, exit and wait of a program that does nothing.
fn noop(program: &Path) -> Result<Sample> {
    let mut command = Command::new(program);
    command.arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    timed("process", || call(&mut command))
}

/// One cycle and one run. The wait for the program's end between start and delete is nobody's time.
fn cycle(runtime: &Runtime, bundle: &Path, id: &str) -> Result<Vec<Sample>> {
    let mut pid = 0;
    let create = timed("create", || {
        let (call, process) = runtime.create(bundle, id)?;
        pid = process;
        Ok(call)
    })?;
    let start = timed("start", || runtime.call(&["start", id]))?;
    wait_for(pid)?;
    let delete = timed("delete", || runtime.call(&["delete", id]))?;
    let parts = [&create, &start, &delete];
    let usage = crate::sys::Usage {
        status: 0,
        faults: parts.iter().map(|part| part.call.usage.faults).sum(),
        switches: parts.iter().map(|part| part.call.usage.switches).sum(),
    };
    let cycle = Sample {
        measure: "cycle",
        call: Call { pid: 0, milliseconds: parts.iter().map(|part| part.call.milliseconds).sum(), usage },
        noise: parts.iter().map(|part| part.noise).fold(0.0, f64::max),
    };
    let run = timed("run", || runtime.run(bundle, id))?;
    Ok(vec![create, start, delete, cycle, run])
}

/// Rounds of exec, each runtime in a container of its own that lives as long.
pub fn exec(lab: &mut Lab, scenario: &Scenario, rounds: usize) -> Result<()> {
    const ID: &str = "exec";
    let mut subjects = Vec::new();
    for subject in bundles(lab, scenario, "pause") {
        let Subject::Runtime(index, bundle) = &subject else { continue };
        let runtime = &lab.runtimes[*index];
        match runtime.create(bundle, ID).and_then(|_| runtime.call(&["start", ID])) {
            Ok(_) => subjects.push(subject),
            Err(reason) => lab.skip(scenario, &name(lab, &subject), reason),
        }
    }
    subjects.push(Subject::Noop);
    for round in 0..rounds + WARM_UP {
        lab.dice.shuffle(&mut subjects);
        let mut failed = Vec::new();
        for subject in &subjects {
            check_interrupt()?;
            let name = name(lab, subject);
            let sample = match subject {
                Subject::Runtime(index, _) => {
                    let runtime = &lab.runtimes[*index];
                    timed("exec", || runtime.call(&["exec", ID, "/witness", "true"]))
                }
                _ => noop(&lab.noop()),
            };
            match sample {
                Ok(sample) if round >= WARM_UP => {
                    push(lab.findings.series.entry(scenario.name, sample.measure, &name, "ms"), &sample);
                }
                Ok(_) => {}
                Err(reason) => failed.push((name, reason)),
            }
        }
        retire(lab, scenario, &mut subjects, failed);
    }
    Ok(())
}
