//! The in-container half of an OCI runtime.
//!
//! [`start_initialization`] does what runc's function of that name does: it takes the bootstrap
//! from the environment, reads its configuration from the socket, and runs the list in
//! [`standard`]. A failure goes back as `procError`. See `PROTOCOL.md` for the contract.
//!
//! No standard library, no heap: values live in the stack, in static memory, and in an arena.
#![cfg_attr(not(test), no_std)]

pub mod config;
pub mod failure;
mod path;
pub mod phase;
mod procfs;
pub mod setns;
pub mod standard;
pub mod sys;
pub mod wire;

use core::mem::MaybeUninit;
use core::ops::Range;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::process::umask;

use config::{ConfigFd, InitConfig, SENT};
use failure::{At, Fault, Op, Phase};
use phase::gate::Spent;
use phase::seccomp::Filter;
use sys::arena::Arena;
use sys::boot::{Boot, Memory};
use sys::page::Page;
use sys::tty::Received;
use wire::{BadHeader, HEADER_LENGTH, Header, Kind, MAX_CONFIG};

/// What init was started with, and how far it has come.
pub struct Bootstrap {
    socket: i32,
    fifo: Option<OwnedFd>,
    page: Option<&'static Page>,
    timing: bool,
    phase: Phase,
    gate: Option<OwnedFd>,
}

/// Which list of steps to run (`_LIBCONTAINER_INITTYPE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitType {
    /// A new container.
    Standard,
    /// One more process in a container that exists.
    Setns,
}

impl Bootstrap {
    /// Notes in the shared page that `phase` begins.
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        if let Some(page) = self.page {
            page.enter(phase, if self.timing { sys::monotonic() } else { 0 });
        }
    }

    fn close_socket(&mut self) {
        drop(sys::adopt(core::mem::replace(&mut self.socket, -1)));
    }

    /// Sends the failure to whoever waits: `create` at the socket, `start` at the fifo. The phase
    /// in the page is the one that failed, which `start` needs when nobody can be told.
    fn report(&self, fault: &Fault<'_>) {
        let to = self.gate.as_ref().map_or(sys::descriptor(self.socket), AsFd::as_fd);
        phase::ready::report(to, self.phase, fault);
    }
}

/// The whole of init: from the bootstrap to the container's process, which replaces it. Returns
/// only on failure, with the exit status; the harness has been told why.
pub fn start_initialization(mut boot: Boot, memory: Memory) -> i32 {
    let mut init = match bootstrap(&mut boot) {
        Ok(init) => init,
        Err(fault) => return complain(&fault),
    };
    let spent = Spent {
        image: memory.image,
        memory: [addresses(memory.arena), addresses(memory.message), 0..0],
        stack: boot.stack(),
    };
    let rest = Arena::new(memory.rest);
    let fault = match receive(&mut init, memory.arena, memory.message, &rest) {
        Ok((config, sections, arena)) => match boot.init_type {
            InitType::Standard => match standard::init(&mut init, &config, sections, &arena, &rest, spent) {
                Ok(kept) => sys::go_on(memory.stack, standard::Waiting { init, kept, rest }, standard::start),
                Err(fault) => fault,
            },
            InitType::Setns => setns::init(&mut init, &config, sections, &arena),
        },
        Err(fault) => fault,
    };
    init.report(&fault);
    1
}

fn addresses<T>(memory: &[T]) -> Range<usize> {
    let range = memory.as_ptr_range();
    range.start as usize..range.end as usize
}

/// Environment and descriptors; the environment is cleared where it lies, for /proc/PID/environ.
fn bootstrap(boot: &mut Boot) -> Result<Bootstrap, Fault<'static>> {
    // Nobody may look into init while it holds descriptors of the host.
    phase::process::undumpable()?;
    if boot.secure {
        return Err(Fault::check(Op::Secure, c""));
    }
    let socket = boot.number(c"_LIBCONTAINER_INITPIPE")?;
    boot.init_type = match boot.value(c"_LIBCONTAINER_INITTYPE") {
        Some(b"standard") => InitType::Standard,
        Some(b"setns") => InitType::Setns,
        _ => return Err(Fault::check(Op::Environment, c"_LIBCONTAINER_INITTYPE")),
    };
    let state = match boot.init_type {
        InitType::Standard => Some(sys::adopt(boot.number(c"_LIBCONTAINER_STATEDIR")?)),
        InitType::Setns => None,
    };
    boot.clear_environment();
    sys::unblock_signals().at(Op::Sigprocmask, c"")?;
    // Modes of what init makes are exact; the process's own umask comes with its ids.
    umask(Mode::empty());
    // The state directory is the host's: its one file is opened as a handle, then it is closed.
    let fifo = state.map(|state| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&state, phase::gate::EXEC_FIFO, flags, Mode::empty())
            .at(Op::Open, phase::gate::EXEC_FIFO)
    });
    let fifo = fifo.transpose()?;
    Ok(Bootstrap { socket, fifo, page: None, timing: false, phase: Phase::Config, gate: None })
}

/// What comes after the configuration, raw.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sections<'a> {
    /// The seccomp filter.
    pub filter: Option<Filter<'a>>,
    /// Netlink requests.
    pub netlink: &'a [u8],
}

