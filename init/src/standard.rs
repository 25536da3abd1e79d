//! The standard init: the steps of a new container, in order. This list is the table of contents;
//! the sentence above each step says why it stands there.

use core::ffi::{CStr, c_char};

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::config::{InitConfig, PROC_DONE, PROC_HOOKS, PROC_NETWORK, PROC_RESUME, Process, switch};
use crate::failure::{Fault, Op, Phase};
use crate::path::Parent;
use crate::phase::gate::Spent;
use crate::phase::mounts::Mounts;
use crate::phase::{
    console, devices, environment, exec, finalize, gate, identity, keyring, label, links, lookpath, mounts,
    namespaces, network, parent, paths, pivot, process, ready, rootfs, seal, sysctl,
};
use crate::sys::arena::{Arena, Full};
use crate::sys::descriptor;
use crate::{Bootstrap, Sections};

/// Sets the container up and tells the harness that it is created.
///
/// `arena` holds the configuration; what is needed after the gate is copied to `rest`, so that
/// the memory in `spent` can be given back while the container waits.
pub(crate) fn init<'a>(
    init: &mut Bootstrap,
    config: &InitConfig<'a>,
    sections: Sections<'a>,
    arena: &Arena<'a>,
    rest: &Arena<'a>,
    spent: Spent,
) -> Result<Kept<'a>, Fault<'a>> {
    let prepared = prepare(init, config, sections, arena)?;
    keep(init, prepared, arena, rest, spent)
}

/// What `prepare` leaves.
struct Prepared<'a> {
    path: &'a CStr,
    process: Process<'a>,
    procfs: mounts::Handle,
    fifo: OwnedFd,
    filter: exec::Pending<'a>,
}

/// What `start` needs once the gate is open.
pub(crate) struct Kept<'a> {
    path: &'a CStr,
    argv: &'a [*const c_char],
    envp: &'a [*const c_char],
    process: Process<'a>,
    procfs: mounts::Handle,
    fifo: OwnedFd,
    filter: exec::Pending<'a>,
    spent: Spent,
}

