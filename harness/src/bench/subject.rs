//! A runtime under test: its command lines, timed.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};

use super::arena::Arena;
use crate::error::{Context, Error, Result};
use crate::sys::{self, Usage};

/// A runtime.
pub struct Runtime {
    /// What it is called in the report.
    pub name: String,
    /// The program.
    pub path: PathBuf,
    /// First line of `--version`.
    pub version: String,
    /// Its `--root`.
    pub root: PathBuf,
}

/// One command: how long from spawn to the end of wait, and what it used.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The process that carried it out.
    pub pid: i32,
    /// Milliseconds.
    pub milliseconds: f64,
    /// What the kernel counted.
    pub usage: Usage,
}

/// Spawns (posix_spawn) and waits (a blocking wait4).
pub fn call(command: &mut Command) -> Result<Call> {
    command.process_group(0);
    let began = Instant::now();
    let child = command.spawn().host("spawn", command.get_program().display())?;
    let pid = child.id() as i32;
    let usage = sys::wait_usage(pid).host("wait", command.get_program().display())?;
    Ok(Call { pid, milliseconds: began.elapsed().as_secs_f64() * 1e3, usage })
}

impl Runtime {
    /// A runtime with an empty state directory in the arena.
    pub fn new(name: &str, path: &Path, arena: &Arena) -> Result<Self> {
        let output = Command::new(path).arg("--version").output().host("run", path.display())?;
        let version = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
        let root = arena.path.join("state").join(name);
        std::fs::create_dir_all(&root).host("mkdir", root.display())?;
        Ok(Self { name: name.to_owned(), path: path.to_path_buf(), version, root })
    }

    /// The program with `--root` and `arguments`; its container inherits the streams.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(&self.path);
        command.arg("--root").arg(&self.root).args(arguments);
        let errors = self.errors();
        let file = File::create(&errors).host("create", errors.display())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        Ok(command)
    }

    fn errors(&self) -> PathBuf {
        self.root.with_extension("stderr")
    }

    /// Runs a command; a failure is an error with what the runtime said last.
    pub fn call(&self, arguments: &[&str]) -> Result<Call> {
        let done = call(&mut self.command(arguments)?)?;
        if done.usage.status == 0 {
            return Ok(done);
        }
        let text = std::fs::read_to_string(self.errors()).unwrap_or_default();
        let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        let verb = arguments.first().copied().unwrap_or_default();
        Err(Error::State(format!("{} {verb}: status {}: {line}", self.name, done.usage.status)))
    }

    /// `create`; the call and the container's pid.
    pub fn create(&self, bundle: &Path, id: &str) -> Result<(Call, i32)> {
        self.create_with(&[], bundle, id)
    }

    /// `create` with more options.
    pub fn create_with(&self, extra: &[&str], bundle: &Path, id: &str) -> Result<(Call, i32)> {
        let pid_file = self.root.with_extension(format!("{id}.pid"));
        let common = ["--bundle", text(bundle)?, "--pid-file", text(&pid_file)?, id];
        let arguments: Vec<&str> = ["create"].iter().chain(extra).chain(&common).copied().collect();
        let done = self.call(&arguments)?;
        let pid = std::fs::read_to_string(&pid_file).host("read", pid_file.display())?;
        let _small = std::fs::remove_file(&pid_file);
        let pid = pid.trim().parse();
        Ok((done, pid.map_err(|_| Error::file(&pid_file, "not a pid"))?))
    }

    /// `run` of a container whose process ends by itself.
    pub fn run(&self, bundle: &Path, id: &str) -> Result<Call> {
        self.call(&["run", "--bundle", text(bundle)?, id])
    }

    /// Removes every container that is left.
    pub fn clear(&self) {
        let Ok(entries) = std::fs::read_dir(&self.root) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            // No id begins with a dot; what does is the runtime's own.
            if let Some(id) = name.to_str().filter(|name| !name.starts_with('.')) {
                // What it cannot delete goes with its cgroup.
                let _swept_later = self.call(&["delete", "--force", id]);
            }
        }
    }
}

/// A path of the arena as an argument.
fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::file(path, "not UTF-8"))
}

/// Makes this process the parent of every container's, as a shim is: the host's process 1 may take
/// its time, and dead processes that nobody has waited for weigh on those that come after.
pub fn adopt_orphans() -> Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).host("prctl", "subreaper")
}

/// Waits for the end of a container's process.
pub fn wait_for(pid: i32) -> Result<()> {
    match rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::empty()) {
        Ok(_) | Err(Errno::CHILD) => Ok(()),
        Err(errno) => Err(errno).host("wait", pid),
    }
}

/// Waits for every orphan that has ended.
pub fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}
