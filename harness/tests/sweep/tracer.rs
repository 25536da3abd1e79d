//! Commands under ptrace(2): which system calls each process makes, and what one of them meets.
//!
//! The child that init is made from has the harness's memory and no word of its own yet, so a
//! process is known by the order of its birth, and is init's if it has ever executed a memfd.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::libc;
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

pub use crate::model::{Ended, Recorded, Role, Site, Strike, Struck};
use crate::watchdog::Watchdog;

struct Tracee {
    recorded: usize,
    inside: bool,
    pending: Option<i32>,
}

/// The tracer of a sequence of commands.
pub struct Tracer {
    tracees: HashMap<i32, Tracee>,
    live: Arc<Mutex<HashSet<i32>>>,
    /// Children that their parents have told of, and that have not stopped yet.
    unborn: HashSet<i32>,
    /// Those that have, and may have ended before their parents tell of them.
    born: HashSet<i32>,
    target: Option<(Site, Strike)>,
    page: PathBuf,
    leader: Pid,
    command: usize,
    limit: Duration,
    /// Whether the command has not ended.
    runs: bool,
    pub recorded: Vec<Recorded>,
    pub struck: Option<Struck>,
    /// Where init was at its calls, if all is recorded.
    pub phases: HashSet<u32>,
}

/// Entry of the program that the tracer starts: traced from its first instruction on.
pub fn stage(arguments: &[std::ffi::OsString]) -> ! {
    ptrace::traceme().unwrap();
    panic!("{}", Command::new(&arguments[0]).args(&arguments[1..]).exec());
}

impl Tracer {
    /// `page` is where init notes its phase, if it is a file. Without a target all is recorded.
    pub fn new(target: Option<(Site, Strike)>, page: &Path, limit: Duration) -> Self {
        Self {
            tracees: HashMap::new(),
            live: Arc::default(),
            unborn: HashSet::new(),
            born: HashSet::new(),
            target,
            page: page.to_path_buf(),
            leader: Pid::from_raw(0),
            command: 0,
            limit,
            runs: false,
            recorded: Vec::new(),
            struck: None,
            phases: HashSet::new(),
        }
    }

