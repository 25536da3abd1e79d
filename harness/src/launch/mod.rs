//! From a plan to a container that waits for `start`.
//!
//! The order is that of `init/PROTOCOL.md`: what init does not depend on is done while it works.

mod blame;
mod bundle;
mod child;
mod console;
mod converse;
pub mod exec;
mod explain;
pub mod filters;
mod handshake;
pub mod hooks;
mod idmap;
pub mod image;
pub mod labels;
mod listener;
mod maps;
mod namespaces;
mod network;
mod nodes;
pub mod notify;
mod programs;
pub mod rdt;
mod schedule;
mod settle;
mod sources;
pub mod start;
mod targets;
pub mod template;
mod way;

use std::borrow::Cow;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bumpalo::Bump;
use init_core::config::SENT;
use init_core::sys::page::Page;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::cgroup::{self, Made};
use crate::error::{Context, Error, Result};
use crate::plan::{Facts, Kind, Launch, Plan, Wishes};
use crate::process::{self, number};
use crate::seccomp::Ready;
use crate::spec::Hooks;
use crate::state::{Directory, State, Status, Store};
use crate::sys;

pub use bundle::Bundle;
pub use explain::explain;
use way::Way;

/// Oldest kernel: openat2, `mount_setattr`, `CLONE_INTO_CGROUP`, `close_range` are all there.
const KERNEL: (u32, u32) = (5, 12);

/// What `create` was asked for.
#[derive(Default)]
pub struct Options {
    /// Where to write the pid.
    pub pid_file: Option<PathBuf>,
    /// Where to send the terminal.
    pub console_socket: Option<PathBuf>,
    /// Where to send a pidfd of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// Stamp the phases of init.
    pub timing: bool,
    /// The harness goes on after `create`: it returns to its own network namespace, and may keep
    /// the terminal.
    pub stays: bool,
    /// The process is started at once.
    pub starts_at_once: bool,
    /// What the plan needs to know of the command line.
    pub wishes: Wishes,
}

/// A created container.
pub struct Container {
    /// Its state.
    pub state: State,
    /// Its directory.
    pub directory: Directory,
    /// Its process; none where config.json has none.
    pub pidfd: Option<OwnedFd>,
    /// The terminal that nobody else has asked for.
    pub master: Option<OwnedFd>,
    /// Its gate, if that is open already.
    pub gate: Option<OwnedFd>,
    /// The caller's signal mask, if signals are blocked.
    pub mask: Option<sys::Mask>,
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
#[derive(Default)]
struct Rollback {
    directory: Option<Directory>,
    cgroup: Made,
    rdt: rdt::Made,
    child: Option<OwnedFd>,
    pid_file: Option<PathBuf>,
    /// What nobody needs any more; closing it is a call.
    open: Vec<OwnedFd>,
    /// The caller's signal mask, if signals are blocked.
    mask: Option<sys::Mask>,
}

impl Rollback {
    fn directory(&self) -> Result<&Directory> {
        self.directory.as_ref().ok_or_else(nothing)
    }

    /// The container stands: nothing is taken back any more.
    fn finish(
        mut self,
        state: State,
        page: &'static Page,
        master: Option<OwnedFd>,
        mut open: Vec<OwnedFd>,
    ) -> Result<Container> {
        open.append(&mut self.open);
        open.extend(std::mem::take(&mut self.cgroup).entry.release());
        let directory = self.directory.take().ok_or_else(nothing)?;
        let (gate, mask) = (None, self.mask.take());
        Ok(Container { state, directory, pidfd: self.child.take(), master, gate, mask, page, open })
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
            if let Some(file) = &self.pid_file {
                let _may_be_gone = rustix::fs::unlink(file);
            }
            if let (Some(cgroup), Ok(programs)) = (&self.cgroup.entry.unified, directory.programs()) {
                let _still_attached = cgroup::detach(cgroup, &programs);
            }
            self.cgroup.undo();
            rdt::remove(&self.rdt);
            let _left = directory.remove();
        }
        // Last: a signal that waits for it may end the harness.
        let _still_blocked = self.mask.take().map(sys::restore_signals);
    }
}

