//! Behaviour, by subject, seen from outside.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod actions;
mod bench;
mod bundle;
mod cgroup;
mod cli;
mod clients;
mod conformance;
mod death;
mod doctor;
mod errors;
mod explain;
mod filters;
mod hooks;
mod hostile;
mod image;
mod inside;
mod joining;
mod lifecycle;
mod log;
mod mounts;
mod options;
mod policy;
mod profiles;
mod programs;
mod protocol;
mod rootless;
mod seccomp;
mod services;
mod sigsys;
mod update;
mod user;
mod watch;
mod world;

fn main() {
    // Trials put this program into containers, too.
    if let Ok(role) = std::env::var(actions::ROLE) {
        return actions::play(&role);
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let trials = [
        actions::trials(),
        bench::trials(),
        bundle::trials(),
        cgroup::trials(),
        cli::trials(),
        clients::trials(),
        conformance::trials(),
        death::trials(),
        doctor::trials(),
        errors::trials(),
        explain::trials(),
        filters::trials(),
        hooks::trials(),
        hostile::trials(),
        image::trials(),
        inside::trials(),
        joining::trials(),
        lifecycle::trials(),
        log::trials(),
        mounts::trials(),
        options::trials(),
        policy::trials(),
        profiles::trials(),
        programs::trials(),
        protocol::trials(),
        rootless::trials(),
        seccomp::trials(),
        services::trials(),
        sigsys::trials(),
        update::trials(),
        user::trials(),
        watch::trials(),
        world::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}
