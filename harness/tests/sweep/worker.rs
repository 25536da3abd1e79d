//! The trials: each in a process of its own, which is the reaper of all that its containers leave.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use libtest_mimic::{Failed, Trial};
use nix::errno::Errno;

use crate::judge::{self, LIMIT, Reference, Verdict, clear, name};
use crate::scenario::{NAMES, Scenario};
use crate::support::{Needs, missing};
use crate::tracer::{Site, Strike};
use crate::{controls, deaths, hooked};

const ERRNOS: [Errno; 9] = [
    Errno::EPERM,
    Errno::EINVAL,
    Errno::ENOSYS,
    Errno::ENOMEM,
    Errno::EINTR,
    Errno::EAGAIN,
    Errno::ENOSPC,
    Errno::EMFILE,
    Errno::EIO,
];

/// Shell words that make cgroup v2 all that there is, in a mount namespace of their own.
const UNIFIED: &str = "mount --make-rprivate / && umount -R /sys/fs/cgroup &&
    mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"";

/// Calls of init that one trial of the sample strikes, and deaths of the harness at each kind of call.
const SAMPLE: usize = 27;
const DEATHS: usize = 9;

/// Findings that one trial tells.
const TOLD: usize = 40;

/// Two more, for the harness's own deaths.
const HARNESS: [&str; 2] = ["run", "cold"];

pub fn trials() -> Vec<Trial> {
    let errors = NAMES.iter().map(|scenario| format!("errors::{scenario}"));
    let init = NAMES.iter().map(|scenario| format!("killed_init::{scenario}"));
    let harness = NAMES.iter().chain(&HARNESS).map(|scenario| format!("killed_harness::{scenario}"));
    let hooks = hooked::WORLDS.iter().map(|scenario| format!("killed_in_hook::{scenario}"));
    let all = std::iter::once("controls::found".to_owned()).chain(errors).chain(init);
    all.chain(harness).chain(hooks).map(|name| trial(&name)).collect()
}

fn trial(name: &str) -> Trial {
    let worker = name.to_owned();
    let trial = Trial::test(name, move || {
        let mut command = if worker.ends_with("unified") {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", UNIFIED, "sh"]).arg(std::env::current_exe()?);
            command
        } else {
            Command::new(std::env::current_exe()?)
        };
        let child = command.args(["--worker", &worker]).stdin(Stdio::null()).stdout(Stdio::piped());
        let output = child.stderr(Stdio::piped()).spawn()?.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        eprint!("{worker}: {text}");
        if output.status.success() {
            return Ok(());
        }
        Err(Failed::from(text + &String::from_utf8_lossy(&output.stderr)))
    });
    // Both by unshare(1).
    let apart = name.ends_with("joined") || name.ends_with("unified");
    let needs = if apart { Needs::Cgroup2 } else { Needs::Root };
    let lists = std::path::Path::new("/proc/thread-self/children").exists();
    match missing(needs).or((!lists).then_some("needs CONFIG_PROC_CHILDREN")) {
        None => trial,
        Some(reason) => trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
    }
}

/// The body of a trial; its findings go to stdout, below a line of numbers.
pub fn run(name: &str) -> ! {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let (kind, scenario) = name.split_once("::").unwrap();
    let start = std::time::Instant::now();
    let findings = match kind {
        "controls" => {
            controls::run();
            println!("all of them");
            Vec::new()
        }
        "killed_harness" => killed_harness(scenario),
        "killed_in_hook" => killed_in_hook(scenario),
        _ => struck_init(kind, scenario),
    };
    println!("    in {} s", start.elapsed().as_secs());
    std::process::exit(i32::from(!findings.is_empty()));
}

/// Whether everything is asked for.
fn is_whole() -> bool {
    std::env::var_os("SWEEP").is_some_and(|value| value == "all")
}

/// All of a list, or `most` of it, spread over it.
fn chosen<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    if is_whole() || all.len() <= most {
        return all.to_vec();
    }
    (0..most).map(|index| all[index * all.len() / most]).collect()
}