/// Creates a container: the plan, what it is made from, then init.
pub fn create(root: &Path, id: &str, bundle: &Bundle, options: &Options) -> Result<Container> {
    check_kernel()?;
    let spec = bundle.parse()?;
    let mut facts = cgroup::facts()?;
    let origin = filters::Origin::of(&spec);
    facts.filter = origin.and_then(|origin| filters::find(root, origin));
    let arena = Bump::new();
    let mut plan = Plan::new(&arena, &spec, id, &facts, options.wishes)?;
    for warning in &plan.warnings {
        crate::log::warning(warning);
    }
    labels::check_plan(&plan)?;
    let console = terminal_socket(plan.process.as_ref().is_some_and(|one| one.terminal.open), options)?;
    let mut sources = sources::open(&arena, &plan, &facts, bundle)?;
    if plan.namespaces.is_new(Kind::User)
        && !sources.privileged
        && let Some(planned) = &mut plan.process
    {
        crate::plan::without_groups(&mut planned.process, &plan.namespaces)?;
    }
    nodes::find(&arena, &mut plan.devices)?;
    if !sources.privileged || facts.mapped {
        // Loading a policy takes privileges that making device nodes takes as well.
        plan.cgroup.devices.clear();
    }
    let joined = namespaces::open(&plan)?;
    let devices = network::Devices::find(&plan.network.devices)?;
    let store = Store::make(root)?;
    let mut rollback = Rollback::default();
    rollback.directory = Some(store.claim(id)?);
    let mut state = describe(&plan, id, bundle, store.owner());
    state.cgroups = cgroup::directories(&plan.cgroup, &facts);
    // A forecast, for `delete` after a create that does not come back; then the truth.
    state.made = state.cgroups.iter().filter(|path| !path.exists()).cloned().collect();
    let first = rollback.directory()?.store(&state)?;
    rollback.open.push(first);
    make_cgroup(&plan, &facts, sources.privileged, &mut rollback, &mut state)?;
    if let Some(rdt) = &plan.rdt {
        rollback.rdt = rdt::make(rdt, id)?;
        state.rdt = Some(rollback.rdt.clone());
    }
    let directory = rollback.directory()?;
    if plan.wishes.notify {
        notify::prepare(directory.path())?;
    }
    sources.open_late(&plan, directory.path())?;
    let (page_file, page) = directory.make_page()?;
    if plan.process.is_none() {
        // Created, and never to be started (runtime-spec, config.md, "Process").
        state.startable = false;
        rollback.cgroup.count()?;
        directory.make_gate()?;
        directory.prepare(&state)?;
        directory.publish()?;
        return rollback.finish(state, page, None, vec![page_file]);
    }
    let filter = plan.filter.as_ref().map(Ready::section);
    if let Some(section) = &filter {
        directory.store_filter(section)?;
        if let Some(origin) = origin.filter(|_| plan.filter.as_ref().is_some_and(Ready::is_to_be_kept)) {
            let _compiled_anew_instead = filters::keep(&store, origin, section);
        }
    }
    // An empty mount namespace shows no procfs, without which a user namespace gets none
    // (mount_too_revealing in fs/namespace.c).
    let way = Way::choose(&store, &plan, &joined, sources.privileged && !facts.mapped)?;
    let template = template::directory(&store);
    rollback.open.push(store.release());
    let work =
        Work { plan: &plan, filter, sources, joined, way, template, devices, console, page_file, page };
    let poststop = plan.hooks.poststop.clone().unwrap_or_default();
    let told = state.clone();
    // A container that comes to nothing has ended as well (runtime.md, "Lifecycle").
    start_init(work, state, rollback, options)
        .inspect_err(|_| hooks::run_all("poststop", &poststop, &told, Status::Stopped.name()))
}

fn nothing() -> Error {
    Error::State("nothing was created".into())
}

/// The socket that the terminal goes to. Without one, only a harness that stays can serve it.
fn terminal_socket(terminal: bool, options: &Options) -> Result<Option<OwnedFd>> {
    match &options.console_socket {
        Some(_) if !terminal => {
            Err(Error::Usage("--console-socket: config.json asks for no terminal (/process/terminal)".into()))
        }
        Some(path) => console::connect(path, "--console-socket").map(Some),
        None if terminal && !options.stays => {
            Err(Error::config("/process/terminal", "needs --console-socket"))
        }
        None => Ok(None),
    }
}

