//! `harness`: the host half of an OCI runtime. It decides; `init` executes.
#![cfg_attr(not(test), no_main)]

mod bench;
mod cgroup;
mod cli;
mod doctor;
mod error;
mod launch;
mod log;
mod plan;
mod process;
mod seccomp;
mod signal;
mod spec;
mod state;
mod sys;
mod verb;

// Not in their module, which conformance/oracle compiles once more, without its tests.
#[cfg(test)]
#[path = "seccomp/samples.rs"]
mod samples;
#[cfg(all(test, target_arch = "x86_64"))]
#[path = "seccomp/kernel.rs"]
mod seccomp_kernel;
#[cfg(test)]
#[path = "seccomp/tests.rs"]
mod seccomp_tests;

use std::ffi::OsString;

use cli::{Command, Global};
use error::Result;

/// Carries the command line out; the exit status. The one place where an error is printed.
fn run(arguments: impl Iterator<Item = OsString>) -> u8 {
    let mut global = Global::default();
    match carry_out(arguments, &mut global) {
        Ok(status) => status,
        Err(error) => {
            let text = one_line(&error.to_string());
            log::error(&global, &text);
            eprintln!("error: {text}");
            1
        }
    }
}

/// Names in messages may hold anything; a message is one line.
fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|letter| if letter.is_control() { letter.escape_default().collect() } else { vec![letter] })
        .collect()
}

fn carry_out(arguments: impl Iterator<Item = OsString>, global: &mut Global) -> Result<u8> {
    match cli::parse(arguments, global)? {
        Command::Print(text) => {
            verb::print(&text)?;
            Ok(0)
        }
        Command::Run(verb, args) => {
            // Nothing that is opened from here on may become the container's standard stream.
            sys::open_missing_streams()?;
            // What the caller left open is not for the container, and modes are to be exact.
            error::Context::host(sys::close_on_exec_from_3(), "close_range", "")?;
            rustix::process::umask(rustix::fs::Mode::empty());
            log::open(global);
            (verb.run)(global, &args)
        }
    }
}
