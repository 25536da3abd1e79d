//! The child between clone3 and execveat: in the harness's memory, with raw system calls only.

use std::ffi::CString;

use init_core::failure::{At, Fault, Op, Phase};
use init_core::phase::ready::report;
use init_core::sys::page::Page;
use init_core::sys::tty::{self, Received};
use rustix::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::process::Pid;

use super::way::Way;
use crate::cgroup::Entry;
use crate::error::{Context, Error, Result, describe};
use crate::plan::Kind;
use crate::sys;

/// What a child is started with.
pub struct Start<'s> {
    /// Way.
    pub way: &'s Way,
    /// Namespaces to join.
    pub joined: &'s [(OwnedFd, Kind)],
    /// Its cgroup.
    pub cgroup: &'s Entry,
    /// Its end of the connection.
    pub socket: &'s OwnedFd,
    /// The harness's end.
    pub peer: &'s OwnedFd,
    /// State directory of a new container; `None`: one more process in a container that exists.
    pub state: Option<RawFd>,
    /// Descriptors that init inherits.
    pub inherit: &'s [RawFd],
    /// Shared page.
    pub page: &'static Page,
    /// Share the memory until init is executed.
    pub share: bool,
}

/// The child's own copy: valid for the life of the process, made before the clone.
struct Setup {
    tasks: Vec<RawFd>,
    gate: Option<(RawFd, RawFd)>,
    joined: Vec<(RawFd, u32)>,
    template: Option<RawFd>,
    unshare: u32,
    inherit: Vec<RawFd>,
    socket: RawFd,
    peer: RawFd,
    argv: sys::Vector,
    envp: sys::Vector,
    page: &'static Page,
}

/// Starts the child. It waits for nothing but the maps of a user namespace and then for init, which the
/// harness seals meanwhile ([`Init::load`](super::handshake::Init::load)).
pub fn spawn(start: &Start<'_>) -> Result<(Pid, OwnedFd)> {
    let variable = |text: String| CString::new(text).unwrap_or_default();
    let context = Box::leak(Box::new(Setup {
        tasks: start.cgroup.tasks.iter().map(AsRawFd::as_raw_fd).collect(),
        gate: start.way.gate.as_ref().map(|(read, write)| (read.as_raw_fd(), write.as_raw_fd())),
        joined: start.joined.iter().map(|(file, kind)| (file.as_raw_fd(), kind.flag())).collect(),
        template: start.way.template.as_ref().map(AsRawFd::as_raw_fd),
        unshare: start.way.unshare,
        inherit: start.inherit.to_vec(),
        socket: start.socket.as_raw_fd(),
        peer: start.peer.as_raw_fd(),
        argv: sys::Vector::new([CString::from(c"init")]),
        envp: sys::Vector::new([
            variable(format!("_LIBCONTAINER_INITPIPE={}", start.socket.as_raw_fd())),
            variable(format!("_LIBCONTAINER_STATEDIR={}", start.state.unwrap_or(-1))),
            CString::from(match start.state {
                Some(_) => c"_LIBCONTAINER_INITTYPE=standard",
                None => c"_LIBCONTAINER_INITTYPE=setns",
            }),
        ]),
        page: start.page,
    }));
    let how = sys::Clone {
        namespaces: start.way.clone,
        share: start.share,
        cgroup: start.cgroup.unified.as_ref().map(AsFd::as_fd),
    };
    // A handler of ours must not run in the child, on memory that is also the parent's.
    let mask = sys::block_signals().host("sigprocmask", "")?;
    let spawned = sys::spawn(&how, context, main);
    sys::restore_signals(mask).host("sigprocmask", "")?;
    spawned.map_err(|errno| match start.way.clone & Kind::User.flag() {
        0 if errno == Errno::PERM && !rustix::process::geteuid().is_root() => Error::State(format!(
            "clone3 of init: {} (an ordinary user needs a user namespace: harness spec --rootless)",
            describe(errno)
        )),
        0 => Error::Host { op: "clone3", path: "of init".into(), errno },
        _ => Error::State(format!("clone3 with a user namespace: {}{}", describe(errno), forbidden_by())),
    })
}

/// Which settings of the host forbid user namespaces to ordinary users.
fn forbidden_by() -> String {
    let settings = [
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("user/max_user_namespaces", "0", "more than 0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0, or give the runtime a profile"),
    ];
    let set = |file: &str| std::fs::read_to_string(format!("/proc/sys/{file}")).unwrap_or_default();
    let found = settings.iter().filter(|(file, forbids, _)| set(file).trim() == *forbids);
    found
        .map(|(file, forbids, instead)| {
            format!(" ({} is {forbids}: set it to {instead})", file.replace('/', "."))
        })
        .collect()
}

extern "C" fn main(context: &'static Setup) -> ! {
    context.page.enter(Phase::Clone, 0);
    let fault = match enter(context).and_then(|()| image(context)) {
        Ok(image) => {
            let errno = sys::execute(image.as_fd(), &context.argv, &context.envp);
            Fault { op: Op::Execveat, path: c"init", errno: errno.raw_os_error() }
        }
        Err(fault) => fault,
    };
    report(sys::borrow(context.socket), Phase::Clone, &fault);
    init_core::sys::exit(1)
}

fn enter(context: &Setup) -> core::result::Result<(), Fault<'static>> {
    // The harness's end is its own alone, so that its death is an end of file.
    drop(init_core::sys::adopt(context.peer));
    // Into the cgroups of v1 first: the cgroup namespace below takes them as its root.
    for tasks in &context.tasks {
        rustix::io::write(sys::borrow(*tasks), b"0").at(Op::JoinCgroup, c"tasks")?;
    }
    if let Some((read, write)) = context.gate {
        // An end of file is the harness's death: its end of the pipe is the only one left.
        drop(init_core::sys::adopt(write));
        let mut byte = [0];
        if rustix::io::read(sys::borrow(read), &mut byte).at(Op::Read, c"maps")? != 1 {
            return Err(Fault::check(Op::ParentDied, c""));
        }
        let (uid, gid) = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
        rustix::thread::set_thread_res_gid(gid, gid, gid).at(Op::Setresgid, c"")?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).at(Op::Setresuid, c"")?;
    }
    for (namespace, kind) in &context.joined {
        sys::setns(sys::borrow(*namespace), *kind).at(Op::Setns, c"namespace")?;
    }
    if let Some(template) = context.template {
        sys::setns(sys::borrow(template), Kind::Mount.flag()).at(Op::Setns, c"template")?;
    }
    if context.unshare != 0 {
        sys::unshare(context.unshare).at(Op::Unshare, c"")?;
    }
    for number in &context.inherit {
        rustix::io::fcntl_setfd(sys::borrow(*number), rustix::io::FdFlags::empty())
            .at(Op::Dup, c"inherit")?;
    }
    Ok(())
}

/// Init, as the harness has sealed it.
fn image(context: &Setup) -> core::result::Result<OwnedFd, Fault<'static>> {
    let (mut word, mut came) = ([0], Received::default());
    // No signal interrupts it: all are blocked.
    match tty::receive_with(sys::borrow(context.socket), &mut word, &mut came) {
        Err(Errno::CONNRESET) => return Err(Fault::check(Op::ParentDied, c"")),
        done => done.at(Op::Read, c"image")?,
    }
    // Without one, a security module has kept it back.
    came.get(0).map(init_core::sys::adopt).ok_or(Fault::check(Op::Read, c"image"))
}
