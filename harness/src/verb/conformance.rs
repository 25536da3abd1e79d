//! `conformance`.

use std::path::{Path, PathBuf};

use crate::cli::{Args, Global};
use crate::conformance::{self, Options};
use crate::error::{Context, Error, Result};

/// Where suite and reports go, below the current directory.
const OUTPUT: &str = "target/conformance";
/// What `just peers` leaves.
const PEERS: [&str; 2] = ["crun", "runc"];
const PEERS_DIR: &str = "target/peers";

/// Runs the suite; 1 when anything differs from what a conforming runtime gets.
pub fn run(_: &Global, args: &Args) -> Result<u8> {
    match (args.text(0)?, args.text(1)?) {
        (Some("run"), None) => {}
        // How the driver starts itself in a program's isolation.
        (Some(role @ ("cell" | "inside")), Some(order)) => return conformance::play(role, order),
        _ => return Err(Error::Usage("conformance: only \"run\" can be done".into())),
    }
    let options = options(args)?;
    let (table, as_expected) = conformance::run(&options)?;
    super::print(&table)?;
    Ok(u8::from(!as_expected))
}

fn options(args: &Args) -> Result<Options> {
    let jobs = match args.value("jobs") {
        None => 1,
        Some(jobs) => {
            let number =
                jobs.to_str().and_then(|jobs| jobs.parse().ok()).filter(|jobs| (1..=64).contains(jobs));
            number
                .ok_or_else(|| Error::Usage("conformance: --jobs: a number from 1 to 64 is needed".into()))?
        }
    };
    let directory = |flag: &str, default: PathBuf| {
        let path = args.value(flag).map_or(default, PathBuf::from);
        std::fs::create_dir_all(&path).host("mkdir", path.display())?;
        std::fs::canonicalize(&path).host("resolve", path.display())
    };
    let output = directory("output", PathBuf::from(OUTPUT))?;
    let suite = directory("suite", Path::new(OUTPUT).join("suite"))?;
    let only = args.values("only").map(|name| name.display().to_string()).collect();
    Ok(Options { runtimes: runtimes(args)?, only, jobs, suite, output })
}

/// The runtime under test and its peers, by name.
fn runtimes(args: &Args) -> Result<Vec<(String, PathBuf)>> {
    let own = std::env::current_exe().host("resolve", "/proc/self/exe")?;
    let mut tested = ("harness".to_owned(), own);
    let mut peers = Vec::new();
    for runtime in args.values("runtime") {
        let resolve = |path: &Path| std::fs::canonicalize(path).host("resolve", path.display());
        match runtime.to_str().and_then(|text| text.split_once('=')) {
            Some((name, path)) => peers.push((name.to_owned(), resolve(Path::new(path))?)),
            None => {
                let path = resolve(Path::new(runtime))?;
                tested = (path.file_name().unwrap_or_default().display().to_string(), path);
            }
        }
    }
    if args.has("peers") {
        for name in PEERS {
            let path = Path::new(PEERS_DIR).join(name);
            let path = std::fs::canonicalize(&path)
                .map_err(|_| Error::file(&path, "not there; `just peers` puts it there"))?;
            peers.push((name.to_owned(), path));
        }
    }
    let mut all = vec![tested];
    for (name, path) in peers {
        if name.is_empty() || name.contains('/') || all.iter().any(|(other, _)| *other == name) {
            return Err(Error::Usage(format!(
                "conformance: --runtime: the name {name:?} is taken or unusable"
            )));
        }
        all.push((name, path));
    }
    Ok(all)
}