/// Up to `created`.
#[allow(clippy::too_many_lines)] // The list of steps, with a sentence for each.
fn prepare<'a>(
    init: &mut Bootstrap,
    config: &InitConfig<'a>,
    sections: Sections<'a>,
    arena: &Arena<'a>,
) -> Result<Prepared<'a>, Fault<'a>> {
    let plan = &config.process;
    let socket = descriptor(init.socket);
    let harness = descriptor(config.parent);
    let filter = exec::Pending::new(sections.filter, plan);

    // Before everything else: a pid namespace holds only what is made after it was entered.
    if namespaces::any(&config.namespaces) {
        init.enter(Phase::Namespaces);
        namespaces::enter(&config.namespaces, socket, init.page)?;
    }

    // First of all: should the harness die from here on, so does init.
    init.enter(Phase::Parent);
    parent::watch(harness)?;

    // Before anything of the image is touched, so that no key of the caller's session is in reach.
    init.enter(Phase::Keyring);
    if !config.keyring.is_empty() {
        keyring::join(config.keyring, true)?;
    }

    // A session of its own even without a terminal: nothing can type into the caller's.
    init.enter(Phase::Console);
    console::new_session()?;

    // The own procfs before the first mount of the image; then the root that all paths mean.
    init.enter(Phase::Rootfs);
    let inside = config.root.switch == switch::STACK;
    let mut mounts = Mounts::new([config.early.mounts, config.late.mounts], socket, inside)?;
    let root = rootfs::attach_root(&config.root)?;

    // What needs no network namespace first: the harness is making that meanwhile.
    init.enter(Phase::Mounts);
    mounts.apply(root.as_fd(), config.early.mounts)?;

    // After the mount of /dev, before anything is masked with its null device.
    let dev_is_early = !config.early.mounts.is_empty();
    if dev_is_early {
        fill_dev(init, config, root.as_fd(), mounts.take_dev())?;
    }

    // On the fast path init is in its root already, so paths on procfs need not wait either.
    let mut masks = paths::Masks::default();
    init.enter(Phase::ReadonlyPaths);
    paths::readonly(root.as_fd(), config.early.readonly_paths)?;
    init.enter(Phase::MaskedPaths);
    masks.apply(root.as_fd(), config.early.masked_paths)?;

    // While there is nothing else to do than to wait for the network namespace. Init keeps what it holds:
    // the set counts at an execve.
    init.enter(Phase::Finalize);
    finalize::drop_bounding(plan.capabilities.bounding)?;

    // As late as possible, but before sysfs, which shows the namespace of the one who mounts it.
    init.enter(Phase::Network);
    if config.network.wait {
        if !config.network.join {
            ready::send(socket, PROC_NETWORK)?;
        }
        ready::wait(socket, PROC_NETWORK)?;
    }
    if config.network.join {
        network::join(harness)?;
    }
    if config.network.loopback {
        network::loopback()?;
    }
    // A route needs a device that is up.
    network::configure(sections.netlink, arena)?;

    // The rest of the mounts, in the order of the configuration.
    init.enter(Phase::Mounts);
    mounts.apply(root.as_fd(), config.late.mounts)?;
    if !dev_is_early {
        fill_dev(init, config, root.as_fd(), mounts.take_dev())?;
    }

    // The container is as hooks may see it, and the host's paths are still there for theirs.
    if config.hooks {
        init.enter(Phase::Hooks);
        ready::send(socket, PROC_HOOKS)?;
        ready::wait(socket, PROC_RESUME)?;
    }

    // After the mounts: sources are paths of the old root where the harness cannot clone them.
    init.enter(Phase::Pivot);
    pivot::switch(root.as_fd(), config.root.switch)?;

    // Any time in the new UTS namespace.
    init.enter(Phase::Identity);
    identity::hostname(config.hostname)?;
    identity::domainname(config.domainname)?;

    // Before paths of procfs are covered; both take effect at the execve.
    if !config.labels.apparmor.is_empty() {
        init.enter(Phase::AppArmor);
        label::apparmor(&mounts.procfs.mount, config.labels.apparmor)?;
    }
    if !config.labels.selinux.is_empty() {
        init.enter(Phase::Label);
        label::selinux(&mounts.procfs.mount, config.labels.selinux)?;
    }

    // Before /proc/sys becomes read-only, after the network namespace whose parameters these may be.
    init.enter(Phase::Sysctl);
    sysctl::write(&mounts.procfs.mount, config.sysctl)?;

    // After all mounts, or one of them could lie on top.
    init.enter(Phase::ReadonlyPaths);
    paths::readonly(root.as_fd(), config.late.readonly_paths)?;
    // After the read-only ones: a masked file below a read-only directory stays masked.
    init.enter(Phase::MaskedPaths);
    masks.apply(root.as_fd(), config.late.masked_paths)?;
    masks.release();

    // While init may still raise or lower the score, and before credentials change.
    init.enter(Phase::Process);
    process::set(&mounts.procfs.mount, plan)?;

    // All that needs the harness is done: it raises hard limits, and knows whom to kill.
    init.enter(Phase::Ready);
    ready::run(socket, config.ahead)?;

    // With the process's identity from here on, while the root is still writable for its cwd.
    init.enter(Phase::Finalize);
    finalize::working_directory(root.as_fd(), plan)?;
    // Last of the mounts: nothing is made in the image any more.
    init.enter(Phase::Readonly);
    mounts.seal()?;
    rootfs::seal(&root, &config.root)?;
    init.enter(Phase::Finalize);
    finalize::identity(root.as_fd(), plan, filter.more())?;

    // The credentials' change has cleared the parent-death signal, so it was armed anew; the
    // parent may have died in between.
    init.enter(Phase::Parent);
    parent::check(harness)?;

    // With the final ids, so that permissions count; before `created`, so that `create` fails.
    init.enter(Phase::LookPath);
    let first = plan.args.first().ok_or(Fault::check(Op::LookPath, c""))?;
    let path = lookpath::find(arena, first, plan.env)?;
    filter.foresee(arena, path)?;
    let process = Process { env: environment::complete(plan, root.as_fd(), arena)?, ..*plan };

    // Nothing of the host may be open while the container is `created`.
    init.enter(Phase::Seal);
    let procfs = mounts.procfs;
    let fifo = init.fifo.take().ok_or(Fault::check(Op::Open, gate::EXEC_FIFO))?;
    let keep = [init.socket, fifo.as_raw_fd(), procfs.mount.as_fd().as_raw_fd()];
    seal::close_all_but(plan.preserve, &mut { keep })?;
    core::mem::forget(root);

    Ok(Prepared { path, process, procfs, fifo, filter })
}

