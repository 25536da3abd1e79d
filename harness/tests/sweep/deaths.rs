//! The harness is killed at one of its own system calls, or while init is at one of its: whatever it
//! has begun can be looked at and removed, and the id be used again.

use std::path::Path;

use crate::judge::{LIMIT, Reference, left, same, settled, survivors};
use crate::scenario::Scenario;
use crate::tracer::{Site, Strike, Tracer};

/// `delete` is a command that can be killed as well.
pub fn with_delete(scenario: &mut Scenario) {
    if !scenario.is_begun() && scenario.commands[0][0] == "create" {
        scenario.commands.push(vec!["delete".into(), scenario.fixture.id.clone()]);
    }
}

/// Kills the harness once and judges what can be done afterwards; false if the call was not made:
/// how often the harness waits is not its own choice.
pub fn strike(
    scenario: &Scenario,
    reference: &Reference,
    site: Site,
    strike: Strike,
) -> Result<bool, String> {
    scenario.reset();
    let mut tracer = Tracer::new(Some((site, strike)), Path::new("/nonexistent"), LIMIT);
    // Init begins in one command and ends in another.
    let last = match strike {
        Strike::Orphan => scenario.commands.iter().rposition(|words| words[0] != "delete").unwrap(),
        _ => site.command,
    };
    for index in 0..=last {
        let verb = &scenario.commands[index][0];
        if verb == "delete" && !(tracer.rest() && settled(scenario, LIMIT)) {
            return Err("the container does not end".into());
        }
        let ended = tracer.run(&scenario.command(index));
        if ended.hung {
            return Err(format!("`{verb}` hangs"));
        }
        let expected = if tracer.struck.is_some() { None } else { Some(0) };
        if ended.code != expected {
            return Err(format!("`{verb}`: {:?}: {}", ended.code, ended.stderr));
        }
        if tracer.struck.is_some() {
            break;
        }
    }
    tracer.disarm();
    if !scenario.is_begun() {
        remove(scenario, &mut tracer)?;
    }
    if !tracer.rest() || !settled(scenario, LIMIT) {
        return Err(format!("processes are left: {}", survivors(scenario)));
    }
    match left(scenario).as_slice() {
        [] => again(scenario, reference).map(|()| tracer.struck.is_some()),
        left => Err(format!("left: {left:?}")),
    }
}

/// `state` and `delete` may refuse, in one line; `delete -f` must not. The tracer runs them: it is
/// the one to reap init.
pub fn remove(scenario: &Scenario, tracer: &mut Tracer) -> Result<(), String> {
    let id = scenario.fixture.id.as_str();
    for words in [&["state", id][..], &["delete", id], &["delete", "-f", id]] {
        let ended = tracer.run(scenario.fixture.harness().args(words));
        let errors = ended.stderr.lines().filter(|line| !line.starts_with("warning: ")).count();
        let may_refuse = words.len() == 2;
        match (ended.code, errors) {
            (Some(0), 0) if !ended.hung => {}
            (Some(1), 1) if !ended.hung && may_refuse => {}
            _ => return Err(format!("`{}` afterwards: {ended:?}", words.join(" "))),
        }
    }
    Ok(())
}

/// The same id makes the same container.
pub fn again(scenario: &Scenario, reference: &Reference) -> Result<(), String> {
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
