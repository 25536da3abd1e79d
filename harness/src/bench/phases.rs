//! What each phase of init takes, untraced: create with `--timing`, the floor in between.

use std::fs::OpenOptions;

use init_core::failure::Phase;
use init_core::sys::page::Page;

use super::lab::{Lab, check_interrupt};
use super::quiet::Watch;
use super::scenario::Scenario;
use super::subject::{Runtime, wait_for};
use crate::error::{Context, Error, Result};

const ID: &str = "phases";
const WARM_UP: usize = 3;

/// Rounds of this runtime, which alone stamps its phases, and the floor.
pub fn run(lab: &mut Lab, scenario: &Scenario, rounds: usize) -> Result<()> {
    let mut floor = lab.floor()?;
    let own = lab.runtimes[0].name.clone();
    let bundle = lab.bundles.bundle(&own, "true", scenario.variant)?;
    for round in 0..rounds + WARM_UP {
        check_interrupt()?;
        let watch = Watch::start();
        let container = floor.container()?;
        let floor_noise = watch.noise(container);
        let runtime = &lab.runtimes[0];
        let watch = Watch::start();
        let (call, pid) = runtime.create_with(&["--timing"], &bundle, ID)?;
        let noise = watch.noise(call.milliseconds);
        runtime.call(&["start", ID])?;
        wait_for(pid)?;
        let spent = spent(page(runtime, ID)?);
        runtime.call(&["delete", ID])?;
        if round < WARM_UP {
            continue;
        }
        let mut push = |measure: &str, subject: &str, milliseconds: f64, noise: f64| {
            // The whole in the unit of the floor, which it is compared with.
            let (unit, value) = match measure {
                "container" | "init" => ("ms", milliseconds),
                _ => ("us", milliseconds * 1e3),
            };
            let series = lab.findings.series.entry(scenario.name, measure, subject, unit);
            series.values.push(value);
            series.noise.push(noise);
        };
        push("container", "floor", container, floor_noise);
        for (measure, milliseconds) in spent? {
            push(measure, &own, milliseconds, noise);
        }
    }
    Ok(())
}

/// The page of a container of ours.
pub fn page(runtime: &Runtime, id: &str) -> Result<&'static Page> {
    let path = runtime.root.join(id).join("page");
    let file = OpenOptions::new().read(true).write(true).open(&path).host("open", path.display())?;
    init_core::sys::map_page(&file).host("mmap", path.display())
}

/// Milliseconds of each phase up to the gate, and of all until init is ready, as `init`.
fn spent(page: &Page) -> Result<Vec<(&'static str, f64)>> {
    let first = page.visits().next().map(|(_, begin)| begin);
    let ready = page.visits().find(|(phase, _)| *phase == Phase::Ready).map(|(_, begin)| begin);
    let (Some(first), Some(ready)) = (first, ready) else {
        return Err(Error::State("create --timing left no stamps".into()));
    };
    let mut all = vec![("init", ready.saturating_sub(first) as f64 / 1e6)];
    let timed = Phase::ALL.iter().filter(|phase| !matches!(phase, Phase::Gate | Phase::Exec));
    let timed = timed.map(|phase| (phase.name(), page.spent(*phase) as f64 / 1e6));
    all.extend(timed.filter(|(_, milliseconds)| *milliseconds > 0.0));
    Ok(all)
}
