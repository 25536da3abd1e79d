//! The state directory: one directory a container, its state as JSON, the start gate.
//!
//! `mkdirat` claims an id, so one of any number of callers wins. The state is written before the
//! first resource is made, so that whatever happens `delete --force` can find and remove it.

use std::ffi::CString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use init_core::failure::Phase;
use init_core::sys::page::{PAGE_LENGTH, Page};
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::launch::{notify, rdt};
use crate::process::Birth;
use crate::seccomp::Listener;
use crate::spec::Hooks;
use crate::sys::ProgramName;

/// What is stored about a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools)] // Facts, each its own.
pub struct State {
    /// Version of the runtime-spec.
    pub oci_version: String,
    /// Id.
    pub id: String,
    /// Process; 0 until there is one.
    pub pid: i32,
    /// Whether `create` is still at work on it: what it will be is not in force yet.
    #[serde(skip)]
    pub creating: bool,
    /// What tells the process from others with its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth: Option<Birth>,
    /// The same as builds before `birth` had it.
    #[serde(default, skip_serializing)]
    pub start_time: Option<u64>,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// Annotations of config.json.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub annotations: std::collections::BTreeMap<String, String>,
    /// Root file system.
    pub rootfs: String,
    /// When it was created, in nanoseconds since 1970.
    pub created: u64,
    /// Who created it.
    pub owner: u32,
    /// Whether config.json had a process: without one there is nothing to start.
    pub startable: bool,
    /// Its cgroup directories.
    pub cgroups: Vec<PathBuf>,
    /// Those of them that were made for it: they go with it.
    pub made: Vec<PathBuf>,
    /// Whether its processes end with the first one.
    pub pid_namespace: bool,
    /// `CLONE_NEW*` of the namespaces that it does not share with the host.
    #[serde(default)]
    pub namespaces: u32,
    /// Whether it has a limit of memory.
    #[serde(default, skip_serializing_if = "is_false")]
    pub memory_limit: bool,
    /// Whether it keeps the caller's session keyring.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_new_keyring: bool,
    /// Hooks for `start` and `delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// What every process of it has, and with `startContainer` hooks the whole first one: a
    /// `Process` as init takes it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub process: String,
    /// Whether it has a seccomp filter.
    #[serde(default, skip_serializing_if = "is_false")]
    pub seccomp: bool,
    /// Who is notified by its seccomp filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<Listener>,
    /// What it uses of resctrl.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt: Option<rdt::Made>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
fn is_false(value: &bool) -> bool {
    !value
}

/// What a container is doing (runtime-spec, runtime.md, "State").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `create` has not finished.
    Creating,
    /// The process waits for `start`.
    Created,
    /// The process runs.
    Running,
    /// All its processes are stopped (`pause`).
    Paused,
    /// The process has ended.
    Stopped,
}

impl Status {
    /// The word of the specification.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// `TMPFS_MAGIC` of linux/magic.h.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// The file names of a container's directory.
const STATE: &str = "state.json";
const FIFO: &str = "exec.fifo";
const NEW: &str = "state.json.new";
const PAGE: &str = "page";
const FILTER: &str = "seccomp";
const RESERVED: &str = "exec.fifo.taken";
const PROGRAM: &str = "device-programs";

/// Holds an id against `[A-Za-z0-9_][A-Za-z0-9_.+-]{0,254}`.
pub fn check_id(id: &str) -> Result<&str> {
    let wrong = |reason: &str| Err(Error::Usage(format!("invalid id {id:?}: {reason}")));
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match id.as_bytes() {
        [] => wrong("empty"),
        bytes if bytes.len() > 255 => Err(Error::Usage("invalid id: longer than 255 bytes".into())),
        [first, ..] if !word(*first) => wrong("must begin with a letter, a digit or _"),
        bytes if !bytes.iter().all(|byte| word(*byte) || b".+-".contains(byte)) => {
            wrong("only letters, digits, and _ . + - are allowed")
        }
        _ => Ok(id),
    }
}

/// The `--root` directory.
pub struct Store {
    path: PathBuf,
    handle: OwnedFd,
    owner: u32,
}

/// A container's directory.
pub struct Directory {
    /// Its path.
    pub path: PathBuf,
    handle: OwnedFd,
}

impl Store {
    /// Opens the directory, made (mode 0700) where it is missing.
    pub fn make(path: &Path) -> Result<Self> {
        match Self::open(path) {
            Err(Error::Host { errno: Errno::NOENT, .. }) => {}
            store => return store,
        }
        std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700)
            .create(path)
            .host("mkdir", path.display())?;
        Self::open(path)
    }

