//! Namespaces that init enters itself: where a process of its own memory is needed, or one that
//! others have joined before.

use rustix::fd::BorrowedFd;
use rustix::process::DumpableBehavior;

use crate::config::{Namespaces, PROC_MAPPED, PROC_MAPS};
use crate::failure::{At, Fault, Op};
use crate::phase::ready;
use crate::sys::page::Page;
use crate::sys;

const NEW_USER: u64 = 0x1000_0000;
const NEW_TIME: u64 = 0x80;

/// Joins, unshares, and goes on in a child where that is needed. The process that was started
/// ends here then, and the child has the same parent.
///
/// User namespaces come first on both sides: the rights over the others follow from them.
pub fn enter(
    namespaces: &Namespaces<'_>,
    socket: BorrowedFd<'_>,
    page: Option<&'static Page>,
) -> Result<(), Fault<'static>> {
    for join in namespaces.join {
        sys::task::setns(join.fd, join.kind).at(Op::Setns, c"namespace")?;
        if join.kind & NEW_USER != 0 {
            become_root()?;
        }
    }
    let mapped = namespaces.unshare & (NEW_USER | NEW_TIME);
    if mapped != 0 {
        sys::task::unshare(mapped).at(Op::Unshare, c"user or time namespace")?;
        // An ordinary user may write the maps of dumpable processes only. Nothing of the container
        // can reach this one yet.
        dumpable(DumpableBehavior::Dumpable)?;
        ready::send(socket, PROC_MAPS)?;
        ready::wait(socket, PROC_MAPPED)?;
        dumpable(DumpableBehavior::NotDumpable)?;
        if mapped & NEW_USER != 0 {
            become_root()?;
        }
    }
    let rest = namespaces.unshare & !mapped;
    if rest != 0 {
        sys::task::unshare(rest).at(Op::Unshare, c"")?;
    }
    if namespaces.spawn {
        let page = page.ok_or(Fault::check(Op::Clone, c""))?;
        if !sys::task::clone_sibling(page).at(Op::Clone, c"")? {
            sys::exit(0);
        }
    }
    Ok(())
}

/// The first id of the user namespace; whatever the process was outside, here it is nobody.
fn become_root() -> Result<(), Fault<'static>> {
    let (uid, gid) = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
    rustix::thread::set_thread_res_gid(gid, gid, gid).at(Op::Setresgid, c"")?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).at(Op::Setresuid, c"")?;
    dumpable(DumpableBehavior::NotDumpable)
}

fn dumpable(behavior: DumpableBehavior) -> Result<(), Fault<'static>> {
    rustix::process::set_dumpable_behavior(behavior).at(Op::Dumpable, c"")
}

/// Whether init goes on as another process than the one that was started.
pub fn any(namespaces: &Namespaces<'_>) -> bool {
    namespaces.spawn || namespaces.unshare != 0 || !namespaces.join.is_empty()
}
