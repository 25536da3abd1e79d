//! Properties of the process that need the privileges of init.

use crate::config::Process;
use crate::failure::{At, Fault, Op};
use crate::procfs::Procfs;
use crate::sys;
use crate::wire::{Sink, Value};

/// All of them.
pub fn set(procfs: &Procfs, process: &Process<'_>) -> Result<(), Fault<'static>> {
    oom_score_adj(procfs, process)?;
    domains(process)?;
    no_new_privs(process)
}

/// Writes `oom_score_adj` (proc(5)) where the configuration asks for one.
fn oom_score_adj(procfs: &Procfs, process: &Process<'_>) -> Result<(), Fault<'static>> {
    let Some(score) = process.oom_score_adj else { return Ok(()) };
    let mut text = heapless::Vec::<u8, 16>::new();
    score.write(&mut text as &mut dyn Sink);
    procfs.write(c"self/oom_score_adj", &text)
}

/// `PR_SET_NO_NEW_PRIVS`: from here on no execve(2) grants anything.
fn no_new_privs(process: &Process<'_>) -> Result<(), Fault<'static>> {
    if !process.no_new_privs {
        return Ok(());
    }
    rustix::thread::set_no_new_privs(true).at(Op::Prctl, c"PR_SET_NO_NEW_PRIVS")
}

/// Execution domain and memory policy, where the configuration asks for them.
fn domains(process: &Process<'_>) -> Result<(), Fault<'static>> {
    if let Some(domain) = process.personality.checked_sub(1) {
        sys::task::personality(domain).at(Op::Personality, c"")?;
    }
    let policy = process.memory_policy;
    if policy.set {
        sys::task::set_mempolicy(policy.mode, policy.nodes).at(Op::Mempolicy, c"")?;
    }
    Ok(())
}

/// Init may be neither traced nor looked into (ptrace(2)). A change of ids resets this.
pub fn undumpable() -> Result<(), Fault<'static>> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .at(Op::Dumpable, c"")
}
