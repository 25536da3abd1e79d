//! What a filter costs: ours, libseccomp's and seccompiler's own, for the profiles of engines.

use std::path::Path;

use harness_oracle::clock;
use harness_oracle::engines::{self, PROFILES};
use harness_oracle::peer::{Request, Worker};
use harness_oracle::seccomp::machine::{self, Call};
use harness_oracle::seccomp::{Arch, Instruction, action};
use serde::Serialize;

use crate::load;
use crate::stock;

/// Rounds of what takes microseconds; libseccomp has a tenth of them.
const ROUNDS: usize = 500;

#[derive(Serialize)]
struct Report {
    libseccomp: String,
    kernel: String,
    load_average: String,
    profiles: Vec<Profile>,
}

#[derive(Serialize)]
struct Profile {
    name: &'static str,
    rows: Vec<Row>,
    targets: Vec<Target>,
}

/// Medians of processor time, in nanoseconds.
#[derive(Serialize)]
struct Row {
    compiler: &'static str,
    instructions: usize,
    compile: f64,
    load: f64,
    /// Instructions that an allowed call of x86-64 takes, all arguments 0.
    mean_path: f64,
}

#[derive(Serialize)]
struct Target {
    what: &'static str,
    limit: f64,
    measured: f64,
    met: bool,
}

/// Measures, prints a table and writes the report.
pub fn run(file: &Path) -> Result<(), String> {
    let mut worker = Worker::start().map_err(|error| error.to_string())?;
    let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let mut report = Report {
        libseccomp: harness_oracle::peer::version(),
        kernel: read("/proc/sys/kernel/osrelease"),
        load_average: read("/proc/loadavg"),
        profiles: Vec::new(),
    };
    println!(
        "libseccomp {}, Linux {}, load average {}",
        report.libseccomp, report.kernel, report.load_average
    );
    println!("medians of processor time");
    for (name, text) in PROFILES {
        let rows = vec![
            ours(text)?,
            theirs(&mut worker, text, "libseccomp, list", 1)?,
            theirs(&mut worker, text, "libseccomp, tree", 2)?,
            seccompiler(text)?,
        ];
        let targets = targets(name, &rows);
        let profile = Profile { name, rows, targets };
        print(&profile);
        report.profiles.push(profile);
    }
    let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
    let directory = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(file, text))
        .map_err(|error| format!("{}: {error}", file.display()))
}

fn ours(text: &str) -> Result<Row, String> {
    let target = engines::target(Arch::X86_64, &[]);
    let compile = || engines::compile(text, &target).map_err(|error| error.to_string());
    let times = timed(|| compile().map(|filter| filter.section().len()))?;
    row("ours", &compile()?.program, times)
}

fn seccompiler(text: &str) -> Result<Row, String> {
    let times = timed(|| stock::compile(text).map(|program| program.len()))?;
    row("seccompiler, x86-64 only", &stock::compile(text)?, times)
}

fn theirs(worker: &mut Worker, text: &str, compiler: &'static str, optimize: u32) -> Result<Row, String> {
    let request = Request {
        profile: text.to_owned(),
        arch: Arch::X86_64.name().to_owned(),
        capabilities: Vec::new(),
        optimize,
        rounds: ROUNDS / 10,
    };
    let answer = worker.ask(&request).map_err(|error| error.to_string())?;
    let answer = answer.ok_or_else(|| format!("{compiler}: no answer"))?;
    match answer.refused {
        Some(refused) => Err(format!("{compiler}: {refused}")),
        None => row(compiler, &answer.instructions(), answer.nanoseconds),
    }
}

fn timed<T>(mut work: impl FnMut() -> Result<T, String>) -> Result<Vec<u64>, String> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = clock::now();
        std::hint::black_box(work()?);
        times.push(clock::now() - start);
    }
    Ok(times)
}

fn row(compiler: &'static str, program: &[Instruction], times: Vec<u64>) -> Result<Row, String> {
    let path = |number| {
        let call = Call { audit: Arch::X86_64.audit(), number, args: [0; 6] };
        machine::run(program, &call).filter(|(verdict, _)| *verdict == action::ALLOW).map(|(_, steps)| steps)
    };
    let paths: Vec<u32> = (0..600).filter_map(path).collect();
    Ok(Row {
        compiler,
        instructions: program.len(),
        compile: median(times),
        load: median(load::measure(program, ROUNDS)?),
        mean_path: f64::from(paths.iter().sum::<u32>()) / paths.len() as f64,
    })
}

fn median(mut times: Vec<u64>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default() as f64
}

fn targets(name: &str, rows: &[Row]) -> Vec<Target> {
    let [ours, list, tree, ..] = rows else { return Vec::new() };
    let target = |what, measured, limit| Target { what, limit, measured, met: measured <= limit };
    vec![
        target("instructions", ours.instructions as f64, if name == "docker" { 450.0 } else { 370.0 }),
        target("compile, ms", ours.compile / 1e6, 0.2),
        target(
            "compile, of the faster of libseccomp's",
            ours.compile / list.compile.min(tree.compile),
            1.0 / 40.0,
        ),
        target("load, of libseccomp's list", ours.load / list.load, 1.0 / 5.0),
        target("mean path", ours.mean_path, 12.0),
    ]
}

fn print(profile: &Profile) {
    println!(
        "\n{:<26}{:>13}{:>13}{:>10}{:>11}",
        profile.name, "instructions", "compile, us", "load, us", "mean path"
    );
    for row in &profile.rows {
        println!(
            "{:<26}{:>13}{:>13.1}{:>10.1}{:>11.1}",
            row.compiler,
            row.instructions,
            row.compile / 1e3,
            row.load / 1e3,
            row.mean_path
        );
    }
    for target in &profile.targets {
        let met = if target.met { "met" } else { "NOT MET" };
        println!("  {:<40}{:>9.4} <= {:>8.4}  {met}", target.what, target.measured, target.limit);
    }
}
