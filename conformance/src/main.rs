//! `harness-conformance`: runs the validation suite of opencontainers/runtime-tools, each program
//! isolated and judged by what it can have seen, and compares what containers see with other
//! runtimes. `harness conformance` starts it; it is a program of its own so that what it is made of
//! weighs on no container's start.
#![forbid(unsafe_code)]

mod cell;
mod cgroups;
mod differential;
mod error;
mod expect;
mod facts;
mod judge;
mod patch;
mod report;
mod run;
mod schedule;
mod suite;
mod tap;
mod verdict;

use std::process::ExitCode;

use error::{Context, Error, Result};

fn main() -> ExitCode {
    match play() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("error: {}", error.to_string().replace('\n', "; "));
            ExitCode::FAILURE
        }
    }
}

/// A role and its order, as JSON: `run` and `differential` are what `harness conformance` asks for,
/// `differences` is for who edits the list, `suite` builds it in a directory for the VM lane, the
/// others are how the driver starts itself around a program, in a container, and as a hook.
fn play() -> Result<u8> {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next();
    if role.as_deref() == Some("differences") {
        print!("{}", differential::page()?);
        return Ok(0);
    }
    let (Some(role), Some(order), None) = (role, arguments.next(), arguments.next()) else {
        return Err(Error::new("started by `harness conformance run`"));
    };
    let finish = |(text, as_expected): (String, bool)| {
        print!("{text}");
        u8::from(!as_expected)
    };
    match role.as_str() {
        "run" => {
            let options = serde_json::from_str(&order).at("read", "options")?;
            run::run(&options).map(finish)
        }
        "differential" => {
            let options = serde_json::from_str(&order).at("read", "options")?;
            differential::run(&options).map(finish)
        }
        "suite" => {
            suite::Suite::ready(std::path::Path::new(&order), &expect::Expected::load()?)?;
            Ok(0)
        }
        "case" => differential::case(&order),
        "report" => differential::report(&order),
        "hook" => differential::hook(&order),
        role => cell::play(role, &order),
    }
}