fn make_cgroup(
    plan: &Plan<'_>,
    facts: &Facts,
    privileged: bool,
    rollback: &mut Rollback,
    state: &mut State,
) -> Result<()> {
    match Made::new(&plan.cgroup, facts) {
        Ok(made) => {
            state.made.clone_from(&made.directories);
            rollback.cgroup = made;
        }
        // An ordinary user who asked for no limits gets a container without a cgroup.
        Err(_) if (!privileged || facts.mapped) && !plan.cgroup.explicit && plan.cgroup.limits.is_empty() => {
            state.cgroups.clear();
            state.made.clear();
        }
        Err(error @ Error::Host { errno: Errno::ACCESS | Errno::PERM | Errno::ROFS, .. }) if !privileged => {
            return Err(Error::State(format!("{error} (the cgroup must be delegated to this user)")));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What a container is made from.
struct Work<'w> {
    plan: &'w Plan<'w>,
    filter: Option<Cow<'w, [u8]>>,
    sources: sources::Sources<'w>,
    joined: Vec<(OwnedFd, Kind)>,
    way: Way,
    template: PathBuf,
    devices: network::Devices<'w>,
    console: Option<OwnedFd>,
    page_file: OwnedFd,
    page: &'static Page,
}

impl Work<'_> {
    /// The numbers of what init inherits: that of `descriptors`, and of what it is made from.
    fn inherited(&self, descriptors: [BorrowedFd<'_>; 3], options: &Options) -> Vec<RawFd> {
        let first = descriptors.into_iter().chain([self.page_file.as_fd()]).map(|file| file.as_raw_fd());
        let joins = self.way.namespaces().join.iter().map(|join| join.fd);
        let preserved = 3..3 + options.wishes.extra.preserve as i32;
        first.chain(self.sources.trees()).chain(joins).chain(preserved).collect()
    }
}

/// Starts init and sees it through to `Done`.
fn start_init(
    work: Work<'_>,
    mut state: State,
    mut rollback: Rollback,
    options: &Options,
) -> Result<Container> {
    let (ours, theirs) = handshake::pair()?;
    let own = process::own().host("pidfd_open", "self")?;
    let directory = rollback.directory.as_ref().ok_or_else(nothing)?;
    let child = child::Start {
        way: &work.way,
        joined: if work.way.late.is_some() { &[] } else { &work.joined },
        cgroup: &rollback.cgroup.entry,
        socket: &theirs,
        peer: &ours,
        state: Some(directory.as_fd().as_raw_fd()),
        inherit: &work.inherited([theirs.as_fd(), directory.as_fd(), own], options),
        page: work.page,
        share: !state.memory_limit,
    };
    let (pid, pidfd) = child::spawn(&child)?;
    drop(theirs);
    rollback.child = Some(pidfd);
    state.pid = number(pid);
    let cgroups = state.cgroups.clone();
    let Work { plan, filter, mut sources, joined, way, template, mut devices, console, page_file, page } =
        work;
    let ahead = converse::runs_ahead(plan, &way, &sources);
    let mut init = handshake::Init {
        socket: ours,
        page,
        pidfd: &mut rollback.child,
        cgroups: &cgroups,
        mail: handshake::Mail::default(),
        mask: None,
    };
    // While the child enters its namespaces, and then executes init.
    directory.make_gate()?;
    let image = init.load()?;
    init.checked(sources.open_root())?;
    let keyring = CString::new(format!("_ses.{}", state.id)).map_err(|_| nothing())?;
    let config = plan.config(&Launch {
        parent: own.as_raw_fd(),
        page: page_file.as_raw_fd(),
        timing: options.timing,
        keyring: &keyring,
        root: (sources.root.as_ref().map(|_| SENT), sources.root_path),
        switch: way.switch,
        ahead,
        join_network: way.join_network,
        namespaces: way.namespaces(),
        mounts: &sources.mounts,
    });
    let sections =
        handshake::Sections { filter: filter.as_deref(), netlink: plan.network.requests(&devices.addresses) };
    let long = init.configure(&config, &sections, sources.root.as_ref())?;
    let mut talk = converse::Talk {
        init,
        plan,
        ahead,
        way: &way,
        joined: &joined,
        sources: &mut sources,
        devices: &mut devices,
        template: &template,
        cgroup: &rollback.cgroup,
        directory,
        console,
        master: None,
        home: None,
        gate: None,
        open: Vec::new(),
        options,
    };
    let done = talk.run(pid, &mut state);
    let converse::Talk { init, master, devices, gate, open, .. } = talk;
    rollback.mask = init.mask;
    if done.is_err() {
        rollback.pid_file.clone_from(&options.pid_file);
        devices.take_back();
    }
    done.map_err(|error| blame::place(plan, error))?;
    let open = open.into_iter().chain([init.socket, page_file, image]).chain(long).chain(sources.release());
    let joined = joined.into_iter().map(|(file, _)| file);
    let container =
        rollback.finish(state, page, master, open.chain(way.release()).chain(joined).collect())?;
    Ok(Container { gate, ..container })
}

fn describe(plan: &Plan<'_>, id: &str, bundle: &Bundle, owner: u32) -> State {
    State {
        oci_version: plan.oci_version.to_owned(),
        id: id.to_owned(),
        pid: 0,
        creating: false,
        birth: None,
        start_time: None,
        bundle: bundle.path.display().to_string(),
        annotations: plan
            .annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        rootfs: bundle.path.join(plan.rootfs).display().to_string(),
        created: init_core::sys::clock(linux_raw_sys::general::CLOCK_REALTIME),
        owner,
        startable: true,
        cgroups: Vec::new(),
        made: Vec::new(),
        pid_namespace: plan.namespaces.is_new(Kind::Pid),
        namespaces: plan.namespaces.flags(),
        memory_limit: plan.cgroup.limits.iter().any(|limit| limit.controller == "memory"),
        no_new_keyring: plan.wishes.no_new_keyring,
        hooks: Some(plan.hooks.clone()).filter(Hooks::later),
        process: plan.lasting(),
        seccomp: plan.filter.is_some(),
        listener: plan.filter.as_ref().and_then(Ready::listener).cloned(),
        rdt: None,
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

/// A path for the kernel.
fn c_path<'a>(arena: &'a Bump, path: &Path) -> Result<&'a std::ffi::CStr> {
    crate::plan::c_string(arena, path.as_os_str().as_bytes())
        .ok_or_else(|| Error::file(path, "contains a NUL"))
}