/// Reads the configuration into an arena of its size and maps the shared page. The filter goes to
/// `rest`: it is needed after the gate.
#[inline(never)]
fn receive(
    init: &mut Bootstrap,
    memory: &'static mut [MaybeUninit<u8>],
    message: &'static mut [u8],
    rest: &Arena<'static>,
) -> Result<(InitConfig<'static>, Sections<'static>, Arena<'static>), Fault<'static>> {
    let socket = sys::descriptor(init.socket);
    let mut came = Received::default();
    let mut header = [0; HEADER_LENGTH];
    sys::tty::receive_with(socket, &mut header, &mut came).at(Op::Read, c"header")?;
    let header = decode(header)?;
    let body = message.get_mut(..header.length as usize).ok_or(Fault::check(Op::Frame, c"length"))?;
    phase::ready::receive(socket, body).at(Op::Read, c"config")?;
    let (arena, body) = match header.kind {
        Kind::Config => (Arena::new(memory), &*body),
        Kind::ConfigFd => large(body, came.last(), &Arena::new(memory))?,
        _ => return Err(Fault::check(Op::Frame, c"kind")),
    };
    let mut config: InitConfig<'static> = wire::read(body, &arena).map_err(|bad| malformed(bad, &arena))?;
    if config.root.tree == Some(SENT) {
        config.root.tree = Some(came.get(0).ok_or(Fault::check(Op::Read, c"root"))?);
    }
    let page = sys::adopt(config.page);
    init.page = Some(sys::map_page(&page).at(Op::Mmap, c"page")?);
    init.timing = config.timing;
    init.enter(Phase::Config);
    let mut sections = Sections::default();
    if config.filter {
        let section = section(socket, Kind::Filter, rest)?;
        sections.filter = Some(Filter::parse(section).ok_or(Fault::check(Op::Filter, c""))?);
    }
    if config.netlink {
        sections.netlink = section(socket, Kind::Netlink, &arena)?;
    }
    Ok((config, sections, arena))
}

fn next_header(socket: BorrowedFd<'_>) -> Result<Header, Fault<'static>> {
    let mut header = [0; HEADER_LENGTH];
    phase::ready::receive(socket, &mut header).at(Op::Read, c"header")?;
    decode(header)
}

fn decode(header: [u8; HEADER_LENGTH]) -> Result<Header, Fault<'static>> {
    Header::decode(header).map_err(|bad| match bad {
        BadHeader::Version(_) => Fault::check(Op::Frame, c"version"),
        _ => Fault::check(Op::Frame, c"header"),
    })
}

/// Reads a raw frame of `kind`.
fn section(
    socket: BorrowedFd<'_>,
    kind: Kind,
    arena: &Arena<'static>,
) -> Result<&'static [u8], Fault<'static>> {
    let header = next_header(socket)?;
    if header.kind != kind {
        return Err(Fault::check(Op::Frame, c"kind"));
    }
    let body = arena.bytes(header.length as usize).map_err(|_| Fault::check(Op::Memory, c"section"))?;
    phase::ready::receive(socket, body).at(Op::Read, c"section")?;
    Ok(body)
}

/// A configuration too long for the socket: a memfd that nobody can change any more, and an arena
/// in proportion.
fn large(
    body: &'static [u8],
    sent: Option<i32>,
    arena: &Arena<'static>,
) -> Result<(Arena<'static>, &'static [u8]), Fault<'static>> {
    const EXPANSION: usize = 16;
    let place: ConfigFd = wire::read(body, arena).map_err(|bad| malformed(bad, arena))?;
    let number = if place.fd == SENT { sent } else { Some(place.fd) };
    let file = sys::adopt(number.ok_or(Fault::check(Op::Read, c"config"))?);
    let seals = rustix::fs::fcntl_get_seals(&file).at(Op::Stat, c"config")?;
    let needed = rustix::fs::SealFlags::WRITE | rustix::fs::SealFlags::SHRINK;
    let length = rustix::fs::fstat(&file).at(Op::Stat, c"config")?.st_size;
    if !seals.contains(needed) || length != i64::from(place.length) || length > MAX_CONFIG as i64 {
        return Err(Fault::check(Op::Frame, c"config"));
    }
    let memory = sys::map_anonymous(EXPANSION * place.length as usize).at(Op::Mmap, c"arena")?;
    let body = sys::map_file(&file, place.length as usize).at(Op::Mmap, c"config")?;
    Ok((Arena::new(memory), body))
}

fn malformed(bad: wire::Malformed, arena: &Arena<'static>) -> Fault<'static> {
    use wire::{Sink, Value};
    let mut place = heapless::Vec::<u8, 32>::new();
    place.put(b"byte ");
    (bad.offset as u64).write(&mut place);
    let op = if bad.reason == wire::Reason::Memory { Op::Memory } else { Op::Parse };
    let path = arena.plain(&place);
    Fault { op, path: path.unwrap_or_default(), errno: bad.reason as i32 }
}

/// Without a socket the terminal is all there is: somebody has started init by hand.
fn complain(fault: &Fault<'_>) -> i32 {
    // No table of names for the one message that init prints itself.
    let what: &[u8] = match fault.op {
        Op::Environment => b"environment: ",
        Op::Secure => b"secure execution",
        _ => b"set-up: ",
    };
    let parts: [&[u8]; 4] =
        [b"init: ", what, fault.path.to_bytes(), b": to be started by a container runtime (PROTOCOL.md)\n"];
    for part in parts {
        let _nobody_to_tell = rustix::io::write(sys::descriptor(2), part);
    }
    1
}
