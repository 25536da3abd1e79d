//! Opening the gate.

use std::ffi::{CStr, CString};

use init_core::failure::Phase;
use init_core::sys::page::Page;
use init_core::wire::{HEADER_LENGTH, MAX_MESSAGE};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Signal;

use super::hooks::{self, World};
use super::listener::Connection;
use super::{Container, exec, handshake, notify};
use crate::error::{Context, Error, Result};
use crate::process::{NOW, PATIENCE, wait_gone};
use crate::spec::Hook;
use crate::state::{Directory, State, Status, pin};

/// Starts a created container's process and returns once it has been executed.
pub fn start(directory: &Directory, state: &State) -> Result<()> {
    if !state.startable {
        return Err(Error::State(format!("container {:?} has no process to start", state.id)));
    }
    let process =
        if state.pid == 0 { None } else { Some(pin(state)?.ok_or_else(|| stopped(directory, state))?) };
    let Some(process) = process.filter(|_| !state.creating) else {
        return Err(Error::State(format!("container {:?} is still being created", state.id)));
    };
    start_process(directory, state, &process, None, None)
}

/// The same for whoever has created it.
pub fn start_own(container: &mut Container) -> Result<()> {
    let Container { directory, state, pidfd, gate, page, .. } = container;
    match pidfd {
        Some(process) => start_process(directory, state, process, gate.take(), Some(*page)),
        None => start(directory, state),
    }
}

/// Starts `process`, behind a gate that may be open.
fn start_process(
    directory: &Directory,
    state: &State,
    process: &OwnedFd,
    gate: Option<OwnedFd>,
    page: Option<&'static Page>,
) -> Result<()> {
    // Whom the process will need is found before it runs.
    let connection = state.listener.as_ref().map(Connection::open).transpose()?;
    let relay = notify::Relay::open(directory.path())?;
    let hooks = state.hooks.clone().unwrap_or_default();
    let start_container = hooks.start_container.unwrap_or_default();
    // Of any number of callers one wins; the others leave the container alone.
    let gate = if gate.is_some() {
        // Another caller's start, if there was one, was for the same process.
        directory.take_gate()?;
        gate
    } else if start_container.is_empty() {
        Some(open(directory, state)?)
    } else if directory.reserve_gate()? {
        None
    } else {
        return Err(taken(directory, state));
    };
    let started = (|| {
        let gate = match gate {
            Some(gate) => gate,
            None => {
                // With init a hook in its pid namespace is killed as well, and before init is dead.
                run_inside(state, &start_container)
                    .map_err(|error| if is_ending(state.pid) { stopped(directory, state) } else { error })?;
                directory.open_reserved_gate()?
            }
        };
        // Mapped while init goes on, and not once it has.
        let page = page.map_or_else(|| directory.page(), Ok)?;
        pass(page, state, process, &gate, connection.as_ref())?;
        let poststart = hooks.poststart.unwrap_or_default();
        hooks::run("poststart", &poststart, state, "running", World::Runtime)
    })();
    if let Err(error) = started {
        stop(state, process);
        return Err(error);
    }
    match relay {
        Some(relay) => relay.serve(process, state.pid),
        None => Ok(()),
    }
}

/// Opens the gate and takes it away.
fn open(directory: &Directory, state: &State) -> Result<OwnedFd> {
    let gate = match directory.open_gate() {
        Err(Error::Host { errno: Errno::NOENT, .. }) => return Err(taken(directory, state)),
        gate => gate?,
    };
    if directory.take_gate()? { Ok(gate) } else { Err(taken(directory, state)) }
}

/// Whether a process is dead, or so far that it has left its namespaces.
fn is_ending(pid: i32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/ns/mnt")).is_err()
}

/// `startContainer` hooks: the container's own programs, as whom its process is to be.
fn run_inside(state: &State, hooks: &[Hook]) -> Result<()> {
    for (index, hook) in hooks.iter().enumerate() {
        let text = |text: &String| CString::new(text.as_str()).unwrap_or_default();
        // argv[0] is what is looked up; a hook's own choice of it has no effect here.
        let rest = hook.args.iter().flatten().skip(1).map(text);
        let args: Vec<CString> = std::iter::once(text(&hook.path)).chain(rest).collect();
        let env: Vec<CString> = hook.env.iter().flatten().map(text).collect();
        let args: Vec<&CStr> = args.iter().map(CString::as_c_str).collect();
        let env: Vec<&CStr> = env.iter().map(CString::as_c_str).collect();
        let failed = |reason: String| {
            Error::State(format!("startContainer hook #{} {}: {reason}", index + 1, hook.path))
        };
        let input = hooks::state_file(state, "created", true)?;
        let process = hooks::with_input(&input, || exec::run_hook(state, &args, &env))
            .map_err(|error| failed(error.to_string()))?;
        let limit = hook.timeout.map(|tv_sec| rustix::event::Timespec { tv_sec, tv_nsec: 0 });
        if !wait_gone(&process, limit)? {
            let _gone = rustix::process::pidfd_send_signal(&process, Signal::KILL);
            let _reaped = exec::status(&process);
            return Err(failed(format!("timed out after {} s", hook.timeout.unwrap_or_default())));
        }
        match exec::status(&process)? {
            0 => {}
            status => return Err(failed(format!("exit status {status}"))),
        }
    }
    Ok(())
}

