//! The seccomp listener: taken out of init, and given to whoever is to be notified
//! (runtime-spec, config-linux.md, "Container Process State").

use std::time::{Duration, Instant};

use init_core::sys::page::Page;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use rustix::process::PidfdGetfdFlags;
use serde_json::json;

use super::console;
use crate::error::{Context, Error, Result};
use crate::seccomp::Listener;
use crate::state::State;

/// Longest that init may take from the gate to its filter, and a listener to answer its execve.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often to look: init may make no call that would wake anybody.
const INTERVAL: Duration = Duration::from_micros(20);

/// A connection to the listener, made before the process is started.
pub struct Connection<'l> {
    socket: OwnedFd,
    listener: &'l Listener,
}

impl<'l> Connection<'l> {
    /// Connects to `listenerPath`.
    pub fn open(listener: &'l Listener) -> Result<Self> {
        let socket = console::connect(std::path::Path::new(&listener.path), "/linux/seccomp/listenerPath")?;
        Ok(Self { socket, listener })
    }

    /// Whoever listens may have to allow the very execve: waits for `end`, which shows it.
    pub fn await_answer(&self, end: &OwnedFd) -> Result<()> {
        let mut poll = [PollFd::new(end, PollFlags::IN)];
        let limit = Timespec { tv_sec: DEADLINE.as_secs() as i64, tv_nsec: 0 };
        match rustix::event::poll(&mut poll, Some(&limit)).host("poll", "for the execve")? {
            0 => Err(Error::config(
                "/linux/seccomp/listenerPath",
                format!("{}: execve is not answered within {} s", self.listener.path, DEADLINE.as_secs()),
            )),
            _ => Ok(()),
        }
    }

    /// Waits until init has loaded its filter, takes the listener from it, lets it go on, and hands
    /// the listener over with the process's state.
    pub fn serve(&self, page: &Page, process: &OwnedFd, pid: i32, state: &State, status: &str) -> Result<()> {
        let number = offered(page, process)?;
        let number = i32::try_from(number).map_err(|_| Error::Protocol("the listener's number".into()))?;
        let listener = rustix::process::pidfd_getfd(process, number, PidfdGetfdFlags::empty())
            .host("pidfd_getfd", "seccomp listener")?;
        page.take();
        let mut text = json!({
            "ociVersion": state.oci_version,
            "fds": ["seccompFd"],
            "pid": pid,
            "state": crate::verb::public_value(state, status),
        });
        if let Some(metadata) = Some(&self.listener.metadata).filter(|metadata| !metadata.is_empty()) {
            text["metadata"] = json!(metadata);
        }
        console::hand_over(&self.socket, text.to_string().as_bytes(), &listener, "to listenerPath")
    }
}

/// The listener's number in init's table; an error if init ends or dawdles instead.
fn offered(page: &Page, process: &OwnedFd) -> Result<u32> {
    let start = Instant::now();
    loop {
        if let Some(number) = page.offered() {
            return Ok(number);
        }
        let gone = crate::process::wait_gone(process, Some(crate::process::NOW))?;
        if gone || start.elapsed() > DEADLINE {
            return Err(Error::State("init has loaded no seccomp filter".into()));
        }
        std::thread::sleep(INTERVAL);
    }
}