    /// Opens the directory. It must be the caller's and nobody else's to write.
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).host("resolve", path.display())?;
        let handle = rustix::fs::open(&path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .host("open", path.display())?;
        let found = rustix::fs::fstat(&handle).host("stat", path.display())?;
        if found.st_uid != crate::sys::effective_uid() {
            return Err(Error::file(&path, "belongs to another user"));
        }
        if found.st_mode & 0o022 != 0 {
            return Err(Error::file(&path, "is writable by other users"));
        }
        Ok(Self { path, handle, owner: found.st_uid })
    }

    /// Whose it is: the caller's.
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor.
    pub fn release(self) -> OwnedFd {
        self.handle
    }

    /// The ids of all containers, sorted.
    pub fn ids(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.path).host("read", self.path.display())?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut ids: Vec<String> = names.filter(|name| check_id(name).is_ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Claims an id. Mode 0711: init, with ids of its own in a user namespace, must reach the fifo
    /// through the descriptor it inherits; the store itself is closed to others.
    pub fn claim(&self, id: &str) -> Result<Directory> {
        match rustix::fs::mkdirat(&self.handle, id, Mode::from_raw_mode(0o711)) {
            Ok(()) => self.find(id),
            Err(Errno::EXIST) => Err(Error::State(format!("container {id:?} already exists"))),
            Err(errno) => Err(errno).host("mkdir", self.path.join(id).display()),
        }
    }

    /// Finds a container's directory.
    pub fn find(&self, id: &str) -> Result<Directory> {
        let path = self.path.join(id);
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.handle, id, flags, Mode::empty()) {
            Ok(handle) => Ok(Directory { path, handle }),
            Err(Errno::NOENT) => Err(missing(id)),
            Err(errno) => Err(errno).host("open", path.display()),
        }
    }
}

/// Finds a container below `root`, which need not exist.
pub fn find(root: &Path, id: &str) -> Result<Directory> {
    match Store::open(root) {
        Err(Error::Host { errno: Errno::NOENT, .. }) => Err(missing(id)),
        store => store?.find(id),
    }
}

fn missing(id: &str) -> Error {
    Error::State(format!("container does not exist: {id:?}"))
}

impl Directory {
    /// Makes the fifo at which init waits for `start`.
    pub fn make_gate(&self) -> Result<()> {
        rustix::fs::mknodat(&self.handle, FIFO, FileType::Fifo, Mode::from_raw_mode(0o622), 0)
            .host("mkfifo", self.path.join(FIFO).display())
    }

    /// Makes the page on which init says how far it is.
    pub fn make_page(&self) -> Result<(OwnedFd, &'static Page)> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let place = self.path.join(PAGE);
        let page = rustix::fs::openat(&self.handle, PAGE, flags, Mode::from_raw_mode(0o600))
            .host("create", place.display())?;
        rustix::fs::ftruncate(&page, PAGE_LENGTH as u64).host("truncate", place.display())?;
        let map = init_core::sys::map_page(&page).host("mmap", place.display())?;
        Ok((page, map))
    }

    /// Writes the first state. The file is to be closed some time.
    pub fn store(&self, state: &State) -> Result<OwnedFd> {
        self.write(state, STATE)
    }

    /// Writes the state that `publish` puts in force, as a new file. It is to be closed some time.
    pub fn prepare(&self, state: &State) -> Result<OwnedFd> {
        self.write(state, NEW)
    }

    /// Puts the new state in the place of the one before.
    pub fn publish(&self) -> Result<()> {
        let place = self.path.join(NEW);
        rustix::fs::renameat(&self.handle, NEW, &self.handle, STATE).host("rename", place.display())
    }

    fn write(&self, state: &State, name: &str) -> Result<OwnedFd> {
        let text = serde_json::to_vec(state).map_err(|error| Error::file(&self.path, error.to_string()))?;
        self.put(name, OFlags::EXCL, &text)
    }

