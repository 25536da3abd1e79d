//! The setns init: the steps of one more process in a container that exists, in order. It shares
//! the phases with [`standard`](crate::standard), not the list.

use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::FdFlags;

use crate::config::{InitConfig, PROC_DONE, Process};
use crate::failure::{At, Fault, Op, Phase};
use crate::phase::{
    console, environment, exec, finalize, keyring, label, lookpath, namespaces, parent, process, ready, seal,
};
use crate::procfs::Procfs;
use crate::sys::arena::Arena;
use crate::sys::descriptor;
use crate::{Bootstrap, Sections};

/// Joins the container and becomes the process. Returns only on failure.
pub(crate) fn init<'a>(
    init: &mut Bootstrap,
    config: &InitConfig<'a>,
    sections: Sections<'a>,
    arena: &Arena<'a>,
) -> Fault<'a> {
    let pending = exec::Pending::new(sections.filter, &config.process);
    match prepare(init, config, pending, arena) {
        Ok((program, process)) => exec::exec(&program, pending, &process, init.page, arena),
        Err(fault) => fault,
    }
}

#[inline(never)]
fn prepare<'a>(
    init: &mut Bootstrap,
    config: &InitConfig<'a>,
    pending: exec::Pending<'a>,
    arena: &Arena<'a>,
) -> Result<(exec::Program<'a>, Process<'a>), Fault<'a>> {
    let plan = &config.process;
    let socket = descriptor(init.socket);
    let harness = descriptor(config.parent);

    // The end of the connection is the execve, so it must not outlive that.
    rustix::io::fcntl_setfd(socket, FdFlags::CLOEXEC).at(Op::Dup, c"socket")?;

    // First, from outside: what joins a pid namespace is the child, which has never been anything
    // but the sealed init.
    init.enter(Phase::Namespaces);
    namespaces::enter(&config.namespaces, socket, init.page)?;

    // A child does not inherit the parent-death signal.
    init.enter(Phase::Parent);
    parent::watch(harness)?;

    // The container's keys instead of the caller's, before anything of the container is touched.
    init.enter(Phase::Keyring);
    if !config.keyring.is_empty() {
        keyring::join(config.keyring, false)?;
    }

    // A session of its own even without a terminal: nothing can type into the caller's.
    init.enter(Phase::Console);
    console::new_session()?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(c"/", flags, Mode::empty()).at(Op::Open, c"/")?;
    if config.terminal.open {
        console::open(root.as_fd(), config.terminal, socket)?;
    }

    // While init may still raise or lower the score, and before credentials change.
    init.enter(Phase::Process);
    let procfs = Procfs::of_container(&root)?;
    process::set(&procfs, plan)?;

    // All that needs the harness is done: it raises hard limits.
    init.enter(Phase::Ready);
    ready::run(socket, config.ahead)?;

    // Before the ids change: the label is the set-up's to give.
    if !config.labels.selinux.is_empty() {
        init.enter(Phase::Label);
        label::selinux(&procfs, config.labels.selinux)?;
    }

    // With the process's identity from here on.
    init.enter(Phase::Finalize);
    finalize::drop_bounding(plan.capabilities.bounding)?;
    finalize::identity(root.as_fd(), plan, pending.more())?;

    // As late as it can be read back; it takes effect at the execve.
    if !config.labels.apparmor.is_empty() {
        init.enter(Phase::AppArmor);
        label::apparmor(&procfs, config.labels.apparmor)?;
    }

    // The credentials' change has cleared the parent-death signal, so it was armed anew; the
    // parent may have died in between.
    init.enter(Phase::Parent);
    parent::check(harness)?;

    // With the final ids, so that permissions count.
    init.enter(Phase::LookPath);
    let first = plan.args.first().ok_or(Fault::check(Op::LookPath, c""))?;
    let path = lookpath::find(arena, first, plan.env)?;
    pending.foresee(arena, path)?;
    let process = Process { env: environment::complete(plan, root.as_fd(), arena)?, ..*plan };
    let (argv, envp) = exec::vectors(arena, &process).map_err(|_| Fault::check(Op::Memory, c""))?;

    // What would have been in init's own way before, and the proof that all is as asked for.
    init.enter(Phase::Seal);
    let status = seal::open_status(&procfs)?;
    seal::limits(plan.rlimits)?;
    seal::raise_ambient(plan.capabilities.ambient)?;
    seal::read_back(&status, plan, pending.more())?;
    ready::send(socket, PROC_DONE)?;
    parent::restore(plan.parent_death_signal)?;
    core::mem::forget((root, procfs));
    seal::close_all_but(plan.preserve, &mut [socket.as_raw_fd()])?;
    core::mem::forget(status);

    init.enter(Phase::Exec);
    Ok((exec::Program { path, argv, envp }, process))
}
