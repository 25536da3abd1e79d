//! Two hundred cycles leave the host as it was. Alone in its program: other tests would be seen.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use support::{Fixture, Needs, trial};

/// Everything that a container could leave; of cgroups and processes what bears its id, since other
/// programs make some meanwhile.
struct Host {
    mounts: Vec<String>,
    cgroups: BTreeSet<String>,
    keyrings: Vec<String>,
    processes: Vec<String>,
    descriptors: usize,
}

fn below(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.insert(entry.path().display().to_string());
            below(&entry.path(), found);
        }
    }
}

fn look(fixture: &Fixture) -> Host {
    let lines = |file: &str| {
        fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // The template is the one mount that stays, by name.
    let own = fixture.root().join(".template").display().to_string();
    let mut cgroups = BTreeSet::new();
    below(Path::new("/sys/fs/cgroup"), &mut cgroups);
    cgroups.retain(|path| path.contains(&fixture.id));
    let processes = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        fs::read_to_string(entry.path().join("cgroup")).ok().filter(|text| text.contains(&fixture.id))
    });
    Host {
        mounts: lines("/proc/self/mountinfo").into_iter().filter(|line| !line.contains(&own)).collect(),
        cgroups,
        keyrings: lines("/proc/keys")
            .into_iter()
            .filter(|line| line.contains(&format!("_ses.{}", fixture.id)))
            .collect(),
        processes: processes.collect(),
        descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
    }
}

fn cycles() {
    let fixture = Fixture::script("true");
    fixture.write();
    let before = look(&fixture);
    for _ in 0..200 {
        for verb in ["create", "start"] {
            fixture.verb(verb).prints("");
        }
        fixture.await_status("stopped");
        fixture.verb("delete").prints("");
    }
    // The kernel frees keyrings some time after their last user, behind namespaces and RCU.
    let start = std::time::Instant::now();
    while look(&fixture).keyrings != before.keyrings && start.elapsed().as_secs() < 30 {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let after = look(&fixture);
    assert_eq!(after.mounts, before.mounts);
    assert_eq!(after.cgroups, before.cgroups);
    assert_eq!(after.keyrings, before.keyrings);
    assert_eq!(after.processes, before.processes);
    assert_eq!(after.descriptors, before.descriptors);
    let left: Vec<String> = fs::read_dir(fixture.root())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert!(left.iter().all(|name| name.starts_with(".template")), "{left:?}");
    fixture.call(&["cleanup"]).prints("");
    assert_eq!(fs::read_dir(fixture.root()).unwrap().count(), 0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&fixture.root().display().to_string()));
}

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    libtest_mimic::run(&arguments, vec![trial("leaks::two_hundred_cycles", Needs::Root, cycles)]).exit();
}
