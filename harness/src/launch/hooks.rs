//! Running hooks (runtime-spec, config.md, "POSIX-platform Hooks"): state on stdin, exactly the
//! environment that is configured, output kept for the message and bounded, a timeout for the
//! whole tree of processes.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::error::{Context, Error, Result};
use crate::plan::Kind;
use crate::process::{NOW, PATIENCE, wait_gone};
use crate::spec::Hook;
use crate::state::State;
use crate::sys;

/// Most of a hook's output that is kept.
const OUTPUT: usize = 64 * 1024;
/// Most of it that an error message shows.
const SHOWN: usize = 1024;

/// Namespaces that hooks run in.
#[derive(Clone, Copy)]
pub enum World<'w> {
    /// The harness's own.
    Runtime,
    /// Those of the container's process, whose mount namespace still has the host's paths.
    Container {
        /// The process.
        pidfd: &'w OwnedFd,
        /// `CLONE_NEW*` of the container.
        kinds: u32,
    },
}

/// Runs hooks one after the other; the first that fails ends it.
pub fn run(kind: &str, hooks: &[Hook], state: &State, status: &str, world: World<'_>) -> Result<()> {
    for (index, hook) in hooks.iter().enumerate() {
        one(hook, state, status, world).map_err(|reason| failed(kind, index, hook, &reason))?;
    }
    Ok(())
}

/// Runs hooks one after the other; one that fails is a warning (`poststop`).
pub fn run_all(kind: &str, hooks: &[Hook], state: &State, status: &str) {
    for (index, hook) in hooks.iter().enumerate() {
        if let Err(reason) = one(hook, state, status, World::Runtime) {
            crate::log::warning(&failed(kind, index, hook, &reason).to_string());
        }
    }
}

fn failed(kind: &str, index: usize, hook: &Hook, reason: &str) -> Error {
    Error::State(format!("{kind} hook #{} {}: {reason}", index + 1, hook.path))
}

/// Runs one hook to its end. On failure, why.
fn one(hook: &Hook, state: &State, status: &str, world: World<'_>) -> std::result::Result<(), String> {
    let text = |error: Error| error.to_string();
    let (output, input) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).host("pipe", "").map_err(text)?;
    let mut command = command(hook, state, status, input, world).map_err(text)?;
    let spawned = with_pid_namespace(world, || command.spawn().map_err(|error| reason(&error, world)));
    // The command holds the pipe's other end.
    drop(command);
    let mut child = spawned?;
    let pid = child.id() as i32;
    let limit = hook.timeout.map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
    let mut kept = Vec::new();
    let in_time = follow(pid, &output, limit, &mut kept).map_err(text)?;
    if !in_time {
        kill_tree(pid);
        let _reaped = child.wait();
        return Err(format!("timed out after {} s", hook.timeout.unwrap_or_default()));
    }
    let ended = child.wait().map_err(|error| describe(&error))?;
    if ended.success() {
        return Ok(());
    }
    let shown = kept.get(kept.len().saturating_sub(SHOWN)..).unwrap_or_default();
    let shown = String::from_utf8_lossy(shown);
    let said = if shown.trim().is_empty() { String::new() } else { format!(": {}", shown.trim()) };
    Err(format!("{ended}{said}"))
}

fn describe(error: &std::io::Error) -> String {
    Errno::from_io_error(error).map_or_else(|| error.to_string(), crate::error::describe)
}

/// The program with its environment, its streams, and a way into its namespaces.
fn command(hook: &Hook, state: &State, status: &str, output: OwnedFd, world: World<'_>) -> Result<Command> {
    let mut command = Command::new(&hook.path);
    if let Some((first, rest)) = hook.args.as_deref().and_then(<[String]>::split_first) {
        command.arg0(first).args(rest);
    }
    // As crun and runc have it; the specification leaves it open. At the end it may be gone.
    if matches!(world, World::Runtime) && std::path::Path::new(&state.bundle).is_dir() {
        command.current_dir(&state.bundle);
    }
    command.env_clear();
    let entries = hook.env.iter().flatten().filter_map(|entry| entry.split_once('='));
    command.envs(entries);
    let errors = rustix::io::fcntl_dupfd_cloexec(&output, 3).host("dup", "pipe")?;
    command
        .stdin(Stdio::from(state_file(state, status, !matches!(world, World::Runtime))?))
        .stdout(Stdio::from(output))
        .stderr(Stdio::from(errors));
    let join = match world {
        World::Runtime => None,
        World::Container { pidfd, kinds } => {
            Some((pidfd.as_raw_fd(), u64::from(kinds & !(Kind::Pid.flag() | Kind::Time.flag()))))
        }
    };
    let harness = crate::process::own().host("pidfd_open", "self")?;
    let enter = move || {
        // Whoever forwards signals has blocked them.
        sys::unblock_signals()?;
        // A group of its own, so that it can be killed as one.
        rustix::process::setsid()?;
        if let Some((process, kinds)) = join
            && kinds != 0
        {
            init_core::sys::task::setns(process, kinds)?;
        }
        // It does not outlive the harness, which may have died before this took effect; and behind
        // setns(2), where other credentials would clear it.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        let mut poll = [PollFd::new(&harness, PollFlags::IN)];
        match rustix::event::poll(&mut poll, Some(&NOW))? {
            0 => Ok(()),
            _ => Err(Errno::SRCH.into()),
        }
    };
    sys::before_exec(&mut command, enter);
    Ok(command)
}

