//! One more process in a container that exists: the sealed init joins it and becomes the process.

use std::path::PathBuf;

use init_core::config::{
    InitConfig, Labels, PROC_CONSOLE, PROC_DONE, PROC_READY, PROC_RUN, Process, Terminal,
};
use init_core::sys::arena::Arena;
use init_core::sys::page::{PAGE_LENGTH, Page};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Signal;

use super::listener::Connection;
use super::settle::{self, reap};
use super::way::{Late, Way};
use super::{child, console, handshake, labels, schedule};
use crate::cgroup::{self, Entry};
use crate::error::{Context, Error, Result};
use crate::plan::{Kind, Planned, Schedule};
use crate::process::{is_mapped, number, own, wait_gone};
use crate::state::{Directory, State, Status, pin};

/// What `exec` was asked for.
#[derive(Default)]
pub struct Options {
    /// Where to write the pid.
    pub pid_file: Option<PathBuf>,
    /// Where to send the terminal.
    pub console_socket: Option<PathBuf>,
    /// Where to send a pidfd of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// Path below the container's cgroup.
    pub cgroup: String,
    /// Start the process although the container is paused.
    pub ignore_paused: bool,
    /// CPUs while the container is joined, and of the process.
    pub affinity: [Option<String>; 2],
    /// The harness goes on, and may serve the terminal.
    pub stays: bool,
}

/// A process that runs.
pub struct Running {
    /// Its pid.
    pub pid: i32,
    /// The process.
    pub pidfd: OwnedFd,
    /// The terminal that nobody else has asked for.
    pub master: Option<OwnedFd>,
}

/// What init is told.
struct Order<'o> {
    process: Process<'o>,
    terminal: Terminal,
    labels: Labels<'o>,
    schedule: &'o Schedule,
    filter: Option<Vec<u8>>,
}

/// Starts a process and returns once it has been executed.
pub fn exec(
    directory: &Directory,
    state: &State,
    planned: &Planned<'_>,
    options: &Options,
) -> Result<Running> {
    let lasting = Lasting::new(&state.process)?;
    let domains = lasting.process;
    let process = Process {
        personality: domains.personality,
        memory_policy: domains.memory_policy,
        keep_groups: keeps_groups(state, planned.process.groups)?,
        ..planned.process
    };
    labels::check(!planned.labels.apparmor.is_empty(), !planned.labels.selinux.is_empty())?;
    let terminal = Terminal { console: false, ..planned.terminal };
    let order = Order {
        process,
        terminal,
        labels: planned.labels,
        schedule: &planned.schedule,
        filter: directory.filter()?,
    };
    start(state, &order, options)
}

/// Whether the container's user namespace forbids setgroups(2) (user_namespaces(7)).
fn keeps_groups(state: &State, groups: &[u32]) -> Result<bool> {
    // In the initial one it is never forbidden.
    if state.namespaces & Kind::User.flag() == 0 && !is_mapped() {
        return Ok(false);
    }
    let text = std::fs::read(format!("/proc/{}/setgroups", state.pid)).unwrap_or_default();
    let denied = text.starts_with(b"deny");
    if denied && !groups.is_empty() {
        return Err(Error::config(
            "/process/user/additionalGids",
            "an ordinary user's user namespace cannot set groups",
        ));
    }
    Ok(denied)
}

/// Runs a `startContainer` hook to its end: in the container, as whom its process is to be. The
/// filter comes with the process itself.
pub fn run_hook(state: &State, args: &[&std::ffi::CStr], env: &[&std::ffi::CStr]) -> Result<OwnedFd> {
    let lasting = Lasting::new(&state.process)?;
    let process =
        Process { args, env, cwd: c"/", home: false, listen_pid: false, preserve: 0, ..lasting.process };
    let order = Order {
        process,
        terminal: Terminal::default(),
        labels: Labels::default(),
        schedule: &Schedule::default(),
        filter: None,
    };
    start(state, &order, &Options::default()).map(|running| running.pidfd)
}

/// The process that `create` has kept, read as init reads it.
struct Lasting {
    process: Process<'static>,
}

impl Lasting {
    fn new(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self { process: Process::default() });
        }
        // It lives as long as the command.
        let text: &'static [u8] = text.as_bytes().to_vec().leak();
        let memory = vec![std::mem::MaybeUninit::uninit(); 16 * text.len() + 4096].leak();
        let arena = Arena::new(memory);
        let process = init_core::wire::read(text, &arena).map_err(|bad| {
            Error::State(format!("damaged state: process: {:?} at byte {}", bad.reason, bad.offset))
        })?;
        Ok(Self { process })
    }
}

