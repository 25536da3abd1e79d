//! Where a hook waits to be struck, and how commands and processes end.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use rustix::fs::{CWD, FileType, Mode};

use crate::judge::LIMIT;

/// The fifo at which the hook of one kind waits, once it has left its mark.
pub struct Gate {
    fifo: PathBuf,
    pub mark: PathBuf,
    file: File,
}

impl Gate {
    pub fn new(data: &Path, kind: &str) -> Self {
        let fifo = data.join(kind);
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
        fs::set_permissions(&fifo, fs::Permissions::from_mode(0o666)).unwrap();
        let file = File::options().read(true).write(true).open(&fifo).unwrap();
        Self { fifo, mark: data.join("mark"), file }
    }

    pub fn await_hook(&self, child: &mut Child) -> Result<(), String> {
        let start = Instant::now();
        while !self.mark.exists() {
            if let Some(status) = child.try_wait().unwrap() {
                return Err(format!("no hook has run: {status}"));
            }
            if start.elapsed() > LIMIT {
                return Err("no hook runs".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// A line for the hook, and one for the process, which waits where a `poststart` hook does.
    pub fn open(&mut self) {
        self.file.write_all(b"go\ngo\n").unwrap();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        for file in [&self.fifo, &self.mark] {
            let _may_be_missing = fs::remove_file(file);
        }
    }
}

/// The children of a process.
pub fn children_of(child: &Child) -> Vec<Pid> {
    let pid = child.id();
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

/// Waits for the end of a command: its exit status, if it has one.
pub fn end(child: &mut Child) -> Result<Option<i32>, String> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        if let Some(status) = child.try_wait().unwrap() {
            return Ok(status.code());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    Err("the command hangs".into())
}

/// Whether a process has ended or is giving up what it has (PF_EXITING of the kernel's sched.h): the init
/// that made a hook is one of the two until it is reaped.
pub fn is_ending(pid: Pid) -> bool {
    const EXITING: u32 = 0x4;
    stat(pid).is_none_or(|(state, flags)| state == "Z" || flags & EXITING != 0)
}

/// State and flags of a process that there is (proc_pid_stat(5)).
fn stat(pid: Pid) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.nth(5)?.parse().ok()?))
}

/// Waits until a process has ended; a zombie has.
pub fn is_gone(pid: Pid) -> bool {
    let start = Instant::now();
    while stat(pid).is_some_and(|(state, _)| state != "Z") {
        if start.elapsed() > LIMIT {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}
