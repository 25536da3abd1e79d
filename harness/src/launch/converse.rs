//! The conversation with a standard init: what it does not depend on yet is done while it works.

use std::path::{Path, PathBuf};

use init_core::config::{
    PROC_DONE, PROC_MAPPED, PROC_MAPS, PROC_MOUNTS, PROC_NETWORK, PROC_READY, PROC_RESUME, PROC_RUN, Rlimit,
};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use super::handshake::{Init, Step};
use super::hooks::{self, World};
use super::sources::Sources;
use super::way::Way;
use super::{Options, console, maps, network, rdt, schedule};
use crate::cgroup;
use crate::error::{Context, Error, Result};
use crate::plan::{Kind, Plan};
use crate::process::{number, start_time};
use crate::state::{Directory, State};
use crate::sys;

/// What is talked about.
pub struct Talk<'t, 'a> {
    /// Init.
    pub init: Init<'t>,
    /// What was planned.
    pub plan: &'t Plan<'t>,
    /// Which way it goes.
    pub way: &'t Way,
    /// Namespaces that are joined.
    pub joined: &'t [(OwnedFd, Kind)],
    /// Sources of bind mounts.
    pub sources: &'t mut Sources<'a>,
    /// Network devices to move.
    pub devices: &'t network::Devices<'t>,
    /// The cgroup of version 2, for the device policy.
    pub device_cgroup: Option<&'t OwnedFd>,
    /// The container's directory.
    pub directory: &'t Directory,
    /// Where the terminal goes.
    pub console: Option<OwnedFd>,
    /// The terminal, if it goes nowhere.
    pub master: Option<OwnedFd>,
    /// The harness's own network namespace while it is in the container's.
    pub home: Option<OwnedFd>,
    /// What was asked for.
    pub options: &'t Options,
}

impl Talk<'_, '_> {
    /// From the clone to `Done`. `state` is stored before init may finish.
    pub fn run(&mut self, pid: Pid, state: &mut State) -> Result<()> {
        let mapped = maps::finish(self.way, &self.plan.namespaces, pid);
        self.init.checked(mapped)?;
        if self.way.late.as_ref().is_some_and(super::way::Late::is_mapped) {
            self.init.expect(PROC_MAPS)?;
            let written = self.write_maps(number(pid));
            self.init.checked(written)?;
            self.init.send(PROC_MAPPED)?;
        }
        if self.way.join_network {
            self.make_network()?;
        }
        if let Some(directory) = self.device_cgroup
            && let Some(program) = cgroup::devices::compile(&self.plan.cgroup.devices)
        {
            attach_devices(directory, &program)?;
        }
        loop {
            let step = self.init.next()?;
            if step.name.as_bytes() == PROC_READY.to_bytes() {
                break;
            }
            let answered = self.answer(step, state);
            self.init.checked(answered)?;
        }
        self.follow(state)?;
        self.go_home()?;
        let settled = self.settle(state);
        self.init.checked(settled)?;
        self.init.send(PROC_RUN)?;
        // Success is this frame, never the end of the connection.
        self.init.expect(PROC_DONE)
    }

    fn write_maps(&self, pid: i32) -> Result<()> {
        let namespaces = &self.plan.namespaces;
        if namespaces.is_new(Kind::User) {
            maps::user(pid, &namespaces.uid_map, &namespaces.gid_map)?;
        }
        maps::offsets(pid, namespaces)
    }

    /// A step of init that the plan has asked for.
    fn answer(&mut self, step: Step, state: &mut State) -> Result<()> {
        let terminal = self.plan.process.as_ref().is_some_and(|planned| planned.terminal.open);
        match (step.name.as_str(), step.file) {
            ("procNetwork", _) if !self.plan.network.devices.is_empty() && !self.way.join_network => {
                self.follow(state)?;
                let file = self.joined.iter().find(|(_, kind)| *kind == Kind::Network);
                let to = match file {
                    Some((file, _)) => network::Destination::File(file),
                    None => network::Destination::Process(state.pid),
                };
                self.devices.send(&to)?;
                self.init.send(PROC_NETWORK)
            }
            ("procMounts", _) => {
                let trees = self.sources.answer(self.directory.path())?;
                self.init.send_with(PROC_MOUNTS, trees)
            }
            ("procConsole", Some(master)) if terminal => {
                match &self.console {
                    Some(socket) => console::hand_over(socket, b"/dev/ptmx", &master, "to --console-socket")?,
                    None => self.master = Some(master),
                }
                Ok(())
            }
            ("procHooks", _) if self.plan.hooks.at_create() => {
                self.follow(state)?;
                self.go_home()?;
                self.run_hooks(state)?;
                self.init.send(PROC_RESUME)
            }
            (name, _) => Err(Error::Protocol(format!("{name:?}, which nobody has asked for"))),
        }
    }

