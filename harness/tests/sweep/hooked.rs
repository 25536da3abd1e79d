//! The harness, the container's process or the hook is killed while a hook of each kind runs, the
//! harness at each call that a hook's process makes before it is the hook: the command says so, the
//! hook ends with the harness, what is left can be looked at and removed, and the id be used again.

use std::fs;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::changes::KINDS;
use crate::deaths;
use crate::gate::{Gate, children_of, end, is_ending, is_gone};
use crate::judge::{LIMIT, Reference, clear, left, name, settled, survivors};
use crate::scenario::Scenario;
use crate::tracer::{Site, Strike, Tracer, is_init};

/// Containers: all namespaces new; the host's pid namespace; a user namespace.
pub const WORLDS: [&str; 3] = ["held", "held-host", "held-user"];

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Harness,
    Init,
    Hook,
}

/// Every kind with every victim: how many deaths, and the findings.
pub fn sweep(scenario: &Scenario, reference: &Reference) -> (usize, Vec<String>) {
    let victims = [Victim::Harness, Victim::Init, Victim::Hook];
    let all = KINDS.iter().flat_map(|kind| victims.map(|victim| (*kind, victim)));
    // At poststop there is no init any more.
    let rows: Vec<_> = all.filter(|row| *row != ("poststop", Victim::Init)).collect();
    let mut findings = Vec::new();
    for (kind, victim) in &rows {
        let row = Row { scenario, reference, kind, victim: *victim, limit: LIMIT };
        if let Err(finding) = row.run() {
            clear(scenario);
            findings.push(format!("{victim:?} killed while a {kind} hook runs: {finding}"));
        }
    }
    let orphaned = orphans(scenario, reference, &mut findings);
    (rows.len() + orphaned, findings)
}

/// Deaths of the harness after it has forked what becomes a hook on the host, in the order of birth.
fn orphans(scenario: &Scenario, reference: &Reference, findings: &mut Vec<String>) -> usize {
    let mut kinds = KINDS.iter().filter(|kind| **kind != "startContainer");
    let mut last = None;
    let mut kind = "";
    for (site, number) in &reference.children {
        let process = (site.command, site.process);
        if last.replace(process) != Some(process) {
            kind = kinds.next().expect("no hook is made from this process");
        }
        let row = Row { scenario, reference, kind, victim: Victim::Harness, limit: LIMIT };
        if let Err(finding) = row.orphan(*site) {
            clear(scenario);
            findings.push(format!("harness killed at {} of a {kind} hook to be: {finding}", name(*number)));
        }
    }
    assert_eq!(kinds.next(), None, "a hook without a process");
    reference.children.len()
}

/// One death.
pub struct Row<'r> {
    pub scenario: &'r Scenario,
    pub reference: &'r Reference,
    pub kind: &'r str,
    pub victim: Victim,
    /// Longest that what is left may take to end.
    pub limit: Duration,
}