fn strikes(kind: &str, reference: &Reference) -> Vec<((Site, i64), Strike, String)> {
    // What becomes a hook enters the container as init does.
    let struck: Vec<(Site, i64)> = reference.init.iter().chain(&reference.children).copied().collect();
    let what = |(index, strike): (usize, Strike)| {
        let (site, number) = struck[index];
        let how = match strike {
            Strike::Fail(errno) => format!("{:?}", Errno::from_raw(errno)),
            _ => "SIGKILL".into(),
        };
        let Site { command, process, ordinal } = site;
        let text = format!("{how} at {} ({command}.{process}.{ordinal})", name(number));
        ((site, number), strike, text)
    };
    let calls: Vec<usize> = (0..struck.len()).collect();
    let fail = |index: usize, errno: Errno| (index, Strike::Fail(errno as i32));
    let all: Vec<(usize, Strike)> = match kind {
        "errors" if is_whole() => {
            calls.iter().flat_map(|index| ERRNOS.map(|errno| fail(*index, errno))).collect()
        }
        // The sample meets all of the errnos in turn.
        "errors" => {
            let errnos = ERRNOS.iter().cycle();
            chosen(&calls, SAMPLE).into_iter().zip(errnos).map(|(index, errno)| fail(index, *errno)).collect()
        }
        _ => chosen(&calls, SAMPLE).into_iter().map(|index| (index, Strike::Kill)).collect(),
    };
    all.into_iter().map(what).collect()
}

fn struck_init(kind: &str, scenario: &str) -> Vec<String> {
    let scenario = Scenario::new(scenario);
    let reference = judge::reference(&scenario);
    let strikes = strikes(kind, &reference);
    let (mut failed, mut inexact, mut findings) = (0, 0, Vec::new());
    let mut tolerated = BTreeMap::<String, usize>::new();
    for (site, strike, text) in &strikes {
        match judge::strike(&scenario, &reference, *site, *strike, LIMIT) {
            Ok(Verdict::Failed { exact }) => {
                failed += 1;
                inexact += usize::from(!exact);
            }
            Ok(Verdict::Same) => *tolerated.entry(name(site.1)).or_default() += 1,
            Err(finding) => {
                clear(&scenario);
                findings.push(format!("{text}: {finding}"));
            }
        }
    }
    println!(
        "{} calls of init, {} of other children, {} runs: {failed} failed cleanly ({inexact} in a later phase), {} made the same container, {} findings",
        reference.init.len(),
        reference.children.len(),
        strikes.len(),
        tolerated.values().sum::<usize>(),
        findings.len()
    );
    println!("    without effect: {tolerated:?}");
    println!("    phases: {}", reference.phases.iter().copied().collect::<Vec<_>>().join(" "));
    tell(&findings);
    findings
}

fn killed_harness(scenario: &str) -> Vec<String> {
    let mut scenario = Scenario::new(scenario);
    deaths::with_delete(&mut scenario);
    let reference = judge::reference(&scenario);
    let own = chosen(&reference.harness, DEATHS).into_iter().map(|call| (call, Strike::Kill, "the harness"));
    let others = chosen(&reference.init, DEATHS).into_iter().map(|call| (call, Strike::Orphan, "init"));
    let all: Vec<_> = own.chain(others).collect();
    let mut findings = Vec::new();
    let mut deaths = 0;
    for ((site, number), strike, whose) in &all {
        match deaths::strike(&scenario, &reference, *site, *strike) {
            Ok(died) => deaths += usize::from(died),
            Err(finding) => {
                clear(&scenario);
                let Site { command, process, ordinal } = site;
                let place = format!("{} of {whose} ({command}.{process}.{ordinal})", name(*number));
                let verb = &scenario.commands[*command][0];
                findings.push(format!("`{verb}` killed at {place}: {finding}"));
            }
        }
    }
    println!(
        "{} calls of the harness, {} of init, {} runs, {deaths} deaths of the harness that leave nothing, {} findings",
        reference.harness.len(),
        reference.init.len(),
        all.len(),
        findings.len()
    );
    tell(&findings);
    findings
}

fn killed_in_hook(scenario: &str) -> Vec<String> {
    let mut scenario = Scenario::new(scenario);
    deaths::with_delete(&mut scenario);
    let reference = judge::reference(&scenario);
    let (deaths, findings) = hooked::sweep(&scenario, &reference);
    println!("{deaths} deaths while a hook runs, {} findings", findings.len());
    tell(&findings);
    findings
}

fn tell(findings: &[String]) {
    for finding in findings.iter().take(TOLD) {
        println!("    {finding}");
    }
}
