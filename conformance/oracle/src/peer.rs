//! libseccomp, in a process of its own: it loops forever on some profiles.

use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use crate::seccomp::{Arch, Instruction, action};
use crate::spec::{Seccomp, SeccompRule};
use crate::{clock, engines};

/// How long a profile may take: a thousand times what it takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A profile to compile, and how.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// Its text, in either format.
    pub profile: String,
    /// Name of the architecture that it is for.
    pub arch: String,
    /// Capabilities that it is resolved with.
    pub capabilities: Vec<String>,
    /// 1 for a list, 2 for a binary tree.
    pub optimize: u32,
    /// How often, for measurements.
    pub rounds: usize,
}

/// The filter, or why there is none.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// Its instructions.
    pub program: Vec<(u16, u8, u8, u32)>,
    /// What each round took.
    pub nanoseconds: Vec<u64>,
    /// Names that it does not know.
    pub unknown: Vec<String>,
    /// Why it refuses.
    pub refused: Option<String>,
}

impl Answer {
    /// For the machine.
    pub fn instructions(&self) -> Vec<Instruction> {
        self.program
            .iter()
            .map(|(code, jt, jf, k)| Instruction { code: *code, jt: *jt, jf: *jf, k: *k })
            .collect()
    }
}

/// The other process.
pub struct Worker {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Worker {
    /// Starts this program once more.
    pub fn start() -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("libseccomp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let broken = || std::io::Error::other("no pipe");
        let input = child.stdin.take().ok_or_else(broken)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(broken)?);
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Ok(Self { child, input, answers })
    }

