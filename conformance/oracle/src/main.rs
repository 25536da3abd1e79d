//! Tools for the seccomp compiler, as `just seccomp-oracle` and `just bench-seccomp` call them.

use std::process::ExitCode;

#[cfg(feature = "oracle")]
mod bench;
mod evaluate;
#[cfg(feature = "oracle")]
mod load;
#[cfg(feature = "oracle")]
mod stock;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match *arguments {
        ["evaluate", millions] => millions
            .parse()
            .map_err(|_| format!("{millions:?} is no number"))
            .and_then(|millions: u64| evaluate::run(millions * 1_000_000)),
        #[cfg(feature = "oracle")]
        ["compare"] => compare(),
        #[cfg(feature = "oracle")]
        ["bench", file] => bench::run(file.as_ref()),
        #[cfg(feature = "oracle")]
        ["load"] => load::serve(),
        #[cfg(feature = "oracle")]
        ["libseccomp"] => harness_oracle::peer::serve().map_err(|error| error.to_string()),
        _ => Err("evaluate MILLIONS; with the feature oracle also: compare, bench FILE".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "oracle")]
fn compare() -> Result<(), String> {
    use harness_oracle::compare::{self, Tally};
    use harness_oracle::random::Class;

    println!("libseccomp {}", harness_oracle::peer::version());
    println!("tables: {} numbers, no difference", harness_oracle::tables::compare()?);
    let mut worker = harness_oracle::peer::Worker::start().map_err(|error| error.to_string())?;
    let print = |what: &str, tally: &Tally| {
        println!(
            "{what}: {} filters, {} samples, no difference ({} refused by libseccomp, {} endless)",
            tally.filters, tally.samples, tally.refused, tally.endless
        );
    };
    print("profiles of engines", &compare::engines(&mut worker)?);
    print("random, plain", &compare::random(&mut worker, Class::Plain, 5000)?);
    print("random, unconditional", &compare::random(&mut worker, Class::Unconditional, 5000)?);
    print("random, one rule a call", &compare::random(&mut worker, Class::Single, 5000)?);
    Ok(())
}
