//! Every system call of init fails in nine ways, or is its last; every system call of the harness is
//! its last. Each run ends in time, with a failure that names its step or with the same container,
//! and leaves nothing.
//!
//! | trial | what is struck | runs |
//! |---|---|---|
//! | `errors` | each call of init, and of what becomes a hook, returns one of nine errnos | 37,440 |
//! | `killed_init` | the process is killed at each of these calls | 4,160 |
//! | `killed_harness` | the harness is killed at each of its calls, and with init at each of init's | 13,959; how often the harness waits differs |
//! | `killed_in_hook` | harness, init or hook is killed while a hook of each kind runs; the harness at each call of what becomes a hook | 216 |
//! | `controls` | broken runs that must be found: 14 weaker containers, 5 missing namespaces, hangs, leftovers, wrong words, another container the second time, hooks that leave a process or do not run | all |
//!
//! A finding is an error of which nothing is seen, a death that is told as success, more than ten
//! seconds, an error without a step, and a process, mount, cgroup or file that is left; after a death
//! of the harness also a `state`, `delete` or `delete -f` that is not answered, and an id that cannot
//! be used again. The scenarios reach all phases of init but those of AppArmor and SELinux. All of it
//! (`just sweep`, which sets `SWEEP=all`) takes 17 minutes on two busy processors; a bounded sample runs
//! with the other tests.
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
