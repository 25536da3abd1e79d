//! Many at once: how many cycles and runs a second.

use std::path::Path;
use std::sync::Barrier;
use std::time::Instant;

use super::lab::{Lab, check_interrupt};
use super::quiet::Watch;
use super::scenario::Scenario;
use super::series::PER_SECOND;
use super::subject::{Runtime, wait_for};
use crate::error::{Error, Result};

/// Containers of a batch, whatever the number at once: enough for the end of a batch, where fewer
/// run side by side, not to matter.
const BATCH: usize = 64;
/// Rounds of a sequential scenario that one batch stands for.
const ROUNDS: usize = 10;
const FEWEST: usize = 3;

/// Work of one container; its bundle and id.
type Work = fn(&Runtime, &Path, &str) -> Result<()>;

const MEASURES: [(&str, Work); 2] = [("cycles", cycle), ("runs", one_run)];

fn cycle(runtime: &Runtime, bundle: &Path, id: &str) -> Result<()> {
    let (_, pid) = runtime.create(bundle, id)?;
    runtime.call(&["start", id])?;
    wait_for(pid)?;
    runtime.call(&["delete", id]).map(drop)
}

fn one_run(runtime: &Runtime, bundle: &Path, id: &str) -> Result<()> {
    runtime.run(bundle, id).map(drop)
}

/// Batches of each measure, the runtimes in an order drawn anew each time.
pub fn run(lab: &mut Lab, scenario: &Scenario, count: usize, rounds: usize) -> Result<()> {
    let mut order: Vec<usize> = (0..lab.runtimes.len()).collect();
    // The first batch warms up.
    for batch in 0..=(rounds / ROUNDS).max(FEWEST) {
        lab.dice.shuffle(&mut order);
        for index in order.clone() {
            check_interrupt()?;
            let name = lab.runtimes[index].name.clone();
            for (measure, work) in MEASURES {
                match rate(lab, scenario, index, count, work) {
                    Ok((rate, noise)) if batch > 0 => {
                        let series = lab.findings.series.entry(scenario.name, measure, &name, PER_SECOND);
                        series.values.push(rate);
                        series.noise.push(noise);
                    }
                    Ok(_) => {}
                    Err(reason) => {
                        order.retain(|other| *other != index);
                        lab.runtimes[index].clear();
                        lab.skip(scenario, &name, reason);
                        break;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Containers a second with `count` workers, and the noise, which only the run queue before and
/// after can tell: in between the machine is busy with what is measured.
fn rate(lab: &Lab, scenario: &Scenario, index: usize, count: usize, work: Work) -> Result<(f64, f64)> {
    let runtime = &lab.runtimes[index];
    let mut bundles = Vec::new();
    for worker in 0..count {
        bundles.push(lab.bundles.bundle(&format!("{}-{worker}", runtime.name), "true", scenario.variant)?);
    }
    let each = BATCH.div_ceil(count);
    let ready = Barrier::new(count + 1);
    let watch = Watch::start();
    let (seconds, done) = std::thread::scope(|scope| {
        let workers: Vec<_> = bundles
            .iter()
            .enumerate()
            .map(|(worker, bundle)| {
                let ready = &ready;
                scope.spawn(move || {
                    ready.wait();
                    (0..each).try_for_each(|turn| work(runtime, bundle, &format!("many-{worker}-{turn}")))
                })
            })
            .collect();
        ready.wait();
        let began = Instant::now();
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(Error::State("a worker panicked".into()))));
        let done: Result<Vec<()>> = ended.collect();
        (began.elapsed().as_secs_f64(), done)
    });
    let noise = watch.noise(0.0);
    done.map(|_| ((each * count) as f64 / seconds, noise))
}
