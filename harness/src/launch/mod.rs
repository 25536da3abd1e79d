//! From a plan to a container that waits for `start`.
//!
//! The order is that of `init/PROTOCOL.md`: what init does not depend on is done while it works.

mod bundle;
mod child;
mod handshake;
pub mod image;
mod namespaces;
mod sources;
pub mod start;
pub mod template;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bumpalo::Bump;
use init_core::sys::page::Page;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{PidfdFlags, Signal, WaitId, WaitIdOptions};

use crate::cgroup::{self, Made};
use crate::error::{Context, Error, Result};
use crate::plan::{Kind, Launch, Plan};
use crate::process::{number, start_time};
use crate::state::{Directory, State, Store};
use crate::sys;

pub use bundle::Bundle;

/// Oldest kernel: openat2, `mount_setattr`, `CLONE_INTO_CGROUP`, `close_range` are all there.
const KERNEL: (u32, u32) = (5, 12);

/// What `create` was asked for.
#[derive(Default)]
pub struct Options {
    /// Where to write the pid.
    pub pid_file: Option<PathBuf>,
    /// Stamp the phases of init.
    pub timing: bool,
    /// Return to the harness's own network namespace afterwards.
    pub return_network: bool,
}

/// A created container.
pub struct Container {
    /// Its state.
    pub state: State,
    /// Its directory.
    pub directory: Directory,
    /// Its process; none where config.json has none.
    pub pidfd: Option<OwnedFd>,
    /// How far init is.
    pub page: &'static Page,
    /// What the launch had open: closed by the end of the process, or by `settle`.
    open: Vec<OwnedFd>,
}

impl Container {
    /// Closes what only the launch needed; for those who go on living.
    pub fn settle(&mut self) {
        self.open.clear();
    }
}

/// Everything that has been made so far; dropped before it is finished, it takes all of it back.
struct Rollback {
    directory: Option<Directory>,
    cgroup: Made,
    child: Option<OwnedFd>,
}

impl Rollback {
    /// The container stands: nothing is taken back any more.
    fn finish(mut self, state: State, page: &'static Page, mut open: Vec<OwnedFd>) -> Result<Container> {
        let directory = self.directory.take().ok_or_else(|| Error::State("nothing was created".into()))?;
        let cgroup = std::mem::take(&mut self.cgroup);
        open.extend(cgroup.unified);
        open.extend(cgroup.tasks);
        Ok(Container { state, directory, pidfd: self.child.take(), page, open })
    }
}

impl Drop for Rollback {
    fn drop(&mut self) {
        // The error that led here is what the user sees; what cannot be undone is left to `delete`.
        if let Some(child) = &self.child {
            let _gone = rustix::process::pidfd_send_signal(child, Signal::KILL);
            let _reaped = rustix::process::waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED);
        }
        if let Some(directory) = &self.directory {
            self.cgroup.undo();
            let _left = directory.remove();
        }
    }
}

/// Creates a container: the plan, what it is made from, then init.
pub fn create(root: &Path, id: &str, bundle: &Bundle, options: &Options) -> Result<Container> {
    check_kernel()?;
    let spec = bundle.parse()?;
    let facts = cgroup::facts()?;
    let arena = Bump::new();
    let mut plan = Plan::new(&arena, &spec, id, &facts)?;
    for warning in &plan.warnings {
        eprintln!("warning: {warning}");
    }
    let mut sources = sources::open(&arena, &plan, bundle)?;
    if plan.namespaces.is_new(Kind::User)
        && !sources.privileged
        && let Some(process) = &mut plan.process
    {
        crate::plan::without_groups(process, &plan.namespaces)?;
    }
    if !sources.privileged {
        // Loading a policy takes privileges that making device nodes takes as well.
        plan.cgroup.devices.clear();
    }
    let joined = namespaces::open(&plan)?;
    let store = Store::make(root)?;
    let mut rollback = Rollback { directory: Some(store.claim(id)?), cgroup: Made::default(), child: None };
    let directory = rollback.directory.as_ref().ok_or_else(nothing)?;
    let mut state = describe(&plan, id, bundle);
    state.cgroups = cgroup::directories(&plan.cgroup, &facts);
    // A forecast, for `delete` after a create that does not come back; then the truth.
    state.made = state.cgroups.iter().filter(|path| !path.exists()).cloned().collect();
    directory.store(&state, true)?;
    match Made::new(&plan.cgroup, &facts) {
        Ok(made) => {
            state.made.clone_from(&made.directories);
            rollback.cgroup = made;
        }
        // An ordinary user who asked for no limits gets a container without a cgroup.
        Err(_) if !sources.privileged && !plan.cgroup.explicit && plan.cgroup.limits.is_empty() => {
            state.cgroups.clear();
            state.made.clear();
        }
        Err(error) => return Err(error),
    }
    sources.open_own_cgroup()?;
    let (page_file, page) = directory.furnish()?;
    if plan.process.is_none() {
        // Created, and never to be started (runtime-spec, config.md, "Process").
        state.startable = false;
        directory.store(&state, false)?;
        return rollback.finish(state, page, vec![page_file]);
    }
    let way = child::Way::choose(&store, &plan, sources.privileged)?;
    init(Work { plan, sources, joined, way, state, page_file, page }, rollback, options)
}