/// A container whose start has failed does not go on: it may wait for a listener, or run by now.
fn stop(state: &State, process: &OwnedFd) {
    let served = state.hooks.is_some() || state.listener.is_some();
    if served && rustix::process::pidfd_send_signal(process, Signal::KILL).is_ok() {
        let _gone = wait_gone(process, Some(PATIENCE));
    }
}

/// Waits for the execve behind the open gate.
fn pass(
    page: &'static Page,
    state: &State,
    process: &OwnedFd,
    gate: &OwnedFd,
    connection: Option<&Connection<'_>>,
) -> Result<()> {
    // Init opens the fifo after its last word to `create`, so it may not be there yet; its end is
    // what must not be missed. Without a listener nothing is to be done before the fifo's end, and so
    // for its first byte nobody wakes up.
    let first = if connection.is_some() { PollFlags::IN } else { PollFlags::empty() };
    // Another caller, who has opened the fifo as well, may have let init through before this one opened it:
    // to a reader who has never seen a writer, poll(2) tells no end of file.
    let mut gone = page.phase() != Some(Phase::Exec) && wait(gate, first, process)?;
    if connection.is_some() {
        rustix::fs::fcntl_setfl(gate, rustix::fs::OFlags::RDONLY).host("fcntl", "exec.fifo")?;
    }
    let mut frame = Vec::new();
    // On the stack, each page of which costs a fault.
    let mut buffer = [0; 512];
    let mut served = Ok(());
    loop {
        // The fifo is close-on-exec in init: its end is the execve, or init's death.
        match rustix::io::read(gate.as_fd(), &mut buffer) {
            Ok(0) => break,
            Ok(count) => frame.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => continue,
            // The kernel may take init for gone while it opens the fifo: it looks at two counters of
            // writers without the lock under which both are raised (fs/pipe.c, `pipe_poll`).
            Err(Errno::AGAIN) if !gone => {
                gone = wait(gate, first, process)?;
                continue;
            }
            Err(errno) => return Err(errno).host("read", "exec.fifo"),
        }
        if frame.len() > HEADER_LENGTH + MAX_MESSAGE {
            return Err(Error::Protocol("too much in exec.fifo".into()));
        }
        if let Some(connection) = connection.filter(|_| frame == b"0") {
            served = connection
                .serve(page, process, state.pid, state, Status::Created.name())
                .and_then(|()| connection.await_answer(gate));
            if served.is_err() && rustix::process::pidfd_send_signal(process, Signal::KILL).is_err() {
                break;
            }
        }
    }
    judge(page, state, process, &frame).and(served)
}

/// Waits for what is asked for or the end of the fifo; whether the process has ended.
fn wait(gate: &OwnedFd, events: PollFlags, process: &OwnedFd) -> Result<bool> {
    let mut poll = [PollFd::new(gate, events), PollFd::new(process, PollFlags::IN)];
    rustix::event::poll(&mut poll, None).host("poll", "exec.fifo")?;
    let [_, process] = poll;
    Ok(!process.revents().is_empty())
}

/// What came through the fifo, and what the page says.
fn judge(page: &Page, state: &State, process: &OwnedFd, frame: &[u8]) -> Result<()> {
    let phase = page.phase();
    match frame.split_first() {
        // Without a filter init would have said in the fifo that it has failed.
        Some((b'0', [])) if phase == Some(Phase::Exec) => exec::executed(page),
        // Another caller, who has let it through, has read what it said.
        None if phase == Some(Phase::Exec) && !wait_gone(process, Some(NOW))? => exec::executed(page),
        Some((b'0', [])) | None => Err(Error::State(format!(
            "init of container {:?} ended in phase {} before its process was started",
            state.id,
            phase.map_or("unknown", Phase::name)
        ))),
        Some((b'0', rest)) => Err(Error::Init(handshake::failure(rest)?)),
        Some(_) => Err(Error::Protocol("garbage in exec.fifo".into())),
    }
}

fn stopped(directory: &Directory, state: &State) -> Error {
    let begun = directory.phase().filter(|phase| *phase != Phase::Exec);
    let place = begun.map(|phase| format!(", in phase {} of init", phase.name())).unwrap_or_default();
    Error::State(format!("cannot start container {:?}: it has stopped{place}", state.id))
}

/// Why there is no gate.
fn taken(directory: &Directory, state: &State) -> Error {
    let reason = match directory.status(state) {
        Status::Created => "its startContainer hooks run, or were cut off (delete --force)",
        _ => "it is already running",
    };
    Error::State(format!("cannot start container {:?}: {reason}", state.id))
}