/// Runs `call` with another file as standard input, which what it starts inherits.
pub fn with_input<T>(input: &std::fs::File, call: impl FnOnce() -> Result<T>) -> Result<T> {
    let own = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).host("dup", "stdin")?;
    rustix::stdio::dup2_stdin(input).host("dup", "stdin")?;
    let done = call();
    rustix::stdio::dup2_stdin(&own).host("dup", "stdin")?;
    done
}

/// The state as a file: a hook may leave it unread, and reads its end after it. A hook inside the
/// container is told the pid that is seen there (runtime.md, "State").
pub fn state_file(state: &State, status: &str, inside: bool) -> Result<std::fs::File> {
    let mut value = crate::verb::public_value(state, status);
    if let (true, Some(pid)) = (inside, pid_inside(state.pid)) {
        value["pid"] = pid.into();
    }
    let text = value.to_string();
    let file =
        rustix::fs::memfd_create("state", rustix::fs::MemfdFlags::CLOEXEC).host("memfd_create", "state")?;
    let mut file = std::fs::File::from(file);
    file.write_all(text.as_bytes()).host("write", "state of a hook")?;
    std::io::Seek::rewind(&mut file).host("seek", "state of a hook")?;
    Ok(file)
}

/// A process's number in its own pid namespace: the last of those in `NSpid` (proc(5)).
fn pid_inside(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().last()?.parse().ok()
}

/// Why a hook could not be started. A process that ends has left its namespaces, and is about to
/// close its connection: that is the word that counts then.
fn reason(error: &std::io::Error, world: World<'_>) -> String {
    if let (Some(Errno::SRCH), World::Container { pidfd, .. }) = (Errno::from_io_error(error), world) {
        let _late = wait_gone(pidfd, Some(PATIENCE));
    }
    describe(error)
}

/// The child of a hook's start belongs to the container's pid namespace, the harness itself cannot.
fn with_pid_namespace<T>(
    world: World<'_>,
    spawn: impl FnOnce() -> std::result::Result<T, String>,
) -> std::result::Result<T, String> {
    let pid = Kind::Pid.flag();
    let World::Container { pidfd, kinds } = world else { return spawn() };
    if kinds & pid == 0 {
        return spawn();
    }
    const OWN: &str = "/proc/self/ns/pid";
    let text = |errno: Errno| format!("pid namespace: {}", reason(&errno.into(), world));
    let own =
        rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty()).map_err(text)?;
    sys::setns(pidfd, pid).map_err(text)?;
    let spawned = spawn();
    sys::setns(&own, pid).map_err(text)?;
    spawned
}

/// Reads what the hook says until it ends; false if that takes longer than it may.
fn follow(pid: i32, output: &OwnedFd, limit: Option<Duration>, kept: &mut Vec<u8>) -> Result<bool> {
    let handle = Pid::from_raw(pid).map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()));
    let Some(handle) = handle.transpose().host("pidfd_open", "hook")? else { return Ok(true) };
    rustix::fs::fcntl_setfl(output, OFlags::NONBLOCK).host("fcntl", "pipe")?;
    let start = Instant::now();
    let mut closed = false;
    loop {
        let left = limit.map(|limit| limit.saturating_sub(start.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(false);
        }
        let timeout = left
            .map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) });
        let mut poll = [PollFd::new(&handle, PollFlags::IN), PollFd::new(output, PollFlags::IN)];
        let watched = if closed { 1 } else { 2 };
        match rustix::event::poll(poll.get_mut(..watched).unwrap_or_default(), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).host("poll", "hook"),
        }
        let [process, _] = &poll;
        let ended = !process.revents().is_empty();
        // What a child of its holds open is not waited for.
        closed |= drain(output, kept)?;
        if ended {
            return Ok(true);
        }
    }
}

/// Reads what is there and keeps the last of it; true at its end.
fn drain(output: &OwnedFd, kept: &mut Vec<u8>) -> Result<bool> {
    let mut buffer = [0; 4096];
    // A hook that writes without end must not keep the harness from seeing it end.
    for _ in 0..64 {
        match rustix::io::read(output, &mut buffer) {
            Ok(0) => return Ok(true),
            Ok(count) => kept.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).host("read", "hook"),
        }
        if kept.len() > OUTPUT {
            kept.drain(..kept.len() - OUTPUT);
        }
    }
    Ok(false)
}

/// Kills a hook, its session, and what has left that: orphans come to the harness meanwhile.
fn kill_tree(pid: i32) {
    let Some(leader) = Pid::from_raw(pid) else { return };
    let _since_3_4 = rustix::process::set_child_subreaper(Some(leader));
    let mut victims = vec![pid];
    let mut at = 0;
    while let Some(parent) = victims.get(at).copied() {
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        victims.extend(
            children.unwrap_or_default().split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()),
        );
        at += 1;
    }
    // Nobody of the tree is reaped before all have been named, so no number is another's yet.
    let _gone = rustix::process::kill_process_group(leader, Signal::KILL);
    for victim in victims.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _gone = rustix::process::kill_process(victim, Signal::KILL);
    }
    for orphan in victims.iter().skip(1).filter_map(|pid| Pid::from_raw(*pid)) {
        let _not_ours = rustix::process::waitpid(Some(orphan), WaitOptions::NOHANG);
    }
    let _restored = rustix::process::set_child_subreaper(None);
}
