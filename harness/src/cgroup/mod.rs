//! The container's cgroup, through cgroupfs: made, limited, entered, removed.

pub mod devices;
mod freeze;
mod stats;
pub mod update;
mod v1;
mod v2;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::error::{Context, Error, Result};
use crate::plan::{Cgroup, Facts, Limit, Missing};
use crate::process::{PATIENCE, is_mapped, wait_gone};

pub use freeze::{freeze, is_frozen};
pub use stats::{oom_kills, stats};
pub use update::detach;

/// Where cgroup file systems are mounted.
pub const MOUNT: &str = "/sys/fs/cgroup";
/// `CGROUP_SUPER_MAGIC` of linux/magic.h.
const CGROUP_MAGIC: i64 = 0x0027_e0eb;
/// `CGROUP2_SUPER_MAGIC`.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// A cgroup that was made for a container, with what the child needs to enter it.
#[derive(Default)]
pub struct Made {
    /// Directories of the container that did not exist before.
    pub directories: Vec<PathBuf>,
    /// Directories made above those.
    above: Vec<PathBuf>,
    /// cgroup v2: where controllers are to be turned on once there is time.
    parents: Vec<PathBuf>,
    /// The way in.
    pub entry: Entry,
}

/// The way into a cgroup.
#[derive(Default)]
pub struct Entry {
    /// cgroup v2: the directory, for `CLONE_INTO_CGROUP`.
    pub unified: Option<OwnedFd>,
    /// cgroup v1: `tasks` of each hierarchy, for the child to write `0` to.
    pub tasks: Vec<OwnedFd>,
}

impl Entry {
    /// The way into a container's cgroups, or into one below them.
    pub fn open(directories: &[PathBuf], below: &str) -> Result<Self> {
        let mut entry = Self::default();
        for own in directories {
            let directory = own.join(below);
            // The container's own, since the one below may be missing.
            if is_unified(own) {
                entry.unified = Some(open_directory(&directory)?);
            } else {
                entry.tasks.push(open(&directory, "tasks", OFlags::WRONLY)?.0);
            }
        }
        Ok(entry)
    }

    /// What was opened.
    pub fn release(self) -> impl Iterator<Item = OwnedFd> {
        self.unified.into_iter().chain(self.tasks)
    }
}

fn magic(path: &Path) -> i64 {
    rustix::fs::statfs(path).map_or(0, |found| found.f_type)
}

/// Whether a directory lies on cgroup v2.
fn is_unified(directory: &Path) -> bool {
    magic(directory) == CGROUP2_MAGIC
}

/// Finds out which cgroup version is mounted, and which hierarchies.
pub fn facts() -> Result<Facts> {
    let mapped = is_mapped();
    if magic(Path::new(MOUNT)) == CGROUP2_MAGIC {
        return Ok(Facts { mapped, ..Facts::default() });
    }
    let text = std::fs::read_to_string("/proc/self/cgroup").host("read", "/proc/self/cgroup")?;
    let lists = text.lines().filter_map(|line| line.split(':').nth(1)).filter(|list| !list.is_empty());
    let names = lists.map(|list| list.strip_prefix("name=").unwrap_or(list).to_owned());
    let mut mounted: Vec<String> =
        names.filter(|name| magic(&Path::new(MOUNT).join(name)) == CGROUP_MAGIC).collect();
    mounted.sort_unstable();
    Ok(Facts { v1: Some(mounted), mapped, filter: None })
}

impl Made {
    /// Makes the cgroup and writes its limits; nothing is left where that fails.
    pub fn new(plan: &Cgroup, facts: &Facts) -> Result<Self> {
        let mut made = Self::default();
        let root = Path::new(MOUNT);
        let done = match &facts.v1 {
            Some(controllers) => v1::make(root, controllers, plan, &mut made),
            None => v2::make(root, plan, &mut made),
        };
        match done {
            Ok(()) => Ok(made),
            Err(error) => {
                made.undo();
                Err(error)
            }
        }
    }