    /// The hooks of `create`, in the specification's order.
    fn run_hooks(&self, state: &State) -> Result<()> {
        let hooks = &self.plan.hooks;
        let list = |hooks: &Option<Vec<crate::spec::Hook>>| hooks.clone().unwrap_or_default();
        hooks::run("prestart", &list(&hooks.prestart), state, "created", World::Runtime)?;
        hooks::run("createRuntime", &list(&hooks.create_runtime), state, "creating", World::Runtime)?;
        let Some(pidfd) = self.init.pidfd.as_ref() else { return Ok(()) };
        let world = World::Container { pidfd, kinds: self.plan.namespaces.flags() };
        hooks::run("createContainer", &list(&hooks.create_container), state, "creating", world)
    }

    /// Where init goes on as another process, finds that one, and reaps the one before.
    fn follow(&mut self, state: &mut State) -> Result<()> {
        let pid = self.init.page.pid() as i32;
        if pid == 0 || pid == state.pid {
            return Ok(());
        }
        let next = adopted(pid)?;
        if let Some(first) = self.init.pidfd.replace(next) {
            reap(&first)?;
        }
        state.pid = pid;
        Ok(())
    }

    /// What is set from outside, and the state before the process may go on: killed here, `delete`
    /// still finds everything.
    fn settle(&self, state: &mut State) -> Result<()> {
        if let Some(planned) = &self.plan.process {
            raise_limits(planned.process.rlimits, state.pid)?;
            schedule::apply(&planned.schedule, state.pid)?;
        }
        if let Some(made) = &state.rdt {
            rdt::enter(made, state.pid)?;
        }
        state.start_time = start_time(state.pid).ok_or_else(|| Error::State("init is gone".into()))?;
        self.directory.store(state, false)?;
        if let Some(path) = &self.options.pidfd_socket
            && let Some(pidfd) = self.init.pidfd.as_ref()
        {
            let socket = console::connect(path, "--pidfd-socket")?;
            console::hand_over(&socket, b"pidfd", pidfd, "to --pidfd-socket")?;
        }
        match &self.options.pid_file {
            Some(file) => write_pid_file(file, state.pid),
            None => Ok(()),
        }
    }

    /// Back to the harness's own network namespace: init has joined the other one by now.
    fn go_home(&mut self) -> Result<()> {
        match self.home.take() {
            Some(home) => sys::setns(&home, Kind::Network.flag()).host("setns", "own network namespace"),
            None => Ok(()),
        }
    }

    /// Makes the network namespace here, while init mounts, and tells init that it can be joined.
    /// The way back is kept for those who stay.
    fn make_network(&mut self) -> Result<()> {
        use rustix::fs::{Mode, OFlags};
        const FILE: &str = "/proc/self/ns/net";
        let open =
            || rustix::fs::open(FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).host("open", FILE);
        let stays = self.options.stays || self.plan.hooks.at_create();
        self.home = if stays { Some(open()?) } else { None };
        sys::unshare(Kind::Network.flag()).host("unshare", "network namespace")?;
        if !self.plan.network.devices.is_empty() {
            self.devices.send(&network::Destination::Process(number(rustix::process::getpid())))?;
        }
        self.init.send(PROC_NETWORK)
    }
}

/// A process that init has made in its place: it must be a child of the harness.
pub fn adopted(pid: i32) -> Result<OwnedFd> {
    let stranger = || Error::Protocol(format!("process {pid} is no child of this one"));
    let handle = Pid::from_raw(pid).ok_or_else(stranger)?;
    let handle = rustix::process::pidfd_open(handle, PidfdFlags::empty()).host("pidfd_open", pid)?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match rustix::process::waitid(WaitId::PidFd(rustix::fd::AsFd::as_fd(&handle)), options) {
        Err(rustix::io::Errno::CHILD) => Err(stranger()),
        waited => waited.host("waitid", pid).map(|_| handle),
    }
}

/// Takes the status of the process before, which has nothing more to say.
pub fn reap(process: &OwnedFd) -> Result<()> {
    let target = WaitId::PidFd(rustix::fd::AsFd::as_fd(process));
    rustix::process::waitid(target, WaitIdOptions::EXITED).host("waitid", "init").map(drop)
}

/// Loads and attaches the device policy.
fn attach_devices(cgroup: &OwnedFd, program: &[u8]) -> Result<()> {
    let program = sys::load_device_program(program).host("load", "device program")?;
    sys::attach_device_program(cgroup, &program).host("attach", "device program")
}

/// Only the harness may raise a hard limit; init sets the exact values after the gate.
pub fn raise_limits(limits: &[Rlimit], pid: i32) -> Result<()> {
    for limit in limits {
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
pub fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
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