/// The container's process, which one more may join.
fn joinable(state: &State, options: &Options) -> Result<OwnedFd> {
    let wrong = |why: &str| Error::State(format!("cannot exec in container {:?}: it {why}", state.id));
    let container = pin(state)?.ok_or_else(|| wrong("has stopped"))?;
    if state.creating {
        return Err(wrong("is being created"));
    }
    if !options.ignore_paused && cgroup::is_frozen(&state.cgroups)? {
        return Err(wrong("is paused"));
    }
    Ok(container)
}

fn start(state: &State, order: &Order<'_>, options: &Options) -> Result<Running> {
    let container = joinable(state, options)?;
    let socket = terminal_socket(order.terminal.open, options)?;
    let listener = state.listener.as_ref().filter(|_| order.filter.is_some());
    let connection = listener.map(Connection::open).transpose()?;
    if let [Some(initial), _] = &options.affinity {
        schedule::affinity(None, initial, "/process/execCPUAffinity/initial")?;
    }
    let entry = Entry::open(&state.cgroups, &options.cgroup)?;
    let way = Way { late: Some(Late::of_process(&container, state.namespaces)), ..Way::default() };
    let (page_file, page) = page()?;
    let own = own().host("pidfd_open", "self")?;
    let (ours, theirs) = handshake::pair()?;
    let keyring = std::ffi::CString::new(format!("_ses.{}", state.id)).unwrap_or_default();
    // Where nothing has to be set from outside.
    let ahead = settle::is_tuned(&order.process, order.schedule, state.rdt.as_ref())?
        && matches!(options.affinity, [_, None]);
    let config = InitConfig {
        ahead,
        parent: own.as_raw_fd(),
        page: page_file.as_raw_fd(),
        filter: order.filter.is_some(),
        namespaces: way.namespaces(),
        keyring: if state.no_new_keyring { c"" } else { &keyring },
        terminal: order.terminal,
        labels: order.labels,
        process: order.process,
        ..InitConfig::default()
    };
    let sections = handshake::Sections { filter: order.filter.as_deref(), netlink: Vec::new() };
    let mut inherit = vec![theirs.as_raw_fd(), page_file.as_raw_fd(), own.as_raw_fd(), container.as_raw_fd()];
    inherit.extend(3..3 + order.process.preserve as i32);
    let begin = child::Start {
        way: &way,
        joined: &[],
        cgroup: &entry,
        socket: &theirs,
        peer: &ours,
        state: None,
        inherit: &inherit,
        page,
        share: !state.memory_limit,
    };
    let (pid, pidfd) = spawn(&begin, state)?;
    drop(theirs);
    let mut process = Some(pidfd);
    let mut talk = Talk {
        init: handshake::Init {
            socket: ours,
            page,
            pidfd: &mut process,
            cgroups: &state.cgroups,
            mail: handshake::Mail::default(),
            mask: None,
        },
        state,
        order,
        options,
        socket,
        master: None,
        pid: number(pid),
        ahead,
    };
    let done = talk.init.load().and_then(|_image| {
        let _file = talk.init.configure(&config, &sections, None)?;
        talk.run(connection.as_ref())
    });
    if done.is_err() {
        // Whichever process init goes on as is the one to end.
        talk.pid = settle::follow(&mut talk.init, talk.pid).unwrap_or(talk.pid);
    }
    let Talk { master, pid, .. } = talk;
    let process = process.ok_or_else(|| Error::State("the process is gone".into()))?;
    if let Err(error) = done {
        let _gone = rustix::process::pidfd_send_signal(&process, Signal::KILL);
        let _reaped = reap(&process);
        return Err(error);
    }
    Ok(Running { pid, pidfd: process, master })
}

/// The socket that the terminal goes to, and whether there is one exactly where it is needed.
fn terminal_socket(terminal: bool, options: &Options) -> Result<Option<OwnedFd>> {
    let socket = options.console_socket.as_deref().map(|path| console::connect(path, "--console-socket"));
    let wrong = |text: &str| Err(Error::Usage(text.into()));
    match (socket.transpose()?, terminal) {
        (Some(_), false) => wrong("--console-socket: the process has no terminal (-t, or terminal)"),
        (None, true) if !options.stays => {
            wrong("exec: a detached process with a terminal needs --console-socket")
        }
        (socket, _) => Ok(socket),
    }
}

