//! The harness is killed at one of its own system calls: whatever it has begun can be looked at and
//! removed, and the id be used again.

use crate::judge::{LIMIT, Reference, left, name, same, settled};
use crate::scenario::Scenario;
use crate::support::Outcome;
use crate::tracer::{Site, Strike, Tracer};

/// `delete` is a command that can be killed as well.
pub fn with_delete(scenario: &mut Scenario) {
    if !scenario.is_begun() && scenario.commands[0][0] == "create" {
        scenario.commands.push(vec!["delete".into(), scenario.fixture.id.clone()]);
    }
}

/// Kills the harness once and judges what can be done afterwards.
pub fn strike(scenario: &Scenario, reference: &Reference, (site, number): (Site, i64)) -> Result<(), String> {
    scenario.reset();
    let target = Some((site, Strike::Kill));
    let mut tracer = Tracer::new(target, std::path::Path::new("/nonexistent"), LIMIT);
    for index in 0..=site.command {
        if scenario.commands[index][0] == "delete" && !(tracer.rest() && settled(scenario, LIMIT)) {
            return Err("the container does not end".into());
        }
        let ended = tracer.run(&scenario.command(index));
        if ended.hung {
            return Err(format!("`{}` hangs", scenario.commands[index][0]));
        }
        let expected = if index == site.command { None } else { Some(0) };
        if ended.code != expected {
            return Err(format!("`{}`: {:?}: {}", scenario.commands[index][0], ended.code, ended.stderr));
        }
    }
    if tracer.struck.map(|struck| struck.number) != Some(number) {
        return Err(format!("{:?} was struck instead", tracer.struck.map(|struck| name(struck.number))));
    }
    if !scenario.is_begun() {
        remove(scenario)?;
    }
    if !tracer.rest() || !settled(scenario, LIMIT) {
        return Err("processes are left".into());
    }
    match left(scenario).as_slice() {
        [] => again(scenario, reference),
        left => Err(format!("left: {left:?}")),
    }
}

/// `state` and `delete` may refuse, in one line; `delete -f` must not.
fn remove(scenario: &Scenario) -> Result<(), String> {
    let id = scenario.fixture.id.as_str();
    let answers = |called: &Outcome| {
        matches!(
            (called.code, called.stderr.lines().count()),
            (Some(0), 0) | (Some(1), 1)
        )
    };
    for verb in ["state", "delete"] {
        let called = scenario.fixture.verb(verb);
        if !answers(&called) {
            return Err(format!("`{verb}` afterwards: {called:?}"));
        }
    }
    let forced = scenario.fixture.call(&["delete", "-f", id]);
    match (forced.code, forced.stderr.as_str()) {
        (Some(0), "") => Ok(()),
        _ => Err(format!("`delete -f` afterwards: {forced:?}")),
    }
}

/// The same id makes the same container.
fn again(scenario: &Scenario, reference: &Reference) -> Result<(), String> {
    scenario.reset();
    for command in scenario.commands.iter().filter(|command| command[0] != "delete") {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let called = scenario.fixture.call(&words);
        if (called.code, called.stderr.as_str()) != (Some(0), "") {
            return Err(format!("`{}` again: {called:?}", command[0]));
        }
    }
    if !settled(scenario, LIMIT) {
        return Err("the container made again does not end".into());
    }
    same(scenario, reference).map_err(|error| format!("made again: {error}"))?;
    let _removed = (!scenario.is_begun()).then(|| scenario.fixture.verb("delete"));
    match left(scenario).as_slice() {
        [] => Ok(()),
        left => Err(format!("left, made again: {left:?}")),
    }
}
