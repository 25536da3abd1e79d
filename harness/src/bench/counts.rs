//! What does not depend on the clock: system calls of each command and of init (strace), and what
//! init has cost in faults and context switches until it waits.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::bundle::Variant;
use super::lab::{Lab, check_interrupt};
use super::memory::{field, read, settle};
use super::scenario::Scenario;
use super::subject::Runtime;
use crate::error::{Context, Error, Result};

/// The counts of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Runtime.
    pub subject: String,
    /// `create`, `start`, `delete`; `init` is the container's process, clone to exec.
    pub process: String,
    /// System calls; absent without strace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syscalls: Option<u64>,
    /// Page faults; of init, from its execve until it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<u64>,
    /// Context switches; of init, from its clone until it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switches: Option<u64>,
}

const ID: &str = "counts";
/// Longest time for a traced create.
const PATIENCE: Duration = Duration::from_secs(30);

/// Once for each runtime.
pub fn run(lab: &mut Lab, scenario: &Scenario) -> Result<()> {
    let strace =
        Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !strace {
        lab.skip(scenario, "all", "system calls: no strace");
    }
    for index in 0..lab.runtimes.len() {
        check_interrupt()?;
        let name = lab.runtimes[index].name.clone();
        match count(lab, index, strace) {
            Ok(mut counts) => lab.findings.counts.append(&mut counts),
            Err(reason) => lab.skip(scenario, &name, reason),
        }
        lab.runtimes[index].clear();
    }
    Ok(())
}

fn count(lab: &Lab, index: usize, strace: bool) -> Result<Vec<Counts>> {
    let runtime = &lab.runtimes[index];
    let bundle = lab.bundles.bundle(&runtime.name, "true", Variant::Default)?;
    // Twice: the first time makes what is made once.
    runtime.run(&bundle, ID)?;
    let (create, pid) = runtime.create(&bundle, ID)?;
    settle();
    let init = waiting(pid)?;
    let start = runtime.call(&["start", ID])?;
    super::subject::wait_for(pid)?;
    let delete = runtime.call(&["delete", ID])?;
    let mut counts = vec![Counts { subject: runtime.name.clone(), process: "init".into(), ..init }];
    for (process, call) in [("create", create), ("start", start), ("delete", delete)] {
        counts.push(Counts {
            subject: runtime.name.clone(),
            process: process.into(),
            syscalls: None,
            faults: Some(call.usage.faults),
            switches: Some(call.usage.switches),
        });
    }
    if strace {
        let trace = lab.arena.path.join("trace");
        let traced = traced(runtime, &bundle, &trace)?;
        for (counts, calls) in counts.iter_mut().zip(traced) {
            counts.syscalls = Some(calls);
        }
    }
    Ok(counts)
}

/// Faults and switches of a waiting process.
fn waiting(pid: i32) -> Result<Counts> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    let status = read(&format!("/proc/{pid}/status"))?;
    // After the name, which may hold anything: state is field 3, minflt 10, majflt 12 (proc(5)).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let number = |index: usize| fields.get(index - 3).and_then(|field| field.parse::<u64>().ok());
    let switches = field(&status, "voluntary_ctxt_switches") + field(&status, "nonvoluntary_ctxt_switches");
    Ok(Counts {
        faults: number(10).zip(number(12)).map(|(minor, major)| minor + major),
        switches: Some(switches as u64),
        ..Counts::default()
    })
}

/// System calls of init, create, start and delete.
fn traced(runtime: &Runtime, bundle: &Path, trace: &Path) -> Result<[u64; 4]> {
    let pid_file = trace.with_extension("pid");
    let [bundle, pid_path] = [bundle, &pid_file].map(|path| path.display().to_string());
    let mut tracer = strace(runtime, trace, &["create", "--bundle", &bundle, "--pid-file", &pid_path, ID])?;
    let created = until_main_ends(trace);
    let started = created.and_then(|()| runtime.call(&["start", ID]));
    if started.is_err() {
        runtime.clear();
    }
    tracer.wait().host("wait", "for strace")?;
    started?;
    let pid = std::fs::read_to_string(&pid_file).host("read", pid_file.display())?;
    let (create, init) = calls(&contents(trace)?, pid.trim());
    runtime.call(&["delete", ID])?;

    let (_, pid) = runtime.create(Path::new(&bundle), ID)?;
    let other = |verb: &str| -> Result<u64> {
        strace(runtime, trace, &[verb, ID])?.wait().host("wait", "for strace")?;
        Ok(calls(&contents(trace)?, "").0)
    };
    let start = other("start")?;
    super::subject::wait_for(pid)?;
    Ok([init, create, start, other("delete")?])
}

fn strace(runtime: &Runtime, trace: &Path, arguments: &[&str]) -> Result<Child> {
    let mut command = Command::new("strace");
    command
        .arg("-f")
        .arg("-o")
        .arg(trace)
        .arg(&runtime.path)
        .arg("--root")
        .arg(&runtime.root)
        .args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().host("spawn", "strace")
}

/// The tracer goes on as long as the container lives; the create it began with is done earlier.
fn until_main_ends(trace: &Path) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
        let text = std::fs::read_to_string(trace).unwrap_or_default();
        let main = text.split_whitespace().next().unwrap_or_default();
        if text.lines().any(|line| line.starts_with(main) && line.contains("+++ exited")) {
            return Ok(());
        }
    }
    Err(Error::State("the traced create does not end".into()))
}

fn contents(trace: &Path) -> Result<String> {
    std::fs::read_to_string(trace).host("read", trace.display())
}

/// System calls in the output of `strace -f -o`: those of process `pid` apart.
fn calls(trace: &str, pid: &str) -> (u64, u64) {
    let mut counts = (0, 0);
    for line in trace.lines() {
        let (process, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_start();
        if rest.starts_with("<...") || rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        *(if process == pid { &mut counts.1 } else { &mut counts.0 }) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_once_and_by_process() {
        let trace = "7 execve(\"x\") = 0\n7 clone3( <unfinished ...>\n8   getpid() = 1\n\
                     7 <... clone3 resumed>) = 8\n8 --- SIGCONT ---\n8 exit(0) = ?\n7 +++ exited with 0 +++\n";
        assert_eq!(calls(trace, "8"), (2, 2));
        assert_eq!(calls(trace, ""), (4, 0));
    }
}