    /// Runs the next command to its end; init may go on behind it.
    pub fn run(&mut self, command: &Command) -> Ended {
        let mut stderr = tempfile::tempfile().unwrap();
        let mut staged = Command::new(std::env::current_exe().unwrap());
        staged.arg("--traced").arg(command.get_program()).args(command.get_args());
        staged.current_dir(command.get_current_dir().unwrap());
        staged.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.try_clone().unwrap());
        self.leader = Pid::from_raw(staged.spawn().unwrap().id() as i32);
        let watchdog = Watchdog::new(Arc::clone(&self.live), self.limit);
        self.runs = true;
        let code = self.follow();
        self.runs = false;
        let hung = watchdog.has_bitten();
        self.command += 1;
        let mut text = Vec::new();
        stderr.rewind().unwrap();
        stderr.read_to_end(&mut text).unwrap();
        Ended { code, stderr: String::from_utf8_lossy(&text).into_owned(), hung }
    }

    /// Strikes no more.
    pub fn disarm(&mut self) {
        self.target = self.target.map(|(site, strike)| (Site { command: usize::MAX, ..site }, strike));
    }

    /// Lets init go on until no process is traced any more; false if that takes too long.
    pub fn rest(&mut self) -> bool {
        let watchdog = Watchdog::new(Arc::clone(&self.live), self.limit);
        while !self.tracees.is_empty() || !self.unborn.is_empty() {
            match waitpid(None, Some(WaitPidFlag::__WALL)) {
                Ok(status) => self.handle(status),
                Err(_) => break,
            }
        }
        !watchdog.has_bitten()
    }

    /// To the end of the command itself; its exit status.
    fn follow(&mut self) -> Option<i32> {
        loop {
            let status = waitpid(None, Some(WaitPidFlag::__WALL)).unwrap();
            self.handle(status);
            match status {
                WaitStatus::Exited(pid, code) if pid == self.leader => return Some(code),
                WaitStatus::Signaled(pid, ..) if pid == self.leader => return None,
                _ if !self.runs => return None,
                _ => {}
            }
        }
    }

    fn handle(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => self.forget(pid),
            WaitStatus::Stopped(pid, signal) if !self.tracees.contains_key(&pid.as_raw()) => {
                self.adopt(pid, signal);
            }
            WaitStatus::Stopped(pid, signal) => self.resume(pid, Some(signal)),
            WaitStatus::PtraceEvent(pid, _, event) if event == Event::PTRACE_EVENT_EXEC as i32 => {
                self.executed(pid);
            }
            WaitStatus::PtraceEvent(pid, ..) => {
                let child = ptrace::getevent(pid).map_or(0, |child| child as i32);
                if child != 0 && !self.born.contains(&child) {
                    self.unborn.insert(child);
                }
                self.resume(pid, None);
            }
            WaitStatus::PtraceSyscall(pid) => self.call(pid),
            _ => {}
        }
    }

    fn forget(&mut self, pid: Pid) {
        self.unborn.remove(&pid.as_raw());
        self.tracees.remove(&pid.as_raw());
        self.live.lock().unwrap().remove(&pid.as_raw());
    }

    /// The first stop of a process: SIGTRAP of the stage's execve, or SIGSTOP of a new child.
    fn adopt(&mut self, pid: Pid, signal: Signal) {
        if signal == Signal::SIGTRAP {
            let options = Options::PTRACE_O_TRACESYSGOOD
                | Options::PTRACE_O_TRACECLONE
                | Options::PTRACE_O_TRACEFORK
                | Options::PTRACE_O_TRACEVFORK
                | Options::PTRACE_O_TRACEEXEC
                | Options::PTRACE_O_EXITKILL;
            ptrace::setoptions(pid, options).unwrap();
        }
        let process = self.recorded.iter().filter(|one| one.command == self.command).count();
        let role = match signal {
            Signal::SIGTRAP => Role::Harness,
            _ if is_init(pid) => Role::Init,
            _ => Role::Child,
        };
        self.recorded.push(Recorded { command: self.command, process, role, calls: Vec::new() });
        let tracee = Tracee { recorded: self.recorded.len() - 1, inside: false, pending: None };
        self.tracees.insert(pid.as_raw(), tracee);
        self.live.lock().unwrap().insert(pid.as_raw());
        self.unborn.remove(&pid.as_raw());
        self.born.insert(pid.as_raw());
        self.resume(pid, None);
    }

    /// Init is followed into the container's process no further than its execve.
    fn executed(&mut self, pid: Pid) {
        let Some(tracee) = self.tracees.get(&pid.as_raw()) else { return };
        let recorded = &mut self.recorded[tracee.recorded];
        if is_init(pid) {
            recorded.role = Role::Init;
            self.resume(pid, None);
        } else {
            self.forget(pid);
            let _may_be_gone = ptrace::detach(pid, None);
        }
    }

    /// A stop at the entry or the exit of a system call.
    fn call(&mut self, pid: Pid) {
        let (Some(tracee), Ok(mut registers)) = (self.tracees.get_mut(&pid.as_raw()), ptrace::getregs(pid))
        else {
            return;
        };
        if let Some(errno) = tracee.pending.take() {
            registers.rax = i64::from(-errno) as u64;
            let _may_be_gone = ptrace::setregs(pid, registers);
            tracee.inside = false;
            return self.resume(pid, None);
        }
        // At the entry the result is preset.
        if tracee.inside || registers.rax as i64 != -i64::from(libc::ENOSYS) {
            tracee.inside = false;
            return self.resume(pid, None);
        }
        tracee.inside = true;
        let number = registers.orig_rax as i64;
        let recorded = &mut self.recorded[tracee.recorded];
        let here =
            Site { command: recorded.command, process: recorded.process, ordinal: recorded.calls.len() };
        recorded.calls.push(number);
        if self.target.is_none() && recorded.role == Role::Init {
            self.phases.extend(self.phase());
        }
        match self.target {
            // Nobody is orphaned by a command that has ended.
            Some((site, Strike::Orphan)) if site == here && !self.runs => self.resume(pid, None),
            Some((site, strike)) if site == here && self.struck.is_none() => {
                self.struck = Some(Struck { number, phase: self.phase() });
                self.strike(pid, strike, registers);
            }
            _ => self.resume(pid, None),
        }
    }

    /// The first word of init's page: a file of a new container, a memfd of `exec`.
    fn phase(&self) -> Option<u32> {
        let memfd = || {
            let files = std::fs::read_dir(format!("/proc/{}/fd", self.leader)).ok()?;
            let paths = files.flatten().map(|entry| entry.path());
            let is_page = |path: &PathBuf| {
                std::fs::read_link(path).is_ok_and(|target| target.starts_with("/memfd:page (deleted)"))
            };
            paths.into_iter().find(is_page)
        };
        let page = match memfd() {
            Some(page) => std::fs::read(page).ok()?,
            None => std::fs::read(&self.page).ok()?,
        };
        page.first_chunk().copied().map(u32::from_le_bytes)
    }

    fn strike(&mut self, pid: Pid, strike: Strike, mut registers: libc::user_regs_struct) {
        match strike {
            Strike::Fail(errno) => {
                registers.orig_rax = u64::MAX;
                let _may_be_gone = ptrace::setregs(pid, registers);
                if let Some(tracee) = self.tracees.get_mut(&pid.as_raw()) {
                    tracee.pending = Some(errno);
                }
                let _may_be_gone = ptrace::syscall(pid, None);
            }
            Strike::Kill => drop(kill(pid, Signal::SIGKILL)),
            Strike::Hold => {}
            Strike::Orphan => {
                self.orphan();
                self.resume(pid, None);
            }
        }
    }

    /// Kills the command and waits until it is dead.
    fn orphan(&mut self) {
        kill(self.leader, Signal::SIGKILL).unwrap();
        while !matches!(
            waitpid(self.leader, Some(WaitPidFlag::__WALL)).unwrap(),
            WaitStatus::Exited(..) | WaitStatus::Signaled(..)
        ) {}
        self.forget(self.leader);
        self.runs = false;
    }

    /// Stops again at the next call only where a call may still be the target.
    fn resume(&self, pid: Pid, signal: Option<Signal>) {
        let watched = match (self.target, self.tracees.get(&pid.as_raw())) {
            (None, _) => true,
            (Some((site, _)), Some(tracee)) if self.struck.is_none() => {
                let recorded = &self.recorded[tracee.recorded];
                (recorded.command, recorded.process) == (site.command, site.process)
            }
            _ => false,
        };
        // A process that was killed meanwhile is gone from the tracer's hands.
        let _may_be_gone = if watched { ptrace::syscall(pid, signal) } else { ptrace::cont(pid, signal) };
    }
}

/// Whether a process's program is a memfd, as init's is.
pub fn is_init(pid: Pid) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe"))
        .is_ok_and(|program| program.to_string_lossy().starts_with("/memfd:"))
}
