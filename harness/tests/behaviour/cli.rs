//! The command line.

use libtest_mimic::Trial;

use crate::support::{Fixture, Needs, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("cli::invalid_ids", Needs::Nothing, invalid_ids),
        trial("cli::unknown_ids", Needs::Nothing, unknown_ids),
        trial("cli::mistakes", Needs::Nothing, mistakes),
        trial("cli::version_and_help", Needs::Nothing, version_and_help),
        trial("cli::log_records", Needs::Nothing, log_records),
        trial("cli::spec_and_features", Needs::Nothing, spec_and_features),
    ]
}

fn invalid_ids() {
    let fixture = Fixture::new();
    let long = "a".repeat(256);
    for (id, reason) in [
        ("", "\"\": empty"),
        (".", "\".\": must begin with a letter, a digit or _"),
        ("..", "\"..\": must begin with a letter, a digit or _"),
        ("a/b", "\"a/b\": only letters, digits, and _ . + - are allowed"),
        ("../x", "\"../x\": must begin with a letter, a digit or _"),
        (&long, "longer than 255 bytes"),
        ("-x", "\"-x\": must begin with a letter, a digit or _"),
    ] {
        let separator = if reason.starts_with('"') { " " } else { ": " };
        for verb in ["create", "start", "state", "kill", "delete", "run"] {
            fixture.call(&[verb, "--", id]).fails_with(&format!("invalid id{separator}{reason}"));
        }
    }
    assert!(!fixture.root().exists());
}

fn unknown_ids() {
    let fixture = Fixture::new();
    for verb in ["start", "state", "kill", "delete"] {
        fixture.call(&[verb, "nobody"]).fails_with("container does not exist: \"nobody\"");
    }
    fixture.call(&["delete", "--force", "nobody"]).prints("");
    fixture.call(&["list", "-q"]).prints("");
    fixture.call(&["list", "--format", "json"]).prints("[]\n");
}

fn mistakes() {
    let fixture = Fixture::new();
    fixture.call(&["frobnicate"]).fails_with("unknown command \"frobnicate\"; see --help");
    fixture.call(&["--frob", "list"]).fails_with("unknown option --frob; see --help");
    fixture.call(&["start", "--frob", "x"]).fails_with("start: unknown option --frob; see --help");
    fixture.call(&["start"]).fails_with("start: ID is missing");
    fixture.call(&["start", "a", "b"]).fails_with("start: unexpected argument \"b\"");
    fixture.call(&["create", "x", "--bundle"]).fails_with("create: missing argument for option '--bundle'");
    fixture.call(&["kill", "x", "FOO"]).fails_with("unknown signal \"FOO\"");
    fixture.call(&["--log-format", "xml", "list"]).fails_with("--log-format: must be text or json");
    fixture
        .call(&["--systemd-cgroup", "create", "x"])
        .fails_with("--systemd-cgroup: not supported; use the engine's cgroupfs manager");
    fixture.call(&["checkpoint", "--help"]).fails_with("checkpoint: not supported");
    fixture
        .call(&["list", "--format", "xml"])
        .fails_with("list: --format: \"xml\" is neither table nor json");
}

fn version_and_help() {
    let fixture = Fixture::new();
    let version = fixture.call(&["--version"]);
    assert_eq!(version.code, Some(0));
    let lines: Vec<&str> = version.stdout.lines().collect();
    assert_eq!(lines[0], concat!("harness version ", env!("CARGO_PKG_VERSION")));
    assert_eq!(lines[2], "spec: 1.3.0");
    for args in [&["--help"][..], &["create", "--help"], &["list", "-h"], &[]] {
        let help = fixture.call(args);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        assert!(help.stdout.contains("usage: harness"), "{}", help.stdout);
    }
    fixture.call(&["--rootless", "auto", "--debug", "list", "-q"]).prints("");
}

fn log_records() {
    let fixture = Fixture::new();
    let log = fixture.path().join("log");
    let log = log.to_str().unwrap();
    fixture
        .call(&["--log", log, "--log-format", "json", "state", "nobody"])
        .fails_with("container does not exist: \"nobody\"");
    let record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(log).unwrap()).unwrap();
    assert_eq!(record["level"], "error");
    assert_eq!(record["msg"], "container does not exist: \"nobody\"");
    assert!(record["time"].as_str().unwrap().ends_with('Z'));
    fixture.call(&["--log", log, "state", "nobody"]).fails_with("container does not exist: \"nobody\"");
    let text = std::fs::read_to_string(log).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.ends_with("level=error msg=\"container does not exist: \\\"nobody\\\"\""), "{last}");
}

fn spec_and_features() {
    let fixture = Fixture::new();
    let config = fixture.bundle().join("config.json");
    fixture.call(&["spec"]).fails_with("./config.json: exists already");
    std::fs::remove_file(&config).unwrap();
    fixture.call(&["spec", "--rootless"]).prints("");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    assert_eq!(written["linux"]["uidMappings"][0]["size"], 1);
    let features = fixture.call(&["features"]);
    let features: serde_json::Value = serde_json::from_str(&features.stdout).unwrap();
    assert_eq!(features["ociVersionMax"], "1.3.0");
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
    assert!(features["mountOptions"].as_array().unwrap().contains(&"rbind".into()));
}
