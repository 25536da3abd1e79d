//! The last stretch: the filter, and the point of no return.

use core::ffi::{CStr, c_char};

use rustix::io::Errno;

use crate::config::Process;
use crate::failure::{Fault, Op};
use crate::phase::seccomp::Filter;
use crate::phase::{finalize, interpreter};
use crate::sys;
use crate::sys::arena::{Arena, Full};
use crate::sys::page::Page;

/// `CAP_SYS_ADMIN` (capabilities(7)).
const SYS_ADMIN: u64 = 1 << 21;

/// What is executed.
pub struct Program<'a> {
    /// The file.
    pub path: &'a CStr,
    /// Arguments.
    pub argv: Vector<'a>,
    /// Environment.
    pub envp: Vector<'a>,
}

/// Arguments and environment as execve(2) takes them.
#[inline(never)]
pub fn vectors<'a>(arena: &Arena<'a>, process: &Process<'a>) -> Result<(Vector<'a>, Vector<'a>), Full> {
    Ok((arena.pointers(process.args)?, arena.pointers(process.env)?))
}

/// Pointers to strings, and a null one.
pub type Vector<'a> = &'a [*const c_char];

/// A filter that is still to be loaded, and what that takes.
#[derive(Clone, Copy)]
pub struct Pending<'a> {
    filter: Option<Filter<'a>>,
    privileged: bool,
}

impl<'a> Pending<'a> {
    /// Without `no_new_privs` only `CAP_SYS_ADMIN` may load a filter (seccomp(2)).
    pub fn new(filter: Option<Filter<'a>>, process: &Process<'_>) -> Self {
        Self { filter, privileged: filter.is_some() && !process.no_new_privs }
    }

    /// The capabilities to keep beyond the final ones until the filter is loaded.
    pub fn more(self) -> u64 {
        if self.privileged { SYS_ADMIN } else { 0 }
    }

    /// Behind a filter nobody can say why execve failed, so a missing interpreter is looked for
    /// before.
    pub fn foresee(self, arena: &Arena<'a>, path: &CStr) -> Result<(), Fault<'a>> {
        match self.filter.and_then(|_| interpreter::missing(arena, path)) {
            Some(name) => Err(Fault { op: Op::Interpreter, path: name, errno: Errno::NOENT.raw_os_error() }),
            None => Ok(()),
        }
    }

    /// Loads the filter, hands its listener over, and gives up what loading took. Nothing here but
    /// seccomp(2) and capset(2) is a system call. An error behind the filter is status and page
    /// alone.
    fn load(self, process: &Process<'_>, page: Option<&Page>) -> Result<(), Fault<'static>> {
        let Some(filter) = self.filter else { return Ok(()) };
        if let Some(listener) = filter.load()?
            && !page.is_some_and(|page| page.offer(listener))
        {
            sys::exit(1);
        }
        if self.privileged
            && let Err(fault) = finalize::capabilities(&process.capabilities, 0)
        {
            give_up(page, fault.errno);
        }
        Ok(())
    }
}

/// Behind the filter: the errno into the page, and the end.
fn give_up(page: Option<&Page>, errno: i32) -> ! {
    if let Some(page) = page {
        page.fail(errno);
    }
    sys::exit(1)
}

/// Becomes the container's process. Returns only on failure.
pub fn exec<'a>(
    program: &Program<'a>,
    pending: Pending<'a>,
    process: &Process<'a>,
    page: Option<&'static Page>,
    arena: &Arena<'a>,
) -> Fault<'a> {
    if let Err(fault) = pending.load(process, page) {
        return fault;
    }
    let errno = sys::execve(program.path, program.argv, program.envp);
    if pending.filter.is_some() {
        give_up(page, errno.raw_os_error());
    }
    let unknown = || Fault { op: Op::Execve, path: program.path, errno: errno.raw_os_error() };
    match errno {
        Errno::NOENT => match interpreter::missing(arena, program.path) {
            Some(path) => Fault { op: Op::Interpreter, path, errno: errno.raw_os_error() },
            None => unknown(),
        },
        _ => unknown(),
    }
}
