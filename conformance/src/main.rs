//! `harness-conformance`: runs the validation suite of opencontainers/runtime-tools, each program
//! isolated and judged by what it can have seen. `harness conformance run` starts it; it is a
//! program of its own so that what it is made of weighs on no container's start.
#![forbid(unsafe_code)]

mod cell;
mod cgroups;
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

/// A role and its order, as JSON: `run` is what `harness conformance run` asks for, the others are
/// how the driver starts itself around a program.
fn play() -> Result<u8> {
    let mut arguments = std::env::args().skip(1);
    let (Some(role), Some(order), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err(Error::new("started by `harness conformance run`"));
    };
    match role.as_str() {
        "run" => {
            let options = serde_json::from_str(&order).at("read", "options")?;
            let (table, as_expected) = run::run(&options)?;
            print!("{table}");
            Ok(u8::from(!as_expected))
        }
        role => cell::play(role, &order),
    }
}
