//! `conformance`: reads the command line for the driver, and becomes it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::cli::{Args, Global};
use crate::error::{Context, Error, Result};

/// The driver, beside this program.
const DRIVER: &str = "harness-conformance";
/// Where suite and reports go, below the current directory.
const OUTPUT: &str = "target/conformance";
/// What `just peers` leaves.
const PEERS: [&str; 2] = ["crun", "runc"];
const PEERS_DIR: &str = "target/peers";

/// Becomes the driver, which exits with 1 when anything differs from a conforming runtime.
pub fn run(_: &Global, args: &Args) -> Result<u8> {
    let Some(role @ ("run" | "differential")) = args.text(0)? else {
        return Err(Error::Usage("conformance: \"run\" or \"differential\" can be done".into()));
    };
    let own = std::env::current_exe().host("resolve", "/proc/self/exe")?;
    let options = options(args, &own)?;
    let driver = own.with_file_name(DRIVER);
    if !driver.exists() {
        return Err(Error::file(&driver, "not there: cargo build -p harness-conformance"));
    }
    Err(Command::new(&driver).arg(role).arg(options.to_string()).exec()).host("execute", driver.display())
}

fn options(args: &Args, own: &Path) -> Result<Value> {
    let jobs = number(args, "jobs", 1, 64)?;
    let limit = number(args, "limit", 150, 3600)?;
    let runtimes = runtimes(args, own)?;
    let directory = |flag: &str, default: PathBuf| {
        let path = args.value(flag).map_or(default, PathBuf::from);
        std::fs::create_dir_all(&path).host("mkdir", path.display())?;
        std::fs::canonicalize(&path).host("resolve", path.display())
    };
    let output = directory("output", PathBuf::from(OUTPUT))?;
    let suite = directory("suite", Path::new(OUTPUT).join("suite"))?;
    let only: Vec<String> = args.values("only").map(|name| name.display().to_string()).collect();
    Ok(json!({
        "runtimes": runtimes, "only": only, "jobs": jobs, "limit": limit, "suite": suite, "output": output,
    }))
}

/// The number that an option gives, from 1 to `most`.
fn number(args: &Args, flag: &str, default: usize, most: usize) -> Result<usize> {
    let Some(value) = args.value(flag) else { return Ok(default) };
    let number =
        value.to_str().and_then(|text| text.parse().ok()).filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| Error::Usage(format!("conformance: --{flag}: a number from 1 to {most} is needed")))
}

/// The runtime under test and its peers, by name.
fn runtimes(args: &Args, own: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut tested = ("harness".to_owned(), own.to_path_buf());
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