/// A container may have filled its cgroup with children, and then takes no process any more; its
/// first one shows where it wants them.
fn spawn(begin: &child::Start<'_>, state: &State) -> Result<(rustix::process::Pid, OwnedFd)> {
    match child::spawn(begin) {
        Err(Error::Host { errno: Errno::BUSY | Errno::OPNOTSUPP, .. }) => {
            let entry = Entry { unified: Some(cgroup::of_process(state.pid)?), tasks: Vec::new() };
            child::spawn(&child::Start { cgroup: &entry, ..*begin })
        }
        spawned => spawned,
    }
}

/// A page that nobody else opens.
fn page() -> Result<(OwnedFd, &'static Page)> {
    let file =
        rustix::fs::memfd_create("page", rustix::fs::MemfdFlags::CLOEXEC).host("memfd_create", "page")?;
    rustix::fs::ftruncate(&file, PAGE_LENGTH as u64).host("truncate", "page")?;
    let map = init_core::sys::map_page(&file).host("mmap", "page")?;
    Ok((file, map))
}

/// The conversation with a setns init.
struct Talk<'t> {
    init: handshake::Init<'t>,
    state: &'t State,
    order: &'t Order<'t>,
    options: &'t Options,
    socket: Option<OwnedFd>,
    master: Option<OwnedFd>,
    pid: i32,
    /// Whether init is told to run before it says that it is ready.
    ahead: bool,
}

impl Talk<'_> {
    fn run(&mut self, connection: Option<&Connection<'_>>) -> Result<()> {
        if self.ahead {
            self.init.send(PROC_RUN)?;
        }
        let last = if self.ahead { PROC_DONE } else { PROC_READY };
        loop {
            match self.init.next()? {
                step if step.is(last) => break,
                step if step.is(PROC_CONSOLE) && self.order.terminal.open => {
                    self.master = console::pass_on(self.socket.as_ref(), step.descriptor()?)?;
                }
                step => return Err(step.unasked()),
            }
        }
        self.pid = settle::follow(&mut self.init, self.pid)?;
        if self.ahead {
            // Init has nothing to wait for any more, so an error here is the harness's own.
            self.tell()?;
        } else {
            let settled = self.tune().and_then(|()| self.tell());
            self.init.checked(settled)?;
            self.init.send(PROC_RUN)?;
            self.init.expect(PROC_DONE)?;
        }
        if let Some(connection) = connection
            && let Some(process) = self.init.pidfd.as_ref()
        {
            connection.serve(self.init.page, process, self.pid, self.state, Status::Running.name())?;
            connection.await_answer(&self.init.socket)?;
        }
        self.init.expect_end()?;
        executed(self.init.page)
    }

    /// What is set from outside.
    fn tune(&self) -> Result<()> {
        settle::tune(&self.order.process, self.order.schedule, self.state.rdt.as_ref(), self.pid)?;
        if let [_, Some(last)] = &self.options.affinity {
            let pid = rustix::process::Pid::from_raw(self.pid);
            schedule::affinity(pid, last, "/process/execCPUAffinity/final")?;
        }
        Ok(())
    }

    /// What others are told.
    fn tell(&self) -> Result<()> {
        let (socket, file) = (self.options.pidfd_socket.as_ref(), self.options.pid_file.as_ref());
        settle::tell(socket, file, self.init.pidfd.as_ref(), self.pid)
    }
}

/// Whether init has become the process: behind its filter the page alone can say that it has not.
pub fn executed(page: &Page) -> Result<()> {
    match page.failed() {
        0 => Ok(()),
        errno => Err(Error::Init(crate::error::Failure {
            phase: init_core::failure::Phase::Exec,
            op: init_core::failure::Op::Execve,
            path: "the process".into(),
            errno,
        })),
    }
}

/// Waits for a process of ours; its exit status, or 128 + the signal that ended it.
pub fn status(process: &OwnedFd) -> Result<u8> {
    wait_gone(process, None)?;
    let target = rustix::process::WaitId::PidFd(rustix::fd::AsFd::as_fd(process));
    let status =
        rustix::process::waitid(target, rustix::process::WaitIdOptions::EXITED).host("waitid", "process")?;
    let code = status.and_then(|status| {
        status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
    });
    Ok(code.unwrap_or(1) as u8)
}