    /// The answer, or none if it takes too long; the next one is then asked of a new process.
    pub fn ask(&mut self, request: &Request) -> std::io::Result<Option<Answer>> {
        writeln!(self.input, "{}", serde_json::to_string(request)?)?;
        let patience = PATIENCE * request.rounds.max(1) as u32;
        match self.answers.recv_timeout(patience) {
            Ok(line) => Ok(Some(serde_json::from_str(&line)?)),
            Err(_) => {
                *self = Self::start()?;
                Ok(None)
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _it_may_be_gone = self.child.kill();
        let _the_same = self.child.wait();
    }
}

/// Answers requests, one a line, until the input ends.
pub fn serve() -> std::io::Result<()> {
    for line in std::io::stdin().lines() {
        let answer = serde_json::to_string(&answer(&serde_json::from_str(&line?)?))?;
        writeln!(std::io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn answer(request: &Request) -> Answer {
    let mut answer = Answer::default();
    for _ in 0..request.rounds.max(1) {
        let start = clock::now();
        let done = build(request);
        let nanoseconds = clock::now() - start;
        match done {
            Ok((bytes, unknown)) => {
                answer.nanoseconds.push(nanoseconds);
                answer.program = decode(&bytes);
                answer.unknown = unknown;
            }
            Err(refused) => return Answer { refused: Some(refused), ..Answer::default() },
        }
    }
    answer
}

fn build(request: &Request) -> Result<(Vec<u8>, Vec<String>), String> {
    let arch = Arch::find(&request.arch).ok_or("no such architecture")?;
    let names: Vec<&str> = request.capabilities.iter().map(String::as_str).collect();
    let profile = engines::parse(&request.profile, &engines::target(arch, &names))
        .map_err(|error| error.to_string())?;
    let (filter, unknown) = context(&profile, arch, request.optimize).map_err(|error| error.to_string())?;
    let mut file =
        std::fs::File::from(memfd_create("filter", MemfdFlags::CLOEXEC).map_err(|error| error.to_string())?);
    filter.export_bpf(&file).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    read.map(|_| (bytes, unknown)).map_err(|error| error.to_string())
}

/// `struct sock_filter`, as the machine has it in memory.
fn decode(bytes: &[u8]) -> Vec<(u16, u8, u8, u32)> {
    let (whole, _) = bytes.as_chunks::<8>();
    let one = |bytes: &[u8; 8]| {
        let [c0, c1, jt, jf, k @ ..] = *bytes;
        (u16::from_ne_bytes([c0, c1]), jt, jf, u32::from_ne_bytes(k))
    };
    whole.iter().map(one).collect()
}

/// The architecture as libseccomp calls it.
pub fn arch(arch: Arch) -> ScmpArch {
    match arch {
        Arch::X86_64 => ScmpArch::X8664,
        Arch::X86 => ScmpArch::X86,
        Arch::X32 => ScmpArch::X32,
        Arch::Aarch64 => ScmpArch::Aarch64,
        Arch::Arm => ScmpArch::Arm,
        Arch::Riscv64 => ScmpArch::Riscv64,
    }
}

/// As runtimes call libseccomp: rule by rule, name by name.
fn context(
    profile: &Seccomp<'_>,
    native: Arch,
    optimize: u32,
) -> Result<(ScmpFilterContext, Vec<String>), SeccompError> {
    let name = profile.default_action.as_deref().unwrap_or_default();
    let default = verdict(name, profile.default_errno_ret);
    let mut filter = ScmpFilterContext::new(scmp(default))?;
    filter.set_ctl_optimize(optimize)?;
    let named = profile.architectures.iter().flatten().filter_map(|name| Arch::find(name));
    let arches: Vec<ScmpArch> = std::iter::once(native).chain(named).map(arch).collect();
    for arch in &arches {
        filter.add_arch(*arch)?;
    }
    if !arches.contains(&ScmpArch::native()) {
        filter.remove_arch(ScmpArch::native())?;
    }
    let mut unknown = Vec::new();
    for rule in profile.syscalls.iter().flatten() {
        let verdict = verdict(&rule.action, rule.errno_ret);
        for name in &rule.names {
            match ScmpSyscall::from_name(name) {
                Ok(call) if verdict != default => add(&mut filter, scmp(verdict), call, rule)?,
                Ok(_) => {}
                Err(_) => unknown.push(name.to_string()),
            }
        }
    }
    Ok((filter, unknown))
}

fn add(
    filter: &mut ScmpFilterContext,
    verdict: ScmpAction,
    call: ScmpSyscall,
    rule: &SeccompRule<'_>,
) -> Result<(), SeccompError> {
    let mut all = Vec::new();
    for arg in rule.args.iter().flatten() {
        let (op, operand) = match &*arg.op {
            "SCMP_CMP_NE" => (ScmpCompareOp::NotEqual, arg.value),
            "SCMP_CMP_LT" => (ScmpCompareOp::Less, arg.value),
            "SCMP_CMP_LE" => (ScmpCompareOp::LessOrEqual, arg.value),
            "SCMP_CMP_EQ" => (ScmpCompareOp::Equal, arg.value),
            "SCMP_CMP_GE" => (ScmpCompareOp::GreaterEqual, arg.value),
            "SCMP_CMP_GT" => (ScmpCompareOp::Greater, arg.value),
            _ => (ScmpCompareOp::MaskedEqual(arg.value), arg.value_two.unwrap_or_default()),
        };
        all.push((arg.index, ScmpArgCompare::new(arg.index, op, operand)));
    }
    let mut indexes: Vec<u32> = all.iter().map(|(index, _)| *index).collect();
    indexes.sort_unstable();
    indexes.dedup();
    let compares: Vec<ScmpArgCompare> = all.iter().map(|(_, compare)| *compare).collect();
    if compares.is_empty() {
        filter.add_rule(verdict, call)?;
    } else if indexes.len() == compares.len() {
        filter.add_rule_conditional(verdict, call, &compares)?;
    } else {
        for compare in compares {
            filter.add_rule_conditional(verdict, call, &[compare])?;
        }
    }
    Ok(())
}

fn verdict(name: &str, data: Option<u32>) -> u32 {
    action::parse(name, data, Default::default).expect("a profile that the compiler took")
}

fn scmp(verdict: u32) -> ScmpAction {
    let data = verdict & !action::MASK;
    match verdict & action::MASK {
        action::KILL_PROCESS => ScmpAction::KillProcess,
        action::TRAP => ScmpAction::Trap,
        action::ERRNO => ScmpAction::Errno(data as i32),
        action::NOTIFY => ScmpAction::Notify,
        action::TRACE => ScmpAction::Trace(data as u16),
        action::LOG => ScmpAction::Log,
        action::ALLOW => ScmpAction::Allow,
        _ => ScmpAction::KillThread,
    }
}

/// Its version.
pub fn version() -> String {
    let version = libseccomp::ScmpVersion::current();
    version.map_or_else(|error| error.to_string(), |version| version.to_string())
}
