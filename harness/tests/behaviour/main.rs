//! Behaviour, by subject, seen from outside.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod bench;
mod bundle;
mod cgroup;
mod cli;
mod conformance;
mod death;
mod filters;
mod image;
mod inside;
mod lifecycle;
mod protocol;
mod seccomp;
mod sigsys;
mod user;
mod world;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let trials = [
        bench::trials(),
        bundle::trials(),
        cgroup::trials(),
        cli::trials(),
        conformance::trials(),
        death::trials(),
        filters::trials(),
        image::trials(),
        inside::trials(),
        lifecycle::trials(),
        protocol::trials(),
        seccomp::trials(),
        sigsys::trials(),
        user::trials(),
        world::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}