    /// Turns the controllers on that only count.
    pub fn count(&self) -> Result<()> {
        v2::count(Path::new(MOUNT), &self.parents)
    }

    /// Removes what was made. What is in use by others stays.
    pub fn undo(&self) {
        for directory in &self.directories {
            let _stays_in_use = remove(directory, Others::Spare);
        }
        for directory in self.above.iter().rev() {
            let _stays_in_use = rustix::fs::rmdir(directory);
        }
    }

    /// Makes `path` below `root`, calls `entered` with each parent and child on the way, and notes
    /// what did not exist before. A leaf that exists with
    /// processes in it belongs to somebody else.
    fn directory(
        &mut self,
        root: &Path,
        path: &str,
        entered: &mut dyn FnMut(&Path, &Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let mut current = root.to_path_buf();
        let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            let parent = current.clone();
            current.push(part);
            let leaf = parts.peek().is_none();
            match rustix::fs::mkdir(&current, Mode::from_raw_mode(0o755)) {
                Ok(()) if leaf => self.directories.push(current.clone()),
                Ok(()) => self.above.push(current.clone()),
                Err(Errno::EXIST) if leaf => {
                    if !processes(&current)?.is_empty() {
                        return Err(Error::State(format!("cgroup {} is in use", current.display())));
                    }
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).host("mkdir", current.display()),
            }
            entered(&parent, &current)?;
        }
        Ok(current)
    }
}

/// Opens a file of a cgroup; the path is for messages.
fn open(directory: &Path, file: &str, flags: OFlags) -> Result<(OwnedFd, PathBuf)> {
    let path = directory.join(file);
    let handle =
        rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty()).host("open", path.display())?;
    Ok((handle, path))
}

/// Writes a file of a cgroup, in one write(2).
fn write(directory: &Path, file: &str, value: &str) -> Result<()> {
    let (handle, path) = open(directory, file, OFlags::WRONLY)?;
    std::fs::File::from(handle)
        .write_all(value.as_bytes())
        .host("write", format_args!("{value:?} to {}", path.display()))
}

/// Writes a limit; a value that the kernel refuses is a mistake of config.json.
fn write_limit(directory: &Path, limit: &Limit) -> Result<()> {
    let written = match (&limit.missing, write(directory, &limit.file, &limit.value)) {
        (Missing::Skip, Err(Error::Host { errno: Errno::NOENT, .. })) => Ok(()),
        (Missing::Instead(file, value), Err(Error::Host { errno: Errno::NOENT, .. })) => {
            write(directory, file, value)
        }
        (_, written) => written,
    };
    written.map_err(|error| Error::config(limit.pointer.as_str(), error.to_string()))
}

fn read(directory: &Path, file: &str) -> Result<String> {
    let (handle, path) = open(directory, file, OFlags::RDONLY)?;
    let mut text = String::new();
    std::fs::File::from(handle).read_to_string(&mut text).host("read", path.display())?;
    Ok(text)
}

/// The first bytes of a short file, in one read(2).
fn read_short(directory: &Path, file: &str) -> Result<String> {
    let (handle, path) = open(directory, file, OFlags::RDONLY)?;
    let mut buffer = [0; 512];
    let length = rustix::io::read(&handle, &mut buffer).host("read", path.display())?;
    Ok(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned())
}

/// The processes of a cgroup; none if it does not exist.
fn processes(directory: &Path) -> Result<Vec<Pid>> {
    let text = match read(directory, "cgroup.procs") {
        Err(Error::Host { errno: Errno::NOENT | Errno::NODEV, .. }) => return Ok(Vec::new()),
        text => text?,
    };
    Ok(text.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw).collect())
}

/// The cgroups below a directory, deepest first, itself last.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    if let Ok(entries) = std::fs::read_dir(directory) {
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            all.append(&mut tree(&entry.path()));
        }
    }
    all.push(directory.to_path_buf());
    all
}