fn nothing() -> Error {
    Error::State("nothing was created".into())
}

/// What a container is made from.
struct Work<'w> {
    plan: Plan<'w>,
    sources: sources::Sources<'w>,
    joined: Vec<(OwnedFd, Kind)>,
    way: child::Way,
    state: State,
    page_file: OwnedFd,
    page: &'static Page,
}

/// Starts init and sees it through to `Done`.
fn init(work: Work<'_>, mut rollback: Rollback, options: &Options) -> Result<Container> {
    let Work { plan, sources, joined, way, mut state, page_file, page } = work;
    let directory = rollback.directory.as_ref().ok_or_else(nothing)?;
    let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let (ours, theirs) = pair.host("socketpair", "for init")?;
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .host("pidfd_open", "self")?;
    let keyring = CString::new(format!("_ses.{}", state.id)).map_err(|_| nothing())?;
    let config = plan.config(&Launch {
        parent: own.as_raw_fd(),
        page: page_file.as_raw_fd(),
        timing: options.timing,
        keyring: &keyring,
        root: (sources.root.as_ref().map(AsRawFd::as_raw_fd), sources.root_path),
        pivot: way.pivot,
        join_network: way.join_network,
        mounts: &sources.mounts,
    });
    // The configuration is in the socket before init exists, so init never waits for it.
    let large = handshake::send_config(&ours, &config)?;
    let state_directory = directory.as_fd().as_raw_fd();
    let mut inherit = vec![theirs.as_raw_fd(), state_directory, page_file.as_raw_fd(), own.as_raw_fd()];
    inherit.extend(sources.trees());
    inherit.extend(large.as_ref().map(AsRawFd::as_raw_fd));
    let image = image::seal()?;
    let (pid, pidfd) = child::spawn(&child::Start {
        way: &way,
        joined: &joined,
        cgroup: &rollback.cgroup,
        image: &image,
        socket: &theirs,
        state: state_directory,
        inherit: &inherit,
        page,
        share: !plan.cgroup.limits.iter().any(|limit| limit.controller == "memory"),
    })?;
    drop(theirs);
    let child = rollback.child.insert(pidfd);
    let mut init = handshake::Init { socket: ours, page, pidfd: child, cgroups: &state.cgroups.clone() };
    init.checked(child::finish(&way, &plan.namespaces, pid))?;
    state.pid = number(pid);
    converse(&mut init, &plan, way.join_network, &rollback.cgroup, &mut state, directory, options)?;

    let mut open = vec![init.socket, own, page_file, image];
    open.extend(large);
    open.extend(sources.release());
    open.extend(way.release());
    open.extend(joined.into_iter().map(|(file, _)| file));
    rollback.finish(state, page, open)
}

