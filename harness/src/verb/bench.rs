//! `bench`.

use std::path::PathBuf;

use crate::bench::cycle;
use crate::cli::{Args, Global};
use crate::error::{Context, Error, Result};

/// Fewest rounds whose median means something.
const LEAST: usize = 10;

/// Measures; the first runtime is this one unless given otherwise.
pub fn run(_: &Global, args: &Args) -> Result<u8> {
    if args.text(0)? != Some("cycle") {
        return Err(Error::Usage("bench: only \"cycle\" can be measured".into()));
    }
    let rounds = match args.value("rounds") {
        None => 200,
        Some(rounds) => {
            let number =
                rounds.to_str().and_then(|rounds| rounds.parse().ok()).filter(|rounds| *rounds >= LEAST);
            number.ok_or_else(|| {
                Error::Usage(format!("bench: --rounds: a number of at least {LEAST} is needed"))
            })?
        }
    };
    let own = std::env::current_exe().host("resolve", "/proc/self/exe")?;
    let mut runtimes = vec![("harness".to_owned(), own)];
    for runtime in args.values("runtime") {
        let pair = runtime.to_str().and_then(|runtime| runtime.split_once('='));
        let (name, path) =
            pair.ok_or_else(|| Error::Usage("bench: --runtime: NAME=PATH is needed".into()))?;
        let path = std::path::absolute(PathBuf::from(path)).host("resolve", path)?;
        runtimes.push((name.to_owned(), path));
    }
    let (text, report) = cycle::run(&runtimes, rounds)?;
    super::print(&text)?;
    if let Some(file) = args.value("output") {
        std::fs::write(file, format!("{report:#}\n")).host("write", file.display())?;
    }
    Ok(0)
}