    /// Writes a file that must be new (`EXCL`), or takes the place of an older one (`TRUNC`).
    fn put(&self, name: &str, how: OFlags, text: &[u8]) -> Result<OwnedFd> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | how;
        let place = self.path.join(name);
        let file = rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(0o600))
            .host("create", place.display())?;
        let mut file = std::fs::File::from(file);
        file.write_all(text).host("write", place.display())?;
        Ok(file.into())
    }

    /// What is in a file, if there is one.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let place = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            file => file.host("open", place.display())?,
        };
        let mut text = Vec::new();
        std::fs::File::from(file).read_to_end(&mut text).host("read", place.display())?;
        Ok(Some(text))
    }

    /// Keeps the seccomp filter for `exec`: a bundle may change, a container's filter does not.
    pub fn store_filter(&self, section: &[u8]) -> Result<()> {
        self.put(FILTER, OFlags::EXCL, section).map(drop)
    }

    /// The container's seccomp filter, as init takes it.
    pub fn filter(&self) -> Result<Option<Vec<u8>>> {
        self.get(FILTER)
    }

    /// Keeps the names of the container's device programs on a cgroup that was there before, and stays.
    pub fn store_programs(&self, programs: &[ProgramName]) -> Result<()> {
        let text: String = programs.iter().map(|name| format!("{} {}\n", name.id, name.load_time)).collect();
        self.put(PROGRAM, OFlags::TRUNC, text.as_bytes()).map(drop)
    }

    /// The names of those programs.
    pub fn programs(&self) -> Result<Vec<ProgramName>> {
        let text = String::from_utf8(self.get(PROGRAM)?.unwrap_or_default())
            .map_err(|error| Error::file(self.path.join(PROGRAM), format!("damaged: {error}")))?;
        let name = |line: &str| {
            let (id, load_time) = line.split_once(' ')?;
            Some(ProgramName { id: id.parse().ok()?, load_time: load_time.parse().ok()? })
        };
        // A last line that is not whole was written before its program was attached.
        Ok(text.lines().map_while(name).collect())
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing of it outlives the boot.
    pub fn is_volatile(&self) -> bool {
        rustix::fs::fstatfs(&self.handle).is_ok_and(|found| found.f_type == TMPFS_MAGIC)
    }

    /// The page shared with init, as another process sees it.
    pub fn page(&self) -> Result<&'static Page> {
        let place = self.path.join(PAGE);
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file =
            rustix::fs::openat(&self.handle, PAGE, flags, Mode::empty()).host("open", place.display())?;
        init_core::sys::map_page(&file).host("mmap", place.display())
    }

    /// Reads the state. As long as `create` is at work, that is the one it has prepared, if any, so
    /// that there is a process to kill.
    pub fn load(&self) -> Result<State> {
        let state = self.read(STATE)?;
        if state.pid != 0 || !state.startable {
            return Ok(state);
        }
        // One that is not there yet, or not whole, is not known to anybody.
        let prepared = self.read(NEW).unwrap_or(state);
        Ok(State { creating: true, ..prepared })
    }

    fn read(&self, name: &str) -> Result<State> {
        let place = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file =
            rustix::fs::openat(&self.handle, name, flags, Mode::empty()).host("open", place.display())?;
        let mut text = Vec::with_capacity(4096);
        // A file of ours: it has ended where a read comes back short.
        loop {
            text.reserve(1);
            let more = rustix::io::read(&file, spare_capacity(&mut text)).host("read", place.display())?;
            if more == 0 || text.len() < text.capacity() {
                break;
            }
        }
        let mut state: State = serde_json::from_slice(&text)
            .map_err(|error| Error::file(&place, format!("damaged: {error}")))?;
        state.birth = state.birth.or(state.start_time.map(Birth::Time));
        if state.pid < 0 || state.pid == 1 || state.pid != 0 && state.birth.is_none() {
            return Err(Error::file(&place, format!("damaged: pid {}", state.pid)));
        }
        Ok(state)
    }

    /// What the container is doing.
    pub fn status(&self, state: &State) -> Status {
        if !state.startable {
            return Status::Created;
        }
        if state.pid == 0 {
            return Status::Creating;
        }
        if !matches!(pin(state), Ok(Some(_))) {
            return Status::Stopped;
        }
        if state.creating {
            return Status::Creating;
        }
        let there = |name| rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if there(FIFO) || state.hooks.is_some() && there(RESERVED) {
            Status::Created
        } else if crate::cgroup::is_frozen(&state.cgroups).unwrap_or(false) {
            Status::Paused
        } else {
            Status::Running
        }
    }

    /// The start gate, opened without waiting for init.
    pub fn open_gate(&self) -> Result<OwnedFd> {
        self.open_file(FIFO)
    }

    fn open_file(&self, name: &str) -> Result<OwnedFd> {
        let place = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let gate =
            rustix::fs::openat(&self.handle, name, flags, Mode::empty()).host("open", place.display())?;
        let found = rustix::fs::fstat(&gate).host("stat", place.display())?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Fifo
            || found.st_uid != crate::sys::effective_uid()
        {
            return Err(Error::file(&place, "not the fifo that create made"));
        }
        Ok(gate)
    }

    /// Takes the gate without opening it; `false` if somebody else has.
    pub fn reserve_gate(&self) -> Result<bool> {
        match rustix::fs::renameat(&self.handle, FIFO, &self.handle, RESERVED) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno).host("rename", self.path.join(FIFO).display()),
        }
    }

    /// Opens the gate that was taken, and removes it.
    pub fn open_reserved_gate(&self) -> Result<OwnedFd> {
        let gate = self.open_file(RESERVED)?;
        rustix::fs::unlinkat(&self.handle, RESERVED, AtFlags::empty())
            .host("unlink", self.path.join(RESERVED).display())?;
        Ok(gate)
    }

    /// Removes the gate; `false` if somebody else has.
    pub fn take_gate(&self) -> Result<bool> {
        match rustix::fs::unlinkat(&self.handle, FIFO, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno).host("unlink", self.path.join(FIFO).display()),
        }
    }

    /// How far init says it is: the first word of the shared page.
    pub fn phase(&self) -> Option<Phase> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let page = rustix::fs::openat(&self.handle, PAGE, flags, Mode::empty()).ok()?;
        let mut word = [0; 4];
        let length = rustix::io::read(&page, &mut word).ok()?;
        Phase::from_code(u32::from_ne_bytes(word)).filter(|_| length == word.len())
    }

    /// Removes the directory and what `create` and `start` put there.
    pub fn remove(&self) -> Result<()> {
        let present = self.names()?;
        let is_there = |name: &str| present.iter().any(|found| found.as_bytes() == name.as_bytes());
        if is_there(notify::DIRECTORY) {
            notify::remove(&self.path)?;
        }
        for name in
            [FIFO, RESERVED, PAGE, FILTER, PROGRAM, STATE, NEW].into_iter().filter(|name| is_there(name))
        {
            match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno).host("unlink", self.path.join(name).display()),
            }
        }
        match rustix::fs::rmdir(&self.path) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno).host("rmdir", self.path.display()),
        }
    }

    /// What is in it. It has few of its possible files, and a look costs less than a try for each.
    fn names(&self) -> Result<Vec<CString>> {
        rustix::fs::seek(&self.handle, SeekFrom::Start(0)).host("seek", self.path.display())?;
        let mut buffer = Vec::with_capacity(1024);
        let mut entries = RawDir::new(&self.handle, buffer.spare_capacity_mut());
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => names.push(entry.file_name().to_owned()),
                // Somebody else has removed it.
                Err(Errno::NOENT) => break,
                Err(errno) => return Err(errno).host("read", self.path.display()),
            }
        }
        Ok(names)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// A handle on the container's process, proved to be the one that was started: the pidfd pins
/// it, then it is looked at. `None` once it has ended.
pub fn pin(state: &State) -> Result<Option<OwnedFd>> {
    let (Some(pid), Some(birth)) = (Pid::from_raw(state.pid), state.birth) else { return Ok(None) };
    let handle = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(None),
        handle => handle.host("pidfd_open", state.pid)?,
    };
    Ok(birth.is_of(&handle, state.pid)?.then_some(handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_before_the_file_system_is_touched() {
        let long = "a".repeat(255);
        for good in ["a", "0", "_x", "a.b", "a+b-c_d", long.as_str()] {
            assert_eq!(check_id(good).unwrap(), good);
        }
        for bad in ["", ".", "..", "a/b", "../x", "-a", ".a", "ä", "a b", "a\n", &"a".repeat(256)] {
            check_id(bad).unwrap_err();
        }
    }
}
