//! `bench`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bench::analysis::Analysis;
use crate::bench::compare::{self, Verdict};
use crate::bench::lab::{Lab, check_interrupt};
use crate::bench::{plot, report, scenario, table};
use crate::cli::{Args, Global};
use crate::error::{Context, Error, Result};

/// What this runtime is called in a report.
const OWN: &str = "harness";
/// Peers that are looked for.
const PEERS: [&str; 3] = ["crun", "runc", "youki"];
/// Where `just peers` puts them.
const PEERS_DIRECTORY: &str = "target/peers";
const OUTPUT: &str = "target/bench";
/// Docker's default profile.
const PROFILE: &str = "conformance/seccomp/docker.json";

const ROUNDS: usize = 100;
const ROUNDS_SHORT: usize = 20;
/// Fewest rounds whose median means something.
const LEAST: usize = 10;

/// Measures, prints, writes the report. Exits with 1 if `--compare` finds a regression.
pub fn run(_: &Global, args: &Args) -> Result<u8> {
    let short = args.has("short");
    let rounds = rounds(args, short)?;
    let scenarios = scenario::select(text(args, "scenario")?, short)?;
    let runtimes = runtimes(args)?;
    let seccomp = profile(args)?;
    let old = args.value("compare").map(|file| report::read(Path::new(file))).transpose()?;
    let output = std::path::absolute(args.value("output").map_or(Path::new(OUTPUT), Path::new));
    let output = output.host("resolve", "--output")?;
    std::fs::create_dir_all(&output).host("mkdir", output.display())?;
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Usage("bench: needs root: mounts, cgroups and the runtimes do".into()));
    }

    let mut lab = Lab::new(&runtimes, seccomp)?;
    for scenario in scenarios {
        lab.measure(scenario, rounds)?;
        check_interrupt()?;
    }
    let findings = std::mem::take(&mut lab.findings);
    let analysis = Analysis::new(&findings, OWN);
    let json = report::json(&findings, &analysis, &lab.runtimes, rounds)?;
    drop(lab);
    report::write(&output, "report.json", &format!("{json:#}\n"))?;
    for (name, picture) in plot::all(&findings, &analysis) {
        report::write(&output, &name, &picture)?;
    }
    super::print(&table::text(&findings, &analysis))?;
    let Some(old) = old else { return Ok(0) };
    let changes = compare::compare(&old.findings, &findings, &old.own, OWN);
    super::print(&compare::text(&changes))?;
    Ok(u8::from(changes.iter().any(|change| change.verdict == Verdict::Slower)))
}

fn text<'a>(args: &'a Args, name: &str) -> Result<Option<&'a str>> {
    let invalid = || Error::Usage(format!("bench: --{name}: not UTF-8"));
    args.value(name).map(|value| value.to_str().ok_or_else(invalid)).transpose()
}

fn rounds(args: &Args, short: bool) -> Result<usize> {
    let Some(text) = text(args, "rounds")? else { return Ok(if short { ROUNDS_SHORT } else { ROUNDS }) };
    let number = text.parse().ok().filter(|rounds| *rounds >= LEAST);
    number.ok_or_else(|| Error::Usage(format!("bench: --rounds: a number of at least {LEAST} is needed")))
}

/// This one, those that are given, then peers that are found.
fn runtimes(args: &Args) -> Result<Vec<(String, PathBuf)>> {
    let own = std::env::current_exe().host("resolve", "/proc/self/exe")?;
    let mut runtimes = vec![(OWN.to_owned(), own)];
    for runtime in args.values("runtime") {
        let pair = runtime.to_str().and_then(|runtime| runtime.split_once('='));
        let named = pair.filter(|(name, _)| is_name(name));
        let (name, path) = named.ok_or_else(|| {
            Error::Usage(
                "bench: --runtime: NAME=PATH is needed, with a name of letters, digits, - and .".into(),
            )
        })?;
        let path = std::path::absolute(path).host("resolve", path)?;
        match runtimes.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = path,
            None => runtimes.push((name.to_owned(), path)),
        }
    }
    for name in PEERS {
        let path = std::path::absolute(Path::new(PEERS_DIRECTORY).join(name)).host("resolve", name)?;
        if path.is_file() && runtimes.iter().all(|(known, _)| known != name) {
            runtimes.push((name.to_owned(), path));
        }
    }
    Ok(runtimes)
}

/// It becomes the name of files, and must not be taken for the floor or the no-op.
fn is_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
    name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && name.chars().all(plain)
        && !["n0", "floor"].contains(&name)
}

/// A seccomp profile from a file, an engine's or `linux.seccomp`. Only the default one may be missing.
fn profile(args: &Args) -> Result<Option<Value>> {
    let given = args.value("seccomp").map(Path::new);
    let path = given.unwrap_or(Path::new(PROFILE));
    if given.is_none() && !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).host("read", path.display())?;
    serde_json::from_str(&text).map(Some).map_err(|error| Error::file(path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert!(["crun", "runc-1.3", "a"].into_iter().all(is_name));
        assert!(!["", "../x", "n0", "floor", "-x", "a b"].into_iter().any(is_name));
    }
}
