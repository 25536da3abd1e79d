//! The command line of the conformance driver; its own tests are in conformance/tests.

use std::process::Command;

use libtest_mimic::Trial;

use crate::support::{Needs, binary, outcome, trial};

pub fn trials() -> Vec<Trial> {
    vec![trial("conformance::mistakes", Needs::Nothing, mistakes)]
}

fn mistakes() {
    let directory = tempfile::tempdir().unwrap();
    let fails = |arguments: &[&str], line: &str| {
        let mut command = Command::new(binary());
        outcome(command.arg("conformance").args(arguments).current_dir(directory.path())).fails_with(line);
    };
    fails(&["walk"], "conformance: \"run\" or \"differential\" can be done");
    fails(&["run", "--jobs", "0"], "conformance: --jobs: a number from 1 to 64 is needed");
    fails(&["run", "--limit", "3601"], "conformance: --limit: a number from 1 to 3600 is needed");
    fails(&["run", "--runtime", "/nowhere"], "resolve /nowhere: no such file or directory");
    fails(&["run", "--peers"], "target/peers/crun: not there; `just peers` puts it there");
    let twice = ["run", "--runtime", "a=/bin/true", "--runtime", "a=/bin/true"];
    fails(&twice, "conformance: --runtime: the name \"a\" is taken or unusable");
}
