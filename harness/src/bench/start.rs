//! One start of each runtime, watched by the kernel's tracer.

use super::bundle::Variant;
use super::lab::{Lab, check_interrupt};
use super::phases;
use super::scenario::Scenario;
use super::subject::{Runtime, wait_for};
use super::timeline::{self, Timeline};
use super::trace::Trace;
use crate::error::Result;

/// Starts of each runtime, of which the shortest is shown: what makes one longer is not the
/// runtime's.
const STARTS: usize = 15;
const ID: &str = "start";

/// Keeps the shortest start of each runtime.
pub fn run(lab: &mut Lab, scenario: &Scenario) -> Result<()> {
    for index in 0..lab.runtimes.len() {
        let name = lab.runtimes[index].name.clone();
        let mut shortest: Option<Timeline> = None;
        for _ in 0..STARTS {
            check_interrupt()?;
            match one(lab, index) {
                Ok(found) if shortest.as_ref().is_none_or(|shortest| found.end() < shortest.end()) => {
                    shortest = Some(found);
                }
                Ok(_) => {}
                Err(reason) => {
                    lab.skip(scenario, &name, reason);
                    break;
                }
            }
        }
        lab.findings.timelines.extend(shortest);
    }
    Ok(())
}

fn one(lab: &Lab, index: usize) -> Result<Timeline> {
    let runtime = &lab.runtimes[index];
    let bundle = lab.bundles.bundle(&runtime.name, "true", Variant::Default)?;
    // Only ours can stamp its phases.
    let timing: &[&str] = if index == 0 { &["--timing"] } else { &[] };
    let trace = Trace::begin(&lab.arena.path)?;
    let (create, init) = runtime.create_with(timing, &bundle, ID)?;
    let start = runtime.call(&["start", ID])?;
    wait_for(init)?;
    let events = trace.end()?;
    let name = &runtime.name;
    let [creator, starter] = ["create", "start"].map(|verb| format!("{name} {verb}"));
    let lanes = [(create.pid, creator.as_str()), (init, "init"), (start.pid, starter.as_str())];
    let title = format!("{name}: create and start of a container (traced, the shortest of {STARTS})");
    let (mut timeline, origin) = Timeline::new(name, &title, &events, &lanes);
    if index == 0 {
        stamped(runtime, &mut timeline, origin)?;
    }
    runtime.call(&["delete", ID])?;
    Ok(timeline)
}

/// Adds the phases that init has stamped in the shared page.
fn stamped(runtime: &Runtime, timeline: &mut Timeline, origin: f64) -> Result<()> {
    let page = phases::page(runtime, ID)?;
    let Some(lane) = timeline.lanes.iter_mut().find(|lane| lane.name == "init") else { return Ok(()) };
    let stamps = page.visits().map(|(phase, at)| (phase.name(), at));
    lane.spans.extend(timeline::phases(stamps, origin, lane.alive.1));
    Ok(())
}
