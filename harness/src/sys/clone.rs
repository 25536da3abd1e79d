//! clone3(2) without a fork: the child runs in the harness's memory, on a stack of its own, until
//! it executes init.

use core::arch::asm;
use std::ffi::c_void;
use std::mem::MaybeUninit;

use linux_raw_sys::general as raw;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Result;
use rustix::process::Pid;

/// Enough for raw system calls and one error frame. Aligned as the ABI wants it, to 16.
const STACK: usize = 32 * 1024;

/// How to clone.
pub struct Clone<'c> {
    /// `CLONE_NEW*` flags.
    pub namespaces: u32,
    /// Share the memory. Not under a memory limit: the OOM killer takes all who share it.
    pub share: bool,
    /// cgroup v2 directory to start in.
    pub cgroup: Option<BorrowedFd<'c>>,
}

/// Starts a child, which shares the memory where asked to, and calls `main(context)`. Returns its pid and pidfd.
///
/// All signals must be blocked. The child must make system calls only: no allocation, no locks,
/// nothing of libc, whose thread-local data it shares.
pub fn spawn<T: Sync>(
    how: &Clone<'_>,
    context: &'static T,
    main: extern "C" fn(&'static T) -> !,
) -> Result<(Pid, OwnedFd)> {
    // Never freed: the child uses it until it executes init. A mapping would be one more to make and undo.
    let stack = vec![MaybeUninit::<u128>::uninit(); STACK / size_of::<u128>()].leak();
    let mut pidfd: i32 = -1;
    let share = if how.share { raw::CLONE_VM } else { 0 };
    let mut flags = u64::from(share | raw::CLONE_PIDFD | how.namespaces);
    if how.cgroup.is_some() {
        flags |= raw::CLONE_INTO_CGROUP;
    }
    let args = raw::clone_args {
        flags,
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(raw::SIGCHLD),
        stack: stack.as_mut_ptr() as u64,
        stack_size: STACK as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: how.cgroup.map_or(0, |cgroup| cgroup.as_raw_fd() as u64),
    };
    // SAFETY: `main` never returns, `context` is valid for the life of the process, and nobody else
    // has the child's stack.
    let pid = super::check(unsafe { clone3(&args, main as *const c_void, (&raw const *context).cast()) })?;
    // SAFETY: CLONE_PIDFD stored a new descriptor that nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = Pid::from_raw(pid as i32).ok_or(rustix::io::Errno::CHILD)?;
    Ok((pid, pidfd))
}

/// The call itself. In the child the kernel has set the stack pointer to the end of the new stack,
/// which is aligned, so `main` can be called at once.
///
/// # Safety
/// `main` must not return, and must be sound to run with the parent's memory.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(args: &raw::clone_args, main: *const c_void, context: *const c_void) -> isize {
    let out: isize;
    // SAFETY: the parent's registers are clobbered as by any system call; the child does not come
    // back from the call.
    unsafe {
        asm!(
            "syscall", "test rax, rax", "jnz 2f", "xor ebp, ebp", "mov rdi, r12", "call r13", "ud2", "2:",
            inlateout("rax") raw::__NR_clone3 as usize => out,
            in("rdi") args, in("rsi") size_of::<raw::clone_args>(), in("r12") context, in("r13") main,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    out
}

/// See the variant for x86-64.
///
/// # Safety
/// `main` must not return, and must be sound to run with the parent's memory.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(args: &raw::clone_args, main: *const c_void, context: *const c_void) -> isize {
    let out: isize;
    // SAFETY: `svc 0` preserves every register but x0; the child does not come back from the call.
    unsafe {
        asm!(
            "svc 0", "cbnz x0, 2f", "mov x29, #0", "mov x30, #0", "mov x0, x9", "blr x10", "brk #1", "2:",
            in("x8") raw::__NR_clone3 as usize, inlateout("x0") args => out,
            in("x1") size_of::<raw::clone_args>(), in("x9") context, in("x10") main,
        );
    }
    out
}

/// See the variant for x86-64.
///
/// # Safety
/// `main` must not return, and must be sound to run with the parent's memory.
#[cfg(target_arch = "riscv64")]
unsafe fn clone3(args: &raw::clone_args, main: *const c_void, context: *const c_void) -> isize {
    let out: isize;
    // SAFETY: `ecall` preserves every register but a0; the child does not come back from the call.
    unsafe {
        asm!(
            "ecall", "bnez a0, 2f", "mv a0, t3", "jalr t4", "unimp", "2:",
            in("a7") raw::__NR_clone3 as usize, inlateout("a0") args => out,
            in("a1") size_of::<raw::clone_args>(), in("t3") context, in("t4") main,
        );
    }
    out
}
