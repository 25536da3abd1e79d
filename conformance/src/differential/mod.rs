//! The same configurations with this runtime and its peers; what differs must be known.

mod case;
mod compare;
mod console;
mod files;
mod lane;
mod listed;
mod mountinfo;
mod network;
mod reporter;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

pub use case::{hook, run as case};
pub use reporter::run as report;

use self::case::Outcome;
use self::compare::Difference;
use self::lane::{Lane, Task};
use self::listed::Listed;
use self::table::Case;
use crate::cell;
use crate::cgroups;
use crate::error::{Context, Error, Result};
use crate::facts::Facts;

/// What to compare, as `harness conformance differential` has read it from its command line.
#[derive(Deserialize)]
pub struct Options {
    /// Runtimes by name; the first is the one under test, the others are its peers.
    pub runtimes: Vec<(String, PathBuf)>,
    /// These cases only, and the default.
    pub only: Vec<String>,
    /// Cases at a time.
    pub jobs: usize,
    /// Where reports go.
    pub output: PathBuf,
}

/// Outcomes by case, in the order of the runtimes.
type Outcomes<'t> = BTreeMap<&'t str, Vec<Outcome>>;

/// The page of the known differences.
pub fn page() -> Result<String> {
    Listed::load().map(|listed| listed.page())
}

/// Compares; what to print, and whether all is as listed.
pub fn run(options: &Options) -> Result<(String, bool)> {
    check(options)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let hierarchies = cgroups::hierarchies()?;
    cgroups::sweep_after_others(&hierarchies)?;
    let facts = Facts::probe(&hierarchies)?;
    let started = Instant::now();
    let all = table::load()?;
    let (cases, skipped) = choose(&all, &options.only, &facts)?;
    let evidence = options.output.join("differential");
    fs::create_dir_all(&evidence).at("mkdir", evidence.display())?;
    let mut tasks = Vec::new();
    for (name, case) in &cases {
        for (label, runtime) in &options.runtimes {
            tasks.push(Task { name, case, runtime, evidence: evidence.join(format!("{name}.{label}")) });
        }
    }
    let driver = std::env::current_exe().at("resolve", "/proc/self/exe")?;
    let cgroup = if hierarchies.iter().all(|one| one.options.is_empty()) { 2 } else { 1 };
    let lane = Lane { config: default_config(&driver)?, driver, hierarchies, jobs: options.jobs };
    let mut outcomes = Outcomes::new();
    for (task, outcome) in tasks.iter().zip(lane.run(&tasks)?) {
        outcomes.entry(task.name).or_default().push(outcome);
    }
    let peers: Vec<String> = options.runtimes.iter().skip(1).map(|(name, _)| name.clone()).collect();
    let found = compare(&outcomes, &peers);
    write(&options.output, &outcomes, &found)?;
    let ran: Vec<String> = outcomes.keys().map(|name| (*name).to_owned()).collect();
    let (unlisted, gone) = Listed::load()?.check(&found, &ran, &peers, cgroup);
    let unlisted = unlisted.into_iter().map(|Difference { case, peer, at, ours, theirs }| {
        format!("not listed: {case} {at}: ours {ours:?}, {peer} {theirs:?}")
    });
    let mut complaints: Vec<String> = unlisted.collect();
    complaints.extend(gone.iter().map(|line| format!("listed, and not there any more: {line}")));
    complaints.extend(idle(&outcomes, &cases));
    let as_listed = complaints.is_empty();
    complaints.extend(skipped.iter().map(|line| format!("skipped: {line}")));
    complaints.push(format!(
        "{} cases, {} peers, {} differences, {} s: {}",
        ran.len(),
        peers.len(),
        found.len(),
        started.elapsed().as_secs(),
        if as_listed { "as listed" } else { "not as listed" }
    ));
    Ok((complaints.join("\n") + "\n", as_listed))
}

fn check(options: &Options) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new("needs root: the cases create containers of every kind"));
    }
    if options.runtimes.len() < 2 {
        return Err(Error::new("nothing to compare with: --peers, or --runtime NAME=PATH"));
    }
    // The container has no libraries for it.
    if fs::read_to_string("/proc/self/maps").at("read", "/proc/self/maps")?.contains(".so") {
        return Err(Error::new("this program must be static to report from a container: just dist"));
    }
    match options.runtimes.iter().find(|(_, path)| !path.is_file() || path.starts_with(cell::RUN)) {
        Some((name, path)) => {
            Err(Error::file(path, format!("the runtime {name} is not there, or under /run")))
        }
        None => Ok(()),
    }
}

