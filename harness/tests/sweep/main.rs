//! Every system call of init fails in nine ways, or is its last; every system call of the harness is
//! its last. Each run ends in time, with a failure that names its step or with the same container,
//! and leaves nothing.
//!
//! A bounded sample runs with the other tests, all of it with `SWEEP=all` (`just sweep`).
#![allow(clippy::unwrap_used, missing_docs)]
#![cfg_attr(not(target_arch = "x86_64"), allow(unused))]

#[path = "../support/mod.rs"]
mod support;

#[cfg(target_arch = "x86_64")]
mod changes;
#[cfg(target_arch = "x86_64")]
mod controls;
#[cfg(target_arch = "x86_64")]
mod deaths;
#[cfg(target_arch = "x86_64")]
mod gate;
#[cfg(target_arch = "x86_64")]
mod hooked;
#[cfg(target_arch = "x86_64")]
mod judge;
#[cfg(target_arch = "x86_64")]
mod model;
#[cfg(target_arch = "x86_64")]
mod report;
#[cfg(target_arch = "x86_64")]
mod scenario;
#[cfg(target_arch = "x86_64")]
mod tracer;
#[cfg(target_arch = "x86_64")]
mod watchdog;
#[cfg(target_arch = "x86_64")]
mod worker;

#[cfg(target_arch = "x86_64")]
fn main() {
    let arguments: Vec<_> = std::env::args_os().collect();
    match arguments.get(1).and_then(|word| word.to_str()) {
        Some("--traced") => tracer::stage(&arguments[2..]),
        Some("--worker") => worker::run(arguments[2].to_str().unwrap()),
        _ => {
            let arguments = libtest_mimic::Arguments::from_args();
            libtest_mimic::run(&arguments, worker::trials()).exit();
        }
    }
}

/// The tracer knows one machine's registers.
#[cfg(not(target_arch = "x86_64"))]
fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let skipped = libtest_mimic::Trial::test("sweep", || Ok(()))
        .with_kind("skipped: needs x86_64")
        .with_ignored_flag(true);
    libtest_mimic::run(&arguments, vec![skipped]).exit();
}