impl Row<'_> {
    pub fn run(&self) -> Result<(), String> {
        self.begin();
        self.strike(Gate::new(&self.data(), self.kind))?;
        self.after("poststop\n")
    }

    /// The harness dies at `site`, a call of what is to become the hook, which never runs then.
    fn orphan(&self, site: Site) -> Result<(), String> {
        self.begin();
        let gate = Gate::new(&self.data(), self.kind);
        let nowhere = Path::new("/nonexistent");
        let mut tracer = Tracer::new(Some((site, Strike::Orphan)), nowhere, LIMIT);
        for index in 0..=site.command {
            if self.scenario.commands[index][0] == "delete" && !(tracer.rest() && self.settles()) {
                return Err("the container does not end".into());
            }
            let ended = tracer.run(&self.scenario.command(index));
            let expected = if index == site.command { None } else { Some(0) };
            if ended.hung || ended.code != expected {
                return Err(format!("{ended:?}"));
            }
        }
        if !tracer.rest() {
            return Err("what is left hangs".into());
        }
        let ran = gate.mark.exists();
        drop(gate);
        if ran {
            return Err("the hook has run".into());
        }
        self.after(if self.kind == "poststop" { "" } else { "poststop\n" })
    }

    fn data(&self) -> PathBuf {
        self.scenario.fixture.path().join("data")
    }

    fn settles(&self) -> bool {
        settled(self.scenario, self.limit)
    }

    fn begin(&self) {
        self.scenario.reset();
        fs::write(self.data().join("ended"), "").unwrap();
    }

    /// What is left, what `poststop` hooks have written, and whether the id can be used again.
    fn after(&self, expected: &str) -> Result<(), String> {
        self.remove()?;
        if !self.settles() {
            return Err(format!("processes are left: {}", survivors(self.scenario)));
        }
        let left = left(self.scenario);
        if !left.is_empty() {
            return Err(format!("left: {left:?}"));
        }
        let ended = fs::read_to_string(self.data().join("ended")).unwrap();
        if ended != expected {
            return Err(format!("poststop hooks: {ended:?} instead of {expected:?}"));
        }
        deaths::again(self.scenario, self.reference)
    }

    /// Up to the death and what the command says about it.
    fn strike(&self, mut gate: Gate) -> Result<(), String> {
        let fixture = &self.scenario.fixture;
        for verb in ["create", "start"].into_iter().take_while(|verb| *verb != self.verb()) {
            fixture.verb(verb).prints("");
        }
        if self.verb() == "delete" && !self.settles() {
            return Err("the container does not end".into());
        }
        let mut stderr = tempfile::tempfile().unwrap();
        let mut command = fixture.harness();
        command.args([self.verb(), &fixture.id]).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(stderr.try_clone().unwrap()).spawn().unwrap();
        gate.await_hook(&mut child)?;
        let living = children_of(&child).into_iter().filter(|pid| !is_ending(*pid));
        let (inits, hooks): (Vec<Pid>, Vec<Pid>) = living.partition(|pid| is_init(*pid));
        let [hook] = hooks[..] else { return Err(format!("{hooks:?} instead of one hook")) };
        let victim = match self.victim {
            Victim::Harness => Pid::from_raw(child.id() as i32),
            Victim::Hook => hook,
            Victim::Init if self.verb() == "create" => *inits.first().ok_or("no init")?,
            Victim::Init => Pid::from_raw(fixture.state()["pid"].as_i64().unwrap() as i32),
        };
        kill(victim, Signal::SIGKILL).unwrap();
        if !is_gone(victim) {
            return Err("a process outlives SIGKILL".into());
        }
        // One in the container's pid namespace is killed with init.
        let with_init = matches!(self.kind, "createContainer" | "startContainer");
        if self.victim == Victim::Init && (self.scenario.shares_pids() || !with_init) {
            gate.open();
        }
        let code = end(&mut child)?;
        let mut said = String::new();
        stderr.rewind().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        let (expected, words) = self.expected();
        if (code, said.as_str()) != (expected, words.as_str()) {
            return Err(format!("{code:?} {said:?} instead of {expected:?} {words:?}"));
        }
        // A hook in the container is the container's: it ends with that.
        let stays = self.kind == "startContainer" && self.victim == Victim::Harness;
        if stays || is_gone(hook) { Ok(()) } else { Err("the hook runs on".into()) }
    }

    /// The command that runs the hook.
    fn verb(&self) -> &'static str {
        match self.kind {
            "startContainer" | "poststart" => "start",
            "poststop" => "delete",
            _ => "create",
        }
    }

    /// Exit status, if there is one, and words of the command.
    fn expected(&self) -> (Option<i32>, String) {
        let Self { kind, .. } = self;
        let id = &self.scenario.fixture.id;
        let host = self.scenario.shares_pids();
        match (self.victim, *kind) {
            (Victim::Harness, _) => (None, String::new()),
            (Victim::Hook, "startContainer") => {
                (Some(1), format!("error: {kind} hook #1 /bin/sh: exit status 137\n"))
            }
            (Victim::Hook, "poststop") => {
                (Some(0), format!("warning: {kind} hook #1 /bin/sh: signal: 9 (SIGKILL)\n"))
            }
            (Victim::Hook, _) => (Some(1), format!("error: {kind} hook #1 /bin/sh: signal: 9 (SIGKILL)\n")),
            // Its process had been started.
            (Victim::Init, "poststart") => (Some(0), String::new()),
            (Victim::Init, "startContainer") if host => (
                Some(1),
                format!(
                    "error: init of container {id:?} ended in phase gate before its process was started\n"
                ),
            ),
            (Victim::Init, "startContainer") => {
                let place = "it has stopped, in phase gate of init";
                (Some(1), format!("error: cannot start container {id:?}: {place}\n"))
            }
            (Victim::Init, _) => {
                let how = "init was killed by SIGKILL in phase hooks before the container was created";
                (Some(1), format!("error: {how}\n"))
            }
        }
    }

    /// A command that failed has left what it must; one that died, no process that nobody asked for.
    fn remove(&self) -> Result<(), String> {
        let fixture = &self.scenario.fixture;
        match (self.victim, self.verb()) {
            (Victim::Harness, verb) => {
                if verb != "start" && !self.settles() {
                    return Err(format!("processes run on: {}", survivors(self.scenario)));
                }
                let nowhere = Path::new("/nonexistent");
                deaths::remove(self.scenario, &mut Tracer::new(None, nowhere, LIMIT))
            }
            (_, "start") => {
                let (status, deleted) = (fixture.status(), fixture.verb("delete"));
                match (status.as_str(), deleted.code, deleted.stderr.as_str()) {
                    ("stopped", Some(0), "") => Ok(()),
                    other => Err(format!("afterwards: {other:?}")),
                }
            }
            _ => Ok(()),
        }
    }
}
