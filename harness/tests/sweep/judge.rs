//! One run with one strike, and whether its end is one of the two that are allowed: a failure that
//! names its step, or the same container.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use init_core::failure::Phase;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use syscalls::Sysno;

use crate::report::difference;
use crate::scenario::{Scenario, children, reap};
use crate::tracer::{Ended, Role, Site, Strike, Tracer};

/// Longest that a run may take.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Calls that the kernel never refuses, so that nobody looks at their result.
const CANNOT_FAIL: [&str; 1] = ["umask"];

/// Calls of what is to become a hook that decide what it will be; the others tidy up.
const HOOK: [&str; 7] = ["dup2", "chdir", "setsid", "setns", "prctl", "poll", "execve"];

/// Whether a hook must not run whose process has met this; std repeats a dup2(2) on EINTR.
fn decides(call: &str, strike: Strike) -> bool {
    HOOK.contains(&call) && (call, strike) != ("dup2", Strike::Fail(libc::EINTR))
}

/// How a run may end.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// With a failure; whether it names the phase that was struck.
    Failed { exact: bool },
    /// As if nothing had happened.
    Same,
}

/// What a scenario does when nothing is in its way.
pub struct Reference {
    pub report: BTreeSet<String>,
    /// Calls of init, with its final execve, those of the harness, and those of what it has forked
    /// up to their execve.
    pub init: Vec<(Site, i64)>,
    pub harness: Vec<(Site, i64)>,
    pub children: Vec<(Site, i64)>,
    /// Phases of init in which it made a call.
    pub phases: BTreeSet<&'static str>,
}

/// The page in which a new container's init notes its phase.
fn tracer(scenario: &Scenario, target: Option<(Site, Strike)>, limit: Duration) -> Tracer {
    let page = scenario.fixture.root().join(&scenario.fixture.id).join("page");
    let none = std::path::Path::new("/nonexistent");
    Tracer::new(target, if scenario.is_begun() { none } else { &page }, limit)
}

/// Runs the scenario with all that it does recorded.
pub fn reference(scenario: &Scenario) -> Reference {
    scenario.reset();
    let mut tracer = tracer(scenario, None, LIMIT);
    for index in 0..scenario.commands.len() {
        if scenario.commands[index][0] == "delete" {
            assert!(tracer.rest() && settled(scenario, LIMIT));
        }
        let ended = tracer.run(&scenario.command(index));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{:?}", scenario.commands[index]);
    }
    assert!(tracer.rest() && settled(scenario, LIMIT), "the reference does not end");
    let report = scenario.report().unwrap_or_else(|text| panic!("an incomplete report: {text}"));
    let _removed = (!scenario.is_begun()).then(|| scenario.fixture.verb("delete"));
    let calls = |role: Role| {
        let of_role = tracer.recorded.iter().filter(move |one| one.role == role);
        let site = |command, process, ordinal| Site { command, process, ordinal };
        of_role
            .flat_map(|one| {
                let calls = one.calls.iter().enumerate();
                calls.map(move |(ordinal, number)| (site(one.command, one.process, ordinal), *number))
            })
            .collect::<Vec<_>>()
    };
    let (init, harness, children) = (calls(Role::Init), calls(Role::Harness), calls(Role::Child));
    assert_eq!(left(scenario), Vec::<String>::new());
    let phases = tracer.phases.iter().filter_map(|code| Phase::from_code(*code)).map(Phase::name);
    Reference { report, init, harness, children, phases: phases.collect() }
}

/// Name of a system call.
pub fn name(number: i64) -> String {
    Sysno::new(number as usize).map_or_else(|| number.to_string(), |call| call.name().to_owned())
}

