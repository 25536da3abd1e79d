//! System calls about the process itself: namespaces, clone3, filter, execution domain, memory policy.

use linux_raw_sys::general as raw;
use rustix::fd::RawFd;
use rustix::io::Result;

use super::arch::syscall;
use super::check;
use super::page::Page;

/// setns(2): joins the namespaces `kind` of what `number` refers to, a namespace's file or a pidfd.
pub fn setns(number: RawFd, kind: u64) -> Result<()> {
    // SAFETY: the call takes numbers; init has one thread, and no memory changes its meaning.
    check(unsafe { syscall(raw::__NR_setns, [number as usize, kind as usize, 0, 0, 0]) }).map(drop)
}

/// unshare(2) of namespaces.
pub fn unshare(kinds: u64) -> Result<()> {
    // SAFETY: the call takes a number; no caller passes CLONE_FILES, so no descriptor changes its
    // meaning.
    check(unsafe { syscall(raw::__NR_unshare, [kinds as usize, 0, 0, 0, 0]) }).map(drop)
}

/// clone3(2) with `CLONE_PARENT`: a copy of this process with the same parent. The kernel stores the
/// copy's pid, as this process sees it, in the shared page. True in the copy.
pub fn clone_sibling(page: &Page) -> Result<bool> {
    let args = raw::clone_args {
        flags: u64::from(raw::CLONE_PARENT | raw::CLONE_PARENT_SETTID),
        pidfd: 0,
        child_tid: 0,
        parent_tid: page.pid_address() as u64,
        // With CLONE_PARENT it is that of the caller (clone(2)).
        exit_signal: 0,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: without CLONE_VM the copy has its own memory and goes on from here on a copy of the
    // stack; the kernel writes the pid to an atomic word of the mapped page.
    let pid =
        check(unsafe { syscall(raw::__NR_clone3, [&raw const args as usize, size_of_val(&args), 0, 0, 0]) })?;
    Ok(pid == 0)
}

/// `struct sock_fprog` of linux/filter.h.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const u8,
}

/// seccomp(2) `SECCOMP_SET_MODE_FILTER`: installs `filter`, whole 8-byte instructions. The number
/// of the listener's descriptor, where `flags` ask for one.
pub fn set_filter(filter: &[u8], flags: u32) -> Result<usize> {
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    let program = Program { length: (filter.len() / 8) as u16, instructions: filter.as_ptr() };
    let args = [SECCOMP_SET_MODE_FILTER, flags as usize, &raw const program as usize, 0, 0];
    // SAFETY: the kernel reads `length` instructions of 8 bytes, which the borrowed slice holds, and
    // verifies them.
    check(unsafe { syscall(raw::__NR_seccomp, args) })
}

/// personality(2).
pub fn personality(domain: u64) -> Result<()> {
    // SAFETY: the call takes a number.
    check(unsafe { syscall(raw::__NR_personality, [domain as usize, 0, 0, 0, 0]) }).map(drop)
}

/// `set_mempolicy(2)` for nodes 0 to 63.
pub fn set_mempolicy(mode: u32, nodes: u64) -> Result<()> {
    // The kernel reads one bit less than it is told.
    let bits = if nodes == 0 { 0 } else { u64::BITS as usize + 1 };
    let mask = if nodes == 0 { 0 } else { &raw const nodes as usize };
    // SAFETY: the kernel reads 64 bits at the mask's address, if there is one; it outlives the call.
    check(unsafe { syscall(raw::__NR_set_mempolicy, [mode as usize, mask, bits, 0, 0]) }).map(drop)
}
