//! The latency laboratory: what it refuses, what it writes, and that it leaves nothing.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::{Fixture, Needs, outcome, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("bench::mistakes", Needs::Nothing, mistakes),
        trial("bench::a_report_of_few_rounds", Needs::Root, a_report_of_few_rounds),
    ]
}

fn mistakes() {
    let fixture = Fixture::new();
    for (args, line) in [
        (["--rounds", "3"], "bench: --rounds: a number of at least 10 is needed"),
        (
            ["--runtime", "../crun=/bin/true"],
            "bench: --runtime: NAME=PATH is needed, with a name of letters, digits, - and .",
        ),
        (["--compare", "/nonexistent"], "read /nonexistent: no such file or directory"),
    ] {
        fixture.call(&["bench", args[0], args[1]]).fails_with(line);
    }
    let unknown = fixture.call(&["bench", "--scenario", "nonsense"]);
    assert!(unknown.stderr.starts_with("error: bench: --scenario: no \"nonsense\"; all, or of base, exec,"));
}

fn a_report_of_few_rounds() {
    let fixture = Fixture::new();
    let output = fixture.path().join("report");
    let mut command = fixture.harness();
    // Where no peers are: the test is about this runtime alone.
    command.current_dir(fixture.path()).args(["bench", "--scenario", "base,phases,counts", "--rounds", "10"]);
    command.arg("--output").arg(&output);
    let done = outcome(&mut command);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.starts_with("harness over            floor                 n0\n"), "{}", done.stdout);

    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(output.join("report.json")).unwrap()).unwrap();
    for measure in ["create", "start", "delete", "cycle", "run"] {
        for other in ["floor", "n0"] {
            assert!(
                report["ratios"][measure][other].as_f64().is_some_and(|ratio| ratio > 0.0),
                "{measure} {other}"
            );
        }
        let figures = &report["scenarios"]["base"]["figures"][measure]["harness"];
        assert!(figures["left_out"].as_f64().is_some_and(|share| share <= 0.5), "{figures}");
    }
    let series = report["findings"]["series"].as_array().unwrap();
    assert!(
        series.iter().any(|one| one["measure"] == "init" && one["values"].as_array().unwrap().len() == 10)
    );
    assert!(std::fs::read_to_string(output.join("distribution.svg")).unwrap().starts_with("<svg "));
    assert_eq!(left_behind(Path::new("/sys/fs/cgroup"), 2), Vec::<PathBuf>::new());
}

/// cgroups of a laboratory that is no longer there.
fn left_behind(directory: &Path, depth: usize) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let directories = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let mut found = Vec::new();
    for path in directories {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.strip_prefix("harness-bench-") {
            Some(pid) if !Path::new("/proc").join(pid).exists() => found.push(path),
            None if depth > 0 => found.append(&mut left_behind(&path, depth - 1)),
            _ => {}
        }
    }
    found
}