/// The conversation with init: what it does not depend on yet is done while it works.
fn converse(
    init: &mut handshake::Init<'_>,
    plan: &Plan<'_>,
    join_network: bool,
    cgroup: &Made,
    state: &mut State,
    directory: &Directory,
    options: &Options,
) -> Result<()> {
    let home = if join_network { make_network(init, options.return_network)? } else { None };
    if let Some(directory) = &cgroup.unified
        && let Some(program) = cgroup::devices::compile(&plan.cgroup.devices)
    {
        attach_devices(directory, &program)?;
    }
    init.expect(init_core::config::PROC_READY)?;
    if let Some(home) = home {
        sys::setns(&home, Kind::Network.flag()).host("setns", "own network namespace")?;
    }
    raise_limits(plan, state.pid)?;
    // The state before the process may go on: killed here, `delete` still finds everything.
    state.start_time = start_time(state.pid).ok_or_else(|| Error::State("init is gone".into()))?;
    directory.store(state, false)?;
    if let Some(file) = &options.pid_file {
        write_pid_file(file, state.pid)?;
    }
    init.send(init_core::config::PROC_RUN)?;
    // Success is this frame, never the end of the connection.
    init.expect(init_core::config::PROC_DONE).inspect_err(|_| {
        if let Some(file) = &options.pid_file {
            let _may_be_gone = rustix::fs::unlink(file);
        }
    })
}

fn describe(plan: &Plan<'_>, id: &str, bundle: &Bundle) -> State {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    State {
        oci_version: plan.oci_version.to_owned(),
        id: id.to_owned(),
        pid: 0,
        start_time: 0,
        bundle: bundle.path.display().to_string(),
        annotations: plan
            .annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        rootfs: bundle.path.join(plan.rootfs).display().to_string(),
        created: now,
        owner: rustix::process::geteuid().as_raw(),
        startable: true,
        cgroups: Vec::new(),
        made: Vec::new(),
        pid_namespace: plan.namespaces.is_new(Kind::Pid),
    }
}

fn check_kernel() -> Result<()> {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < KERNEL {
        let (major, minor) = KERNEL;
        return Err(Error::State(format!("Linux {release} is too old: at least {major}.{minor} is needed")));
    }
    Ok(())
}

/// Makes the network namespace here, while init mounts, and tells init that it can be joined.
/// Returns the own one for `run`, which goes back once init has joined.
fn make_network(init: &mut handshake::Init<'_>, come_back: bool) -> Result<Option<OwnedFd>> {
    use rustix::fs::{Mode, OFlags};
    const FILE: &str = "/proc/self/ns/net";
    let open = || rustix::fs::open(FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).host("open", FILE);
    let home = if come_back { Some(open()?) } else { None };
    sys::unshare(Kind::Network.flag()).host("unshare", "network namespace")?;
    init.send(init_core::config::PROC_NETWORK)?;
    Ok(home)
}

/// Loads and attaches the device policy.
fn attach_devices(cgroup: &OwnedFd, program: &[u8]) -> Result<()> {
    let program = sys::load_device_program(program).host("load", "device program")?;
    sys::attach_device_program(cgroup, &program).host("attach", "device program")
}

/// Only the harness may raise a hard limit; init sets the exact values after the gate.
fn raise_limits(plan: &Plan<'_>, pid: i32) -> Result<()> {
    for limit in plan.process.iter().flat_map(|process| process.rlimits) {
        let (soft, hard) = sys::limit(0, limit.resource).host("getrlimit", limit.resource)?;
        if limit.hard > hard {
            sys::set_limit(pid, limit.resource, soft, limit.hard)
                .host("setrlimit", format_args!("of a hard limit of {}", limit.hard))?;
        }
    }
    Ok(())
}

/// Writes a bare number, as conmon reads it: a new file, then renamed, so that a link or a fifo of
/// that name is replaced, not followed.
fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    use rustix::fs::{CWD, Mode, OFlags};
    let mut name = path.as_os_str().to_os_string();
    name.push(format!(".{pid}"));
    let new = PathBuf::from(name);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(&new, flags, Mode::from_raw_mode(0o644)).host("create", new.display())?;
    let written = rustix::io::write(&file, pid.to_string().as_bytes())
        .and_then(|_| rustix::fs::renameat(CWD, &new, CWD, path));
    written.host("write", path.display()).inspect_err(|_| {
        let _nothing_left = rustix::fs::unlink(&new);
    })
}

/// A path for the kernel.
fn c_path<'a>(arena: &'a Bump, path: &Path) -> Result<&'a std::ffi::CStr> {
    crate::plan::c_string(arena, path.as_os_str().as_bytes())
        .ok_or_else(|| Error::file(path, "contains a NUL"))
}