/// Nodes, links, and the terminal from the container's own /dev/pts.
fn fill_dev<'a>(
    init: &mut Bootstrap,
    config: &InitConfig<'a>,
    root: BorrowedFd<'_>,
    dev: Option<OwnedFd>,
) -> Result<(), Fault<'a>> {
    let mut parent = Parent::new(dev);
    init.enter(Phase::Devices);
    devices::make(root, &mut parent, config.devices)?;
    init.enter(Phase::Links);
    links::make(root, &mut parent, config.links)?;
    parent.release();
    // Before hooks may look at it.
    if config.terminal.open {
        init.enter(Phase::Console);
        console::open(root, config.terminal, descriptor(init.socket))?;
    }
    Ok(())
}

/// Copies what is needed after the gate and tells the harness that the container is created. Not inlined,
/// which would take 240 bytes more.
#[inline(never)]
fn keep<'a>(
    init: &mut Bootstrap,
    prepared: Prepared<'a>,
    arena: &Arena<'a>,
    rest: &Arena<'a>,
    mut spent: Spent,
) -> Result<Kept<'a>, Fault<'a>> {
    let Prepared { path, process, procfs, fifo, filter } = prepared;
    let full = |Full| Fault::check(Op::Memory, c"");
    let apart = || -> Result<_, Full> {
        let (path, process) = (rest.copy(path)?, process.copy(rest)?);
        Ok((path, process, exec::vectors(rest, &process)?))
    };
    let (path, process, (argv, envp)) = match apart() {
        Ok(apart) => apart,
        // Too much to keep apart: then all of it stays.
        Err(Full) => {
            spent.memory = [0..0, 0..0, 0..0];
            (path, process, exec::vectors(arena, &process).map_err(full)?)
        }
    };
    spent.memory[2] = rest.unused();
    let kept = Kept { path, argv, envp, process, procfs, fifo, filter, spent };

    // From here on the container may outlive its runtime.
    parent::restore(kept.process.parent_death_signal)?;
    ready::send(descriptor(init.socket), PROC_DONE)?;
    Ok(kept)
}

/// An init that is on a stack of its own, for the one before is given back.
pub(crate) struct Waiting {
    pub init: Bootstrap,
    pub kept: Kept<'static>,
    pub rest: Arena<'static>,
}

/// From `created` to the process. Returns only on failure, with the exit status.
pub(crate) fn start(waiting: &mut Waiting) -> i32 {
    let Waiting { init, kept, rest } = waiting;
    let fault = match released(init, kept) {
        Ok(()) => {
            let program = exec::Program { path: kept.path, argv: kept.argv, envp: kept.envp };
            exec::exec(&program, kept.filter, &kept.process, init.page, rest)
        }
        Err(fault) => fault,
    };
    init.report(&fault);
    1
}

fn released<'a>(init: &mut Bootstrap, kept: &Kept<'a>) -> Result<(), Fault<'a>> {
    // The harness has heard Done; the socket would be a descriptor of the host.
    init.enter(Phase::Gate);
    init.close_socket();
    // Before a low limit on descriptors, and while the harness ends.
    let procfs = &kept.procfs.mount;
    let status = seal::open_status(procfs)?;
    let fifo = gate::wait(procfs, &kept.fifo, &kept.spent)?;
    init.gate = Some(fifo);

    // A low limit on descriptors would have stopped the gate from being opened.
    init.enter(Phase::Seal);
    seal::limits(kept.process.rlimits)?;
    // Permitted and inheritable set are final, which the ambient one must be part of.
    seal::raise_ambient(kept.process.capabilities.ambient)?;
    // Last: what the kernel says must be what was asked for.
    seal::read_back(&status, &kept.process, kept.filter.more())?;
    let gate = init.gate.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    seal::close_all_but(kept.process.preserve, &mut [gate])?;
    init.enter(Phase::Exec);
    Ok(())
}
