//! One cycle: create, start and delete of a program that does nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::arena::{Arena, quantile, summary, wait_for};
use crate::error::{Context, Error, Result};

/// The verbs that are timed.
const VERBS: [&str; 3] = ["create", "start", "delete"];

/// A runtime under test.
struct Runtime {
    name: String,
    path: PathBuf,
    /// Milliseconds, one list a verb and one for the cycle.
    samples: [Vec<f64>; 4],
}

/// Runs `rounds` interleaved rounds and returns the text and the report.
pub fn run(runtimes: &[(String, PathBuf)], rounds: usize) -> Result<(String, Value)> {
    let arena = Arena::enter()?;
    let bundle = arena.bundle("true")?;
    let mut runtimes: Vec<Runtime> = runtimes
        .iter()
        .map(|(name, path)| Runtime { name: name.clone(), path: path.clone(), samples: Default::default() })
        .collect();
    let mut nothing = Vec::new();
    // The first rounds warm caches, and make this runtime's template namespace.
    const WARM_UP: usize = 3;
    for round in 0..rounds + WARM_UP {
        let counted = round >= WARM_UP;
        let started = Instant::now();
        call(Command::new(bundle.join("rootfs/witness")).arg("true"))?;
        if counted {
            nothing.push(started.elapsed().as_secs_f64() * 1e3);
        }
        for runtime in &mut runtimes {
            let times = cycle(runtime, &arena.path, &bundle, round)?;
            if counted {
                for (list, time) in runtime.samples.iter_mut().zip(times) {
                    list.push(time);
                }
            }
        }
    }
    Ok(report(&mut runtimes, &mut nothing))
}

/// One cycle; the times of the three verbs and their sum. The wait for the program's end between
/// start and delete is nobody's time.
fn cycle(runtime: &Runtime, arena: &Path, bundle: &Path, round: usize) -> Result<[f64; 4]> {
    let root = arena.join(&runtime.name);
    let pid_file = arena.join("pid");
    let id = format!("bench-{round}");
    let mut times = [0.0; 4];
    for (verb, time) in VERBS.iter().zip(&mut times) {
        let mut command = Command::new(&runtime.path);
        command.arg("--root").arg(&root).arg(verb);
        if *verb == "create" {
            command.arg("--bundle").arg(bundle).arg("--pid-file").arg(&pid_file);
        }
        command.arg(&id).stdin(Stdio::null()).stdout(Stdio::null());
        let started = Instant::now();
        call(&mut command)?;
        *time = started.elapsed().as_secs_f64() * 1e3;
        if *verb == "start" {
            let pid = std::fs::read_to_string(&pid_file).host("read", pid_file.display())?;
            wait_for(pid.trim().parse().unwrap_or(0))?;
        }
    }
    times[3] = times.iter().sum();
    Ok(times)
}

/// Spawns (`posix_spawn`) and waits (a blocking wait4).
fn call(command: &mut Command) -> Result<()> {
    let status = command.status().host("spawn", command.get_program().display())?;
    if status.success() { Ok(()) } else { Err(Error::State(format!("{command:?}: {status}"))) }
}

fn report(runtimes: &mut [Runtime], nothing: &mut [f64]) -> (String, Value) {
    let mut text = format!(
        "{:<12}{:>9}{:>9}{:>9}{:>9}{:>10}\n",
        "median, ms", "create", "start", "delete", "cycle", "cycle p99"
    );
    let mut medians = Map::new();
    let mut ratios = Map::new();
    let mut ours: Option<(f64, f64)> = None;
    for runtime in runtimes {
        let mut row = format!("{:<12}", runtime.name);
        for list in &mut runtime.samples {
            row += &format!("{:>9.3}", quantile(list, 0.5));
        }
        let [create, start, delete, cycle] = &mut runtime.samples;
        let (p50, p99) = (quantile(cycle, 0.5), quantile(cycle, 0.99));
        text += &format!("{row}{p99:>10.3}\n");
        match ours {
            None => ours = Some((p50, p99)),
            Some((our_p50, our_p99)) => {
                ratios.insert(runtime.name.clone(), json!({ "p50": our_p50 / p50, "p99": our_p99 / p99 }));
            }
        }
        let verbs = json!({
            "create": summary(create), "start": summary(start), "delete": summary(delete), "cycle": summary(cycle),
        });
        medians.insert(runtime.name.clone(), verbs);
    }
    let floor = quantile(nothing, 0.5);
    text += &format!(
        "{:<12}{floor:>9.3}  (spawn, exec, exit and wait of a program that does nothing)\n",
        "no-op"
    );
    for (name, ratio) in &ratios {
        text += &format!(
            "cycle against {name}: {:.3} (p99 {:.3})\n",
            ratio["p50"].as_f64().unwrap_or(f64::NAN),
            ratio["p99"].as_f64().unwrap_or(f64::NAN)
        );
    }
    let report = json!({ "runtimes": medians, "noop": summary(nothing), "ratios": { "cycle": ratios } });
    (text, report)
}