/// Sends a signal to every process below `directory` and returns handles on them. A process is
/// pinned by its pidfd first and must still be listed then: a recycled pid is nobody's.
pub fn signal_all(directory: &Path, signal: i32) -> Result<Vec<OwnedFd>> {
    let mut pinned = Vec::new();
    for cgroup in tree(directory) {
        let mut candidates = Vec::new();
        for pid in processes(&cgroup)? {
            if let Ok(handle) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
                candidates.push((pid, handle));
            }
        }
        if candidates.is_empty() {
            continue;
        }
        let still = processes(&cgroup)?;
        for (pid, handle) in candidates.into_iter().filter(|(pid, _)| still.contains(pid)) {
            match crate::sys::send_signal(&handle, signal) {
                Ok(()) => pinned.push(handle),
                Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno).host("kill", pid.as_raw_nonzero()),
            }
        }
    }
    Ok(pinned)
}

/// What to do about processes that are still in a cgroup to be removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Kill them: the container had no pid namespace to take them along.
    Kill,
    /// They are not the container's: give up.
    Spare,
}

/// Removes a cgroup and those that the container made below it.
pub fn remove(directory: &Path, others: Others) -> Result<()> {
    // The last of a pid namespace may still be on its way out.
    const ATTEMPTS: u32 = 50;
    for attempt in 0..ATTEMPTS {
        let mut result = rustix::fs::rmdir(directory);
        if result == Err(Errno::BUSY) {
            for cgroup in tree(directory) {
                result = rustix::fs::rmdir(&cgroup);
            }
        }
        match result {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY) if others == Others::Kill => {
                for handle in signal_all(directory, Signal::KILL.as_raw())? {
                    wait_gone(&handle, Some(PATIENCE))?;
                }
            }
            Err(Errno::BUSY) if attempt > 0 => std::thread::sleep(std::time::Duration::from_millis(2)),
            Err(Errno::BUSY) => {}
            Err(errno) => return Err(errno).host("rmdir", directory.display()),
        }
    }
    Err(Error::State(format!("cgroup {} is in use by other processes", directory.display())))
}

/// Opens a directory as a handle.
fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
    rustix::fs::openat(CWD.as_fd(), path, flags, Mode::empty()).host("open", path.display())
}

/// Whether there may be a process in or below cgroups of version 2.
pub fn is_populated(directories: &[PathBuf]) -> Result<bool> {
    for directory in directories.iter().filter(|directory| is_unified(directory)) {
        let populated = match read_short(directory, "cgroup.events") {
            // The root has no such file, and is never empty.
            Err(Error::Host { errno: Errno::NOENT, .. }) => directory.exists(),
            text => text?.contains("populated 1"),
        };
        if populated {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The cgroup of version 2 that a process is in.
pub fn of_process(pid: i32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&path).host("read", &path)?;
    let below = text.lines().find_map(|line| line.strip_prefix("0::"));
    let below = below.ok_or_else(|| Error::file(&path, "names no cgroup of version 2"))?;
    open_directory(&Path::new(MOUNT).join(below.trim_start_matches('/')))
}

/// The processes of a container, of all cgroups below its first one.
pub fn members(directories: &[PathBuf]) -> Result<Vec<i32>> {
    let Some(first) = directories.first() else { return Ok(Vec::new()) };
    let mut pids = Vec::new();
    for cgroup in tree(first) {
        pids.extend(processes(&cgroup)?.into_iter().map(crate::process::number));
    }
    pids.sort_unstable();
    Ok(pids)
}

/// The directories that a cgroup has, one a hierarchy.
pub fn directories(plan: &Cgroup, facts: &Facts) -> Vec<PathBuf> {
    let below = |root: PathBuf| root.join(plan.path.trim_start_matches('/'));
    match &facts.v1 {
        None => vec![below(PathBuf::from(MOUNT))],
        Some(controllers) => controllers.iter().map(|name| below(Path::new(MOUNT).join(name))).collect(),
    }
}
