//! Our filters against those of libseccomp, where libseccomp is right: on the profiles of engines,
//! and on random ones without conditions or with one rule a call. Elsewhere it errs (of two rules
//! with conditions for one call the second may be asked for the argument of the first), and only
//! the rules are the judge.

use crate::engines::{self, CAPABILITIES, PROFILES};
use crate::peer::{Request, Worker};
use crate::random::{self, Class};
use crate::samples::{self, Breadth};
use crate::seccomp::{Arch, Filter, Instruction, action, machine};

/// What was compared.
#[derive(Debug, Default)]
pub struct Tally {
    /// Filters.
    pub filters: u64,
    /// Profiles that libseccomp refuses.
    pub refused: u64,
    /// Profiles that it does not finish.
    pub endless: u64,
    /// Calls.
    pub samples: u64,
}

/// All profiles of engines, for every architecture, as a list and as a tree.
pub fn engines(worker: &mut Worker) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for (name, text) in PROFILES {
        // An x32 process is one of x86-64: there is no filter for it alone.
        for arch in Arch::ALL.into_iter().filter(|arch| *arch != Arch::X32) {
            for capabilities in CAPABILITIES {
                for optimize in [1, 2] {
                    let request = Request {
                        profile: text.to_owned(),
                        arch: arch.name().to_owned(),
                        capabilities: capabilities.iter().map(|name| (*name).to_owned()).collect(),
                        optimize,
                        rounds: 1,
                    };
                    one(worker, arch, &request, &mut tally)
                        .map_err(|error| format!("{name} for {} at {optimize}: {error}", arch.name()))?;
                }
            }
        }
    }
    if tally.refused + tally.endless > 0 {
        return Err(format!("libseccomp does not compile all profiles of engines: {tally:?}"));
    }
    Ok(tally)
}

/// `count` random profiles of a class.
pub fn random(worker: &mut Worker, class: Class, count: u64) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for number in 0..count {
        let profile = random::profile(class, number).to_string();
        // Its lists are wrong for an architecture that only has rules with conditions, which
        // multiplexed calls have always.
        for optimize in if class == Class::Plain { 1..=2 } else { 2..=2 } {
            let request = Request {
                profile: profile.clone(),
                arch: Arch::X86_64.name().to_owned(),
                capabilities: Vec::new(),
                optimize,
                rounds: 1,
            };
            one(worker, Arch::X86_64, &request, &mut tally)
                .map_err(|error| format!("{class:?} {number} at {optimize}: {error}\n{profile}"))?;
        }
    }
    if tally.filters < count / 2 {
        return Err(format!("{class:?}: too few that libseccomp takes: {tally:?}"));
    }
    Ok(tally)
}

fn one(worker: &mut Worker, arch: Arch, request: &Request, tally: &mut Tally) -> Result<(), String> {
    let answer = match worker.ask(request).map_err(|error| error.to_string())? {
        None => {
            tally.endless += 1;
            return Ok(());
        }
        Some(answer) if answer.refused.is_some() => {
            tally.refused += 1;
            return Ok(());
        }
        Some(answer) => answer,
    };
    let names: Vec<&str> = request.capabilities.iter().map(String::as_str).collect();
    let target = engines::target(arch, &names);
    let mut profile = engines::parse(&request.profile, &target).map_err(|error| error.to_string())?;
    // What libseccomp is too old for is no difference of meaning.
    let rules = profile.syscalls.get_or_insert_default();
    for rule in rules.iter_mut() {
        rule.names.retain(|name| !answer.unknown.iter().any(|unknown| **unknown == **name));
    }
    rules.retain(|rule| !rule.names.is_empty());
    let filter = Filter::new(&profile, arch, "").map_err(|error| error.to_string())?;
    tally.filters += 1;
    tally.samples += equal(&filter, &answer.instructions())?;
    Ok(())
}

/// Both in the machine. ENOSYS for calls that the profile does not know of is ours alone.
fn equal(filter: &Filter, theirs: &[Instruction]) -> Result<u64, String> {
    let (mut samples, mut difference) = (0, None);
    samples::each(&filter.rules, Breadth::Near, |call| {
        samples += 1;
        let verdict = |program: &[Instruction]| machine::run(program, call).map(|(verdict, _)| verdict);
        let entry = filter.rules.evaluate(call.audit, call.number, &call.args).1;
        let ours = match verdict(&filter.program) {
            Some(action::UNKNOWN_CALL) if entry.is_none() => Some(filter.rules.default),
            verdict => verdict,
        };
        let theirs = verdict(theirs);
        if ours != theirs && difference.is_none() {
            let [ours, theirs] = [ours, theirs].map(|verdict| verdict.map(action::describe));
            difference = Some(format!("{call:x?}: ours {ours:?}, libseccomp {theirs:?}"));
        }
    });
    difference.map_or(Ok(samples), Err)
}
