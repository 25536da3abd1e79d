//! The end of waiting.

use std::collections::HashSet;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Kills all tracees if it is not dropped in time, so that the tracer need not poll.
pub struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<bool>>,
}

impl Watchdog {
    pub fn new(live: Arc<Mutex<HashSet<i32>>>, limit: Duration) -> Self {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::spawn(move || {
            let late = stopped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                for pid in live.lock().unwrap().iter() {
                    let _may_be_gone = kill(Pid::from_raw(*pid), Signal::SIGKILL);
                }
            }
            late
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }

    pub fn has_bitten(mut self) -> bool {
        drop(self.stop.take());
        self.thread.take().is_some_and(|thread| thread.join().unwrap())
    }
}
