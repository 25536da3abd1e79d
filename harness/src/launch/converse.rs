//! The conversation with a standard init: what it does not depend on yet is done while it works.

use std::ffi::CStr;
use std::path::Path;

use init_core::config::{
    PROC_CONSOLE, PROC_DONE, PROC_HOOKS, PROC_MAPPED, PROC_MAPS, PROC_MOUNTS, PROC_NETWORK, PROC_READY,
    PROC_RESUME, PROC_RUN,
};
use rustix::fd::OwnedFd;
use rustix::process::Pid;

use super::handshake::{Init, Step};
use super::hooks::{self, World};
use super::sources::Sources;
use super::way::Way;
use super::{Options, console, maps, network, programs, settle};
use crate::cgroup;
use crate::error::{Context, Error, Result};
use crate::plan::{Kind, Plan};
use crate::process::{Birth, number};
use crate::state::{Directory, State};
use crate::sys;

/// What is talked about.
pub struct Talk<'t, 'a> {
    /// Init.
    pub init: Init<'t>,
    /// What was planned.
    pub plan: &'t Plan<'t>,
    /// Whether init is told to run before it says that it is ready.
    pub ahead: bool,
    /// Which way it goes.
    pub way: &'t Way,
    /// Namespaces that are joined.
    pub joined: &'t [(OwnedFd, Kind)],
    /// Sources of bind mounts.
    pub sources: &'t mut Sources<'a>,
    /// Network devices to move.
    pub devices: &'t mut network::Devices<'a>,
    /// Where device programs are kept.
    pub template: &'t Path,
    /// Its cgroup.
    pub cgroup: &'t cgroup::Made,
    /// The container's directory.
    pub directory: &'t Directory,
    /// Where the terminal goes.
    pub console: Option<OwnedFd>,
    /// The terminal, if it goes nowhere.
    pub master: Option<OwnedFd>,
    /// The harness's own network namespace while it is in the container's.
    pub home: Option<OwnedFd>,
    /// The gate, if it was opened before init is there.
    pub gate: Option<OwnedFd>,
    /// What nobody needs any more; closing it is a call.
    pub open: Vec<OwnedFd>,
    /// What was asked for.
    pub options: &'t Options,
}

/// Whether init can be told to run before it says that it is ready: nothing is asked in between, and no
/// other process takes its place.
pub fn runs_ahead(plan: &Plan<'_>, way: &Way, sources: &Sources<'_>) -> bool {
    let asked = plan.hooks.at_create()
        || sources.is_asked()
        || plan.namespaces.is_joined(Kind::User)
        || moves_devices(plan, way);
    way.late.is_none() && !asked
}

/// Whether the host's devices are to be sent to a namespace that init is in already.
fn moves_devices(plan: &Plan<'_>, way: &Way) -> bool {
    !plan.network.devices.is_empty() && !way.join_network
}

impl Talk<'_, '_> {
    /// From the clone to `Done`. Should it fail, hooks find the harness as it was.
    pub fn run(&mut self, pid: Pid, state: &mut State) -> Result<()> {
        let done = self.converse(pid, state);
        if done.is_err() {
            // The error that led here is what counts.
            let _not_home = self.go_home();
        }
        done
    }

    /// Before init may outlive the harness, all that `delete` has to know is prepared; in force, so that the
    /// container is `created`, it is in the end.
    fn converse(&mut self, pid: Pid, state: &mut State) -> Result<()> {
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
        // Where no other process takes its place, init is known while it is still at work.
        let known = self.way.late.is_none();
        if known {
            let recorded =
                self.record(state).and_then(|()| if self.ahead { self.tune(state) } else { Ok(()) });
            self.init.checked(recorded)?;
        }
        if self.ahead {
            self.init.send(PROC_RUN)?;
        }
        // Nothing here is init's to wait for, but the container has it before it is `created`.
        self.bring_loopback_up()?;
        self.attach_devices(state)?;
        self.cgroup.count()?;
        if self.ahead {
            self.open_gate_ahead()?;
            self.answer_until(PROC_DONE, state)?;
            self.go_home()?;
        } else {
            self.answer_until(PROC_READY, state)?;
            self.follow(state)?;
            self.go_home()?;
            let recorded = maps::check(state.pid, &self.plan.namespaces)
                .and_then(|()| if known { Ok(()) } else { self.record(state) })
                .and_then(|()| self.tune(state));
            self.init.checked(recorded)?;
            self.init.send(PROC_RUN)?;
            self.open_gate_ahead()?;
            // Success is this frame, never the end of the connection.
            self.init.expect(PROC_DONE)?;
        }
        // Init has nothing more to say, so an error here is the harness's own.
        self.directory.publish()?;
        let (socket, file) = (self.options.pidfd_socket.as_ref(), self.options.pid_file.as_ref());
        settle::tell(socket, file, self.init.pidfd.as_ref(), state.pid)
    }

    /// Answers init until it sends `last`.
    fn answer_until(&mut self, last: &CStr, state: &mut State) -> Result<()> {
        loop {
            let step = self.init.next()?;
            if step.is(last) {
                return Ok(());
            }
            let answered = self.answer(step, state);
            self.init.checked(answered)?;
        }
    }

    /// Has init find the gate open when it gets there.
    fn open_gate_ahead(&mut self) -> Result<()> {
        if self.may_open_gate_ahead() {
            // From here on a signal of whoever stays is one for the process.
            if self.options.stays {
                self.init.mask = Some(sys::block_signals().host("sigprocmask", "")?);
            }
            self.gate = Some(self.directory.open_gate()?);
        }
        Ok(())
    }

