//! The system call instruction of each architecture, and the way to another stack.

use core::arch::asm;

/// Makes a system call with up to five arguments and returns the kernel's raw word:
/// a value, or the negated errno in -4095..=-1 (syscall(2)).
///
/// # Safety
/// The arguments must satisfy what the manual page of call `nr` says of them.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::inline_always)] // `sys::open_trimmed` may call nothing.
#[inline(always)]
pub unsafe fn syscall(nr: u32, args: [usize; 5]) -> isize {
    let out: isize;
    // SAFETY: the kernel's entry clobbers rcx and r11 only; the caller answers for the arguments.
    unsafe {
        asm!("syscall", inlateout("rax") nr as usize => out, in("rdi") args[0], in("rsi") args[1],
             in("rdx") args[2], in("r10") args[3], in("r8") args[4],
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    out
}

/// See the variant for x86-64.
///
/// # Safety
/// The arguments must satisfy what the manual page of call `nr` says of them.
#[cfg(target_arch = "aarch64")]
#[allow(clippy::inline_always)] // `sys::open_trimmed` may call nothing.
#[inline(always)]
pub unsafe fn syscall(nr: u32, args: [usize; 5]) -> isize {
    let out: isize;
    // SAFETY: `svc 0` preserves every register but x0; the caller answers for the arguments.
    unsafe {
        asm!("svc 0", in("x8") nr as usize, inlateout("x0") args[0] => out, in("x1") args[1],
             in("x2") args[2], in("x3") args[3], in("x4") args[4], options(nostack));
    }
    out
}

/// See the variant for x86-64.
///
/// # Safety
/// The arguments must satisfy what the manual page of call `nr` says of them.
#[cfg(target_arch = "riscv64")]
#[allow(clippy::inline_always)] // `sys::open_trimmed` may call nothing.
#[inline(always)]
pub unsafe fn syscall(nr: u32, args: [usize; 5]) -> isize {
    let out: isize;
    // SAFETY: `ecall` preserves every register but a0; the caller answers for the arguments.
    unsafe {
        asm!("ecall", in("a7") nr as usize, inlateout("a0") args[0] => out, in("a1") args[1],
             in("a2") args[2], in("a3") args[3], in("a4") args[4], options(nostack));
    }
    out
}

/// Leaves the stack for the one that ends at `top`, a multiple of 16, and goes on in `entry`.
///
/// # Safety
/// Below `top` lies memory enough for all that `entry` does, and nobody else's.
pub unsafe fn leave_stack(top: usize, argument: usize, entry: extern "C" fn(usize) -> !) -> ! {
    // SAFETY: `entry` does not return, so nothing looks at the stack before again; `argument` and `top` are
    // the caller's word.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov rsp, rsi", "xor ebp, ebp", "call rdx", "ud2",
             in("rsi") top, in("rdx") entry, in("rdi") argument, options(noreturn));
        #[cfg(target_arch = "aarch64")]
        asm!("mov sp, x1", "mov x29, xzr", "mov x30, xzr", "br x2",
             in("x1") top, in("x2") entry, in("x0") argument, options(noreturn));
        #[cfg(target_arch = "riscv64")]
        asm!("mv sp, a1", "mv ra, zero", "jr a2",
             in("a1") top, in("a2") entry, in("a0") argument, options(noreturn));
    }
}
