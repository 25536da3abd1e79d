//! Behaviour, by subject, seen from outside.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod bench;
mod bundle;
mod cgroup;
mod cli;
mod clients;
mod conformance;
mod death;
mod errors;
mod hooks;
mod hostile;
mod image;
mod inside;
mod joining;
mod lifecycle;
mod mounts;
mod options;
mod policy;
mod programs;
mod protocol;
mod rootless;
mod seccomp;
mod services;
mod user;
mod world;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let trials = [
        bench::trials(),
        bundle::trials(),
        cgroup::trials(),
        cli::trials(),
        clients::trials(),
        conformance::trials(),
        death::trials(),
        errors::trials(),
        hooks::trials(),
        hostile::trials(),
        image::trials(),
        inside::trials(),
        joining::trials(),
        lifecycle::trials(),
        mounts::trials(),
        options::trials(),
        policy::trials(),
        programs::trials(),
        protocol::trials(),
        rootless::trials(),
        seccomp::trials(),
        services::trials(),
        user::trials(),
        world::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}