    /// Whether nothing is to happen between the container's creation and its start, so that init need not
    /// wait at the gate.
    fn may_open_gate_ahead(&self) -> bool {
        let options = self.options;
        let hooks = self.plan.hooks.start_container.as_deref().unwrap_or_default();
        let heard = self.plan.filter.as_ref().is_some_and(|filter| filter.listener().is_some());
        options.starts_at_once
            && hooks.is_empty()
            && !heard
            && !self.plan.wishes.notify
            && options.pid_file.is_none()
            && options.pidfd_socket.is_none()
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
        if step.is(PROC_NETWORK) && moves_devices(self.plan, self.way) {
            self.follow(state)?;
            let file = self.joined.iter().find(|(_, kind)| *kind == Kind::Network);
            let to = match file {
                Some((file, _)) => network::Destination::File(file),
                None => network::Destination::Process(state.pid),
            };
            self.devices.send(&to)?;
            self.init.send(PROC_NETWORK)
        } else if step.is(PROC_MOUNTS) {
            let trees = self.sources.answer(self.directory.path())?;
            self.init.send_with(PROC_MOUNTS, trees)
        } else if step.is(PROC_CONSOLE) && terminal {
            self.master = console::pass_on(self.console.as_ref(), step.descriptor()?)?;
            Ok(())
        } else if step.is(PROC_HOOKS) && self.plan.hooks.at_create() {
            self.follow(state)?;
            self.go_home()?;
            self.run_hooks(state)?;
            self.init.send(PROC_RESUME)
        } else {
            Err(step.unasked())
        }
    }

    /// The hooks of `create`, in the specification's order.
    fn run_hooks(&self, state: &State) -> Result<()> {
        let hooks = &self.plan.hooks;
        hooks::run(
            "prestart",
            hooks.prestart.as_deref().unwrap_or_default(),
            state,
            "created",
            World::Runtime,
        )?;
        hooks::run(
            "createRuntime",
            hooks.create_runtime.as_deref().unwrap_or_default(),
            state,
            "creating",
            World::Runtime,
        )?;
        let Some(pidfd) = self.init.pidfd.as_ref() else { return Ok(()) };
        let world = World::Container { pidfd, kinds: self.plan.namespaces.flags() };
        hooks::run(
            "createContainer",
            hooks.create_container.as_deref().unwrap_or_default(),
            state,
            "creating",
            world,
        )
    }

    /// The state has the pid of the process that init goes on as.
    fn follow(&mut self, state: &mut State) -> Result<()> {
        state.pid = settle::follow(&mut self.init, state.pid)?;
        Ok(())
    }

    /// The state, up to putting it in force.
    fn record(&mut self, state: &mut State) -> Result<()> {
        let volatile = self.directory.is_volatile();
        let birth = self.init.pidfd.as_ref().and_then(|pidfd| Birth::of(pidfd, state.pid, volatile));
        state.birth = Some(birth.ok_or_else(|| Error::State("init is gone".into()))?);
        self.open.push(self.directory.prepare(state)?);
        Ok(())
    }

    /// What is set from outside.
    fn tune(&self, state: &State) -> Result<()> {
        self.plan.process.as_ref().map_or(Ok(()), |planned| {
            settle::tune(&planned.process, &planned.schedule, state.rdt.as_ref(), state.pid)
        })
    }

    /// Attaches the device policy of cgroup v2. A cgroup that was there before takes a program once only,
    /// so there the container has one of its own, which goes with it.
    fn attach_devices(&mut self, state: &State) -> Result<()> {
        let Some(directory) = &self.cgroup.entry.unified else { return Ok(()) };
        let Some(code) = cgroup::devices::compile(&self.plan.cgroup.devices) else { return Ok(()) };
        let program = if state.made.is_empty() {
            let own = sys::load_device_program(&code).host("load", "device program")?;
            let name = sys::program_name(&own).host("look at", "device program")?;
            self.directory.store_programs(&[name])?;
            own
        } else {
            programs::device_program(self.template, &code)?
        };
        sys::attach_device_program(directory, &program).host("attach", "device program")?;
        self.open.push(program);
        Ok(())
    }

    /// Back to the harness's own network namespace: init has joined the other one by now.
    fn go_home(&mut self) -> Result<()> {
        match self.home.take() {
            Some(home) => sys::setns(&home, Kind::Network.flag()).host("setns", "own network namespace"),
            None => Ok(()),
        }
    }

    /// Makes the network namespace here, while init mounts, and tells init that it can be joined. The way
    /// back is kept for those who stay.
    fn make_network(&mut self) -> Result<()> {
        use rustix::fs::{Mode, OFlags};
        const FILE: &str = "/proc/self/ns/net";
        let open =
            || rustix::fs::open(FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).host("open", FILE);
        let stays = self.options.stays || self.plan.hooks.at_create() || self.plan.hooks.poststop.is_some();
        self.home = if stays { Some(open()?) } else { None };
        sys::unshare(Kind::Network.flag()).host("unshare", "network namespace")?;
        if !self.plan.network.devices.is_empty() {
            self.devices.send(&network::Destination::Process(number(rustix::process::getpid())))?;
        }
        self.early_loopback().then(network::loopback).transpose()?;
        self.init.send(PROC_NETWORK)
    }

    /// Whether init configures the network, for which its loopback device must be up.
    fn early_loopback(&self) -> bool {
        !self.plan.network.is_empty()
    }

    /// In the network namespace that the harness has made.
    fn bring_loopback_up(&self) -> Result<()> {
        if self.way.join_network && !self.early_loopback() { network::loopback() } else { Ok(()) }
    }
}
