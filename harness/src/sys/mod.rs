//! The only unsafe code of the harness: its entry point, clone3, and calls that rustix lacks.
#![allow(unsafe_code)]

mod alloc;
mod bpf;
mod clone;
mod entry;
#[cfg(all(test, target_arch = "x86_64"))]
pub mod probe;
mod signals;
mod task;
mod usage;

use std::ffi::{CString, c_char};

use init_core::sys::arch::syscall;
use init_core::sys::check;
pub use init_core::sys::set_limit;
use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};

pub use bpf::{
    ProgramName, attach_device_program, detach_device_program, device_programs, load_device_program,
    named_program, pin_program, pinned_program, program_name,
};
pub use clone::{Clone, spawn};
pub use signals::{
    Mask, block_signals, catch_interrupts, interrupted, is_ending, next_signal, restore_signals,
    unblock_signals,
};
pub use task::{ended_by, map_ids, set_io_priority, set_scheduler};
pub use usage::{Usage, wait_usage};

/// A descriptor of this process, by number.
pub fn borrow(number: RawFd) -> BorrowedFd<'static> {
    init_core::sys::descriptor(number)
}

/// The effective user id that the process was started with (`AT_EUID`, getauxval(3)), which the harness
/// never changes.
pub fn effective_uid() -> u32 {
    const AT_EUID: std::ffi::c_ulong = 12;
    unsafe extern "C" {
        safe fn getauxval(kind: std::ffi::c_ulong) -> std::ffi::c_ulong;
    }
    getauxval(AT_EUID) as u32
}

/// Opens /dev/null in the place of standard streams that the caller has closed.
pub fn open_missing_streams() -> crate::error::Result<()> {
    use crate::error::Context;
    use rustix::event::{PollFd, PollFlags};
    use rustix::fs::{Mode, OFlags};
    let mut streams = [0, 1, 2].map(|number| PollFd::from_borrowed_fd(borrow(number), PollFlags::empty()));
    rustix::event::poll(&mut streams, Some(&crate::process::NOW)).host("poll", "standard streams")?;
    for _ in streams.iter().filter(|stream| stream.revents().contains(PollFlags::NVAL)) {
        // The lowest free number, so in order.
        let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()).host("open", "/dev/null")?;
        std::mem::forget(null);
    }
    Ok(())
}

/// Marks every descriptor from 3 up close-on-exec: what the caller left open is not for the
/// container (`close_range(2)`).
pub fn close_on_exec_from_3() -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    let args = [3, u32::MAX as usize, CLOSE_RANGE_CLOEXEC, 0, 0];
    // SAFETY: the call takes numbers and closes nothing.
    check(unsafe { syscall(raw::__NR_close_range, args) }).map(drop)
}

/// Lets a command call `enter` between fork and exec; it may make system calls only.
pub fn before_exec(
    command: &mut std::process::Command,
    enter: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: the harness has one thread where it runs commands, and `enter` makes system calls
    // alone, so no lock and no allocator is left in a state of another thread's.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, enter) };
}

/// unshare(2).
pub fn unshare(flags: u32) -> Result<()> {
    // SAFETY: the call takes a number; no caller passes CLONE_FILES or CLONE_VM, so no borrowed
    // descriptor and no memory changes its meaning.
    check(unsafe { syscall(raw::__NR_unshare, [flags as usize, 0, 0, 0, 0]) }).map(drop)
}

/// setns(2); `kind` 0 takes whatever the descriptor is.
pub fn setns(namespace: impl AsFd, kind: u32) -> Result<()> {
    let args = [namespace.as_fd().as_raw_fd() as usize, kind as usize, 0, 0, 0];
    // SAFETY: the call takes numbers.
    check(unsafe { syscall(raw::__NR_setns, args) }).map(drop)
}

/// `ioctl_ns(2)` `NS_GET_NSTYPE`: the clone(2) flag of a namespace's kind.
pub fn namespace_kind(namespace: impl AsFd) -> Result<u32> {
    const NS_GET_NSTYPE: usize = 0xb703;
    let args = [namespace.as_fd().as_raw_fd() as usize, NS_GET_NSTYPE, 0, 0, 0];
    // SAFETY: the request takes no argument.
    check(unsafe { syscall(raw::__NR_ioctl, args) }).map(|kind| kind as u32)
}

/// `PIDFD_GET_USER_NAMESPACE` of linux/pidfd.h, since Linux 6.11: the user namespace of a process.
pub fn user_namespace(process: impl AsFd) -> Result<OwnedFd> {
    const PIDFD_GET_USER_NAMESPACE: usize = 0xff09;
    let args = [process.as_fd().as_raw_fd() as usize, PIDFD_GET_USER_NAMESPACE, 0, 0, 0];
    // SAFETY: the request takes no argument.
    let namespace = check(unsafe { syscall(raw::__NR_ioctl, args) })?;
    // SAFETY: the call returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(namespace as i32) })
}

/// An argument vector or environment of execve(2): strings that are never freed, and the pointers
/// to them with a null one at the end.
pub struct Vector(Vec<*const c_char>);

// SAFETY: the pointers are never written through, and what they point to is leaked.
unsafe impl Sync for Vector {}

impl Vector {
    /// Leaks the strings.
    pub fn new<const N: usize>(texts: [CString; N]) -> Self {
        Self(texts.map(|text| text.into_raw().cast_const()).into_iter().chain([std::ptr::null()]).collect())
    }
}

/// execveat(2) of the file that `image` refers to. Returns only on failure.
pub fn execute(image: impl AsFd, argv: &Vector, envp: &Vector) -> Errno {
    let empty = c"".as_ptr() as usize;
    let image = image.as_fd().as_raw_fd() as usize;
    let args =
        [image, empty, argv.0.as_ptr() as usize, envp.0.as_ptr() as usize, raw::AT_EMPTY_PATH as usize];
    // SAFETY: both vectors end with a null pointer and their strings are never freed.
    match check(unsafe { syscall(raw::__NR_execveat, args) }) {
        Ok(_) => Errno::NOSYS,
        Err(errno) => errno,
    }
}

/// pidfd_send_signal(2) of any signal number; real-time signals have no name in rustix.
pub fn send_signal(process: impl AsFd, signal: i32) -> Result<()> {
    let args = [process.as_fd().as_raw_fd() as usize, signal as usize, 0, 0, 0];
    // SAFETY: the call takes numbers; siginfo is null.
    check(unsafe { syscall(raw::__NR_pidfd_send_signal, args) }).map(drop)
}

/// prlimit(2): soft and hard limit of a process, 0 being the caller.
pub fn limit(pid: i32, resource: u32) -> Result<(u64, u64)> {
    let mut old = raw::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let args = [pid as usize, resource as usize, 0, &raw mut old as usize, 0];
    // SAFETY: the kernel writes one rlimit64 into the exclusively borrowed `old`.
    check(unsafe { syscall(raw::__NR_prlimit64, args) })?;
    Ok((old.rlim_cur, old.rlim_max))
}

/// seccomp(2) `SECCOMP_GET_ACTION_AVAIL`: EOPNOTSUPP if the kernel does not know the action.
pub fn action_available(action: u32) -> Result<()> {
    const SECCOMP_GET_ACTION_AVAIL: usize = 2;
    let args = [SECCOMP_GET_ACTION_AVAIL, 0, &raw const action as usize, 0, 0];
    // SAFETY: the kernel reads one 32-bit action, which outlives the call.
    check(unsafe { syscall(raw::__NR_seccomp, args) }).map(drop)
}