/// The cases to run, and why others are not.
fn choose<'c>(
    all: &'c BTreeMap<String, Case>,
    only: &[String],
    facts: &Facts,
) -> Result<(BTreeMap<&'c str, &'c Case>, Vec<String>)> {
    if let Some(name) = only.iter().find(|name| !all.contains_key(*name)) {
        return Err(Error::new(format!("--only: there is no case {name:?}")));
    }
    let (mut cases, mut skipped) = (BTreeMap::new(), Vec::new());
    for (name, case) in all {
        if !only.is_empty() && !only.contains(name) && name != table::DEFAULT {
            continue;
        }
        match case.needs.iter().find_map(|fact| facts.lack(fact)) {
            Some(lack) => skipped.push(format!("{name}: {lack}")),
            None => {
                cases.insert(name.as_str(), case);
            }
        }
    }
    Ok((cases, skipped))
}

/// What `harness spec`, beside this program, writes.
fn default_config(driver: &Path) -> Result<Value> {
    let harness = driver.with_file_name("harness");
    let directory = std::env::temp_dir().join(format!("differential-{}", std::process::id()));
    fs::create_dir(&directory).at("mkdir", directory.display())?;
    let status = Command::new(&harness).args(["spec", "--bundle"]).arg(&directory).status();
    let text = fs::read(directory.join("config.json"));
    fs::remove_dir_all(&directory).at("remove", directory.display())?;
    status.at("execute", harness.display())?;
    serde_json::from_slice(&text.at("read", "config.json")?).at("read", "config.json")
}

/// Cases that prove nothing, as we see the same in the default, and cases said to be so that are not.
fn idle(outcomes: &Outcomes<'_>, cases: &BTreeMap<&str, &Case>) -> Vec<String> {
    let ours = |name: &str| outcomes.get(name).and_then(|outcomes| outcomes.first());
    let Some(default) = ours(table::DEFAULT) else { return Vec::new() };
    let mut lines = Vec::new();
    for (name, case) in cases.iter().filter(|(name, _)| **name != table::DEFAULT) {
        let asked = |at: &String| case.paths.iter().any(|path| at.starts_with(&format!("paths.{path}.")));
        let same = ours(name).is_some_and(|outcome| compare::differences(default, outcome).keys().all(asked));
        match (same, case.same) {
            (true, false) => lines.push(format!("{name} shows nothing: it is as the default is")),
            (false, true) => lines.push(format!("{name} is not as the default is")),
            _ => {}
        }
    }
    lines
}

/// All differences; those of the default are left out of the other cases.
fn compare(outcomes: &Outcomes<'_>, peers: &[String]) -> Vec<Difference> {
    let between = |case: &str, index: usize| match outcomes.get(case).map(Vec::as_slice) {
        Some([ours, theirs @ ..]) => theirs.get(index).map(|theirs| compare::differences(ours, theirs)),
        _ => None,
    };
    let mut found = Vec::new();
    for (index, peer) in peers.iter().enumerate() {
        let usual = between(table::DEFAULT, index).unwrap_or_default();
        for case in outcomes.keys() {
            for (at, (ours, theirs)) in between(case, index).unwrap_or_default() {
                let known = usual.get(&at).is_some_and(|usual| (&usual.0, &usual.1) == (&ours, &theirs));
                if *case == table::DEFAULT || !known {
                    let (case, peer) = ((*case).to_owned(), peer.clone());
                    found.push(Difference { case, peer, at, ours, theirs });
                }
            }
        }
    }
    found
}

fn write(output: &Path, outcomes: &Outcomes<'_>, found: &[Difference]) -> Result<()> {
    let refused =
        |outcomes: &Vec<Outcome>| outcomes.iter().map(|outcome| outcome.refused.clone()).collect::<Vec<_>>();
    let refused: BTreeMap<_, _> = outcomes.iter().map(|(name, all)| (name, refused(all))).collect();
    let path = output.join("differential.json");
    let text = json!({ "differences": found, "refused": refused });
    fs::write(&path, format!("{text:#}\n")).at("write", path.display())
}