/// Waits until no process of a run is left; zombies that fell to this process are reaped.
pub fn settled(scenario: &Scenario, limit: Duration) -> bool {
    let start = Instant::now();
    loop {
        reap();
        if children().is_subset(&scenario.spared) {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Strikes init once and judges the end.
pub fn strike(
    scenario: &Scenario,
    reference: &Reference,
    (site, number): (Site, i64),
    strike: Strike,
    limit: Duration,
) -> Result<Verdict, String> {
    scenario.reset();
    let mut tracer = tracer(scenario, Some((site, strike)), limit);
    let mut failed = None;
    for index in 0..scenario.commands.len() {
        let ended = tracer.run(&scenario.command(index));
        if ended.hung {
            return Err(format!("`{}` hangs", scenario.commands[index][0]));
        }
        if ended.code != Some(0) {
            failed = Some((index, ended));
            break;
        }
    }
    if !tracer.rest() || !settled(scenario, limit) {
        return Err(format!("processes are left: {}", survivors(scenario)));
    }
    let struck = tracer.struck.ok_or("the call was not made")?;
    if struck.number != number {
        return Err(format!("{} was struck instead", name(struck.number)));
    }
    let at_execve = strike == Strike::Kill && struck.phase == Some(Phase::Exec.code());
    let verdict = match &failed {
        // Its last word is said: a process that is killed at its execve is one that was killed, for
        // `state` and the exit status of `exec` to say.
        Some((_, Ended { code: Some(137), stderr, .. })) if at_execve && stderr.is_empty() => {
            Verdict::Failed { exact: true }
        }
        None if at_execve => Verdict::Failed { exact: true },
        Some((_, ended)) => failure(ended, struck.phase)?,
        None if CANNOT_FAIL.contains(&name(number).as_str()) => Verdict::Same,
        // Which keyring it is in a container cannot tell without keyctl(1); a kernel without keys has
        // none.
        None if name(number) == "keyctl" && strike != Strike::Fail(libc::ENOSYS) => {
            return Err("success without a keyring".into());
        }
        None if decides(&name(number), strike) && reference.children.contains(&(site, number)) => {
            return Err("the hook has run".into());
        }
        None => same(scenario, reference)?,
    };
    let created = failed.as_ref().is_none_or(|(index, _)| scenario.commands[*index][0] == "start");
    if created && !scenario.is_begun() && scenario.commands[0][0] == "create" {
        let (status, deleted) = (scenario.fixture.status(), scenario.fixture.verb("delete"));
        if (status.as_str(), deleted.code, deleted.stderr.as_str()) != ("stopped", Some(0), "") {
            return Err(format!("{status}, not to be deleted: {}", deleted.stderr));
        }
    }
    match left(scenario).as_slice() {
        [] => Ok(verdict),
        left => Err(format!("left: {left:?}")),
    }
}

/// The container is the same.
pub fn same(scenario: &Scenario, reference: &Reference) -> Result<Verdict, String> {
    match scenario.report() {
        Ok(report) if report == reference.report => Ok(Verdict::Same),
        Ok(report) => Err(format!("another container:{}", difference(&reference.report, &report))),
        Err(text) => {
            let last = text.lines().last().unwrap_or_default();
            Err(format!("success without a container: {} lines, the last {last:?}", text.lines().count()))
        }
    }
}

/// Exit status 1 and one line that names the step.
pub fn failure(ended: &Ended, phase: Option<u32>) -> Result<Verdict, String> {
    // Until it has read its configuration init knows nobody to tell but who started it by hand.
    let begun = phase != Some(Phase::Clone.code());
    let other = |line: &str| line.starts_with("warning: ") || !begun && line.starts_with("init: set-up: ");
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| !other(line)).collect();
    let [line] = lines.as_slice() else { return Err(format!("no single line: {:?}", ended.stderr)) };
    // A hook is a step, too; init may be what it is made from.
    if ended.code == Some(1) && line.starts_with("error: ") && line.contains(" hook #") {
        let exact = named_phase(line).is_some() && phase == named_phase(line).map(Phase::code);
        return Ok(Verdict::Failed { exact });
    }
    let named = line.strip_prefix("error: ").and_then(named_phase);
    let Some(named) = named.filter(|_| ended.code == Some(1)) else {
        return Err(format!("no step is named: {:?}: {line}", ended.code));
    };
    let exact = phase.is_none_or(|phase| Phase::from_code(phase) == Some(named));
    Ok(Verdict::Failed { exact })
}

/// The phase that a message names.
fn named_phase(line: &str) -> Option<Phase> {
    let of_name = |name: &str| Phase::ALL.iter().copied().find(|phase| phase.name() == name);
    if line.starts_with("exec: \"") {
        return Some(Phase::LookPath);
    }
    let inner = line.find("init: ").and_then(|at| line[at + 6..].split(':').next()).and_then(of_name);
    inner.or_else(|| line.split(" in phase ").nth(1)?.split(' ').next().and_then(of_name))
}

/// What a run has left on the host, the template aside.
pub fn left(scenario: &Scenario) -> Vec<String> {
    let fixture = &scenario.fixture;
    if scenario.is_begun() {
        return (fixture.status() != "running")
            .then(|| "the container has ended".into())
            .into_iter()
            .collect();
    }
    let entries = fs::read_dir(fixture.root()).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut left: Vec<String> = names.filter(|name| !name.starts_with(".template")).collect();
    left.extend(fixture.cgroups().iter().map(|path| path.display().to_string()));
    let own = fixture.path().display().to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    left.extend(
        mounts.lines().filter(|line| line.contains(&own) && !line.contains(".template")).map(str::to_owned),
    );
    let files = fs::read_dir(fixture.path()).unwrap().flatten();
    let known = ["bundle", "report", "data", "state", "console"];
    let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
    left.extend(names.filter(|name| !known.contains(&name.as_str())));
    left
}

/// The processes of a run, for a message.
pub fn survivors(scenario: &Scenario) -> String {
    let left = children().difference(&scenario.spared).copied().collect::<Vec<_>>();
    let line = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    left.iter().map(|pid| format!("{pid} {}", line(pid).trim())).collect::<Vec<_>>().join(", ")
}

/// After a finding: the next run begins with nothing.
pub fn clear(scenario: &Scenario) {
    for pid in children().difference(&scenario.spared) {
        let _may_be_gone = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    let gone = settled(scenario, LIMIT);
    assert!(gone, "a process outlives SIGKILL");
    if !scenario.is_begun() {
        let _forced = scenario.fixture.call(&["delete", "-f", &scenario.fixture.id]);
    }
}
