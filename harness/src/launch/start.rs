//! Opening the gate.

use init_core::failure::Phase;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::AsFd;
use rustix::io::Errno;

use super::handshake;
use crate::error::{Context, Error, Result};
use crate::state::{Directory, State, pin};

/// Starts a created container's process and returns once it has been executed.
pub fn start(directory: &Directory, state: &State) -> Result<()> {
    if !state.startable {
        return Err(Error::State(format!("container {:?} has no process to start", state.id)));
    }
    let stopped = || Error::State(format!("cannot start container {:?}: it has stopped", state.id));
    if state.pid == 0 {
        return Err(Error::State(format!("container {:?} is still being created", state.id)));
    }
    let process = pin(state)?.ok_or_else(stopped)?;
    let gate = match directory.open_gate() {
        Err(Error::Host { errno: Errno::NOENT, .. }) => return Err(running(&state.id)),
        gate => gate?,
    };
    if !directory.take_gate()? {
        return Err(running(&state.id));
    }
    // Init opens the fifo after its last word to `create`, so it may not be there yet; its end is
    // what must not be missed.
    let mut poll = [PollFd::new(&gate, PollFlags::IN), PollFd::new(&process, PollFlags::IN)];
    rustix::event::poll(&mut poll, None).host("poll", "exec.fifo")?;
    rustix::fs::fcntl_setfl(&gate, rustix::fs::OFlags::RDONLY).host("fcntl", "exec.fifo")?;
    let mut frame = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        // The fifo is close-on-exec in init: its end is the execve, or init's death.
        match rustix::io::read(gate.as_fd(), &mut buffer) {
            Ok(0) => break,
            Ok(count) => frame.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).host("read", "exec.fifo"),
        }
        if frame.len() > 2 * buffer.len() {
            return Err(Error::Protocol("too much in exec.fifo".into()));
        }
    }
    let phase = directory.phase();
    match frame.split_first() {
        Some((b'0', [])) if phase == Some(Phase::Exec) => Ok(()),
        Some((b'0', [])) | None => Err(Error::State(format!(
            "init of container {:?} ended in phase {} before its process was started",
            state.id,
            phase.map_or("unknown", Phase::name)
        ))),
        Some((b'0', rest)) => Err(Error::Init(handshake::failure(rest)?)),
        Some(_) => Err(Error::Protocol("garbage in exec.fifo".into())),
    }
}

fn running(id: &str) -> Error {
    Error::State(format!("cannot start container {id:?}: it is already running"))
}
