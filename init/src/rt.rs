//! What a program without libc needs: an entry point, a panic handler, and the memory functions
//! that the prebuilt `core` calls. Binaries only; the library's tests run with std.

#[cfg(target_arch = "x86_64")]
use core::arch::asm;
use core::arch::global_asm;
use core::ffi::{c_char, c_int, c_void};

#[cfg(target_arch = "x86_64")]
global_asm!(".globl init_entry", "init_entry:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {main}", "ud2", main = sym crate::main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl init_entry", "init_entry:", "mov x29, #0", "mov x30, #0", "mov x0, sp", "bl {main}", "brk #1", main = sym crate::main);
#[cfg(target_arch = "riscv64")]
global_asm!(
    ".globl init_entry", "init_entry:", ".option push", ".option norelax", "lla gp, __global_pointer$", ".option pop",
    "mv a0, sp", "andi sp, sp, -16", "tail {main}", main = sym crate::main
);

/// Ends the process. The reason is not looked at, so no formatting code is linked in; the harness
/// sees the status and the phase.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    init_core::sys::exit(101)
}

/// Named by the prebuilt `core`, never called: panics abort.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Asked for CPU features by the constructors of compiler-rt's atomics, which are never run here.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
extern "C" fn getauxval(_: usize) -> usize {
    0
}

#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(target: *mut c_void, source: *const c_void, length: usize) -> *mut c_void {
    // SAFETY: memcpy's contract: both ranges are valid and do not overlap; DF is clear (ABI).
    unsafe {
        asm!("rep movsb", inout("rdi") target => _, inout("rsi") source => _, inout("rcx") length => _,
             options(nostack, preserves_flags));
    }
    target
}

#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(target: *mut c_void, byte: c_int, length: usize) -> *mut c_void {
    // SAFETY: memset's contract: the range is valid; DF is clear (ABI).
    unsafe {
        asm!("rep stosb", inout("rdi") target => _, in("al") byte as u8, inout("rcx") length => _,
             options(nostack, preserves_flags));
    }
    target
}

// Volatile accesses below: a plain loop would be compiled into a call of the function itself.

#[cfg(not(target_arch = "x86_64"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(target: *mut c_void, source: *const c_void, length: usize) -> *mut c_void {
    for index in 0..length {
        // SAFETY: memcpy's contract: `length` bytes at `source` are readable.
        let byte = unsafe { source.cast::<u8>().wrapping_add(index).read_volatile() };
        // SAFETY: memcpy's contract: `length` bytes at `target` are writable.
        unsafe { target.cast::<u8>().wrapping_add(index).write_volatile(byte) };
    }
    target
}

#[cfg(not(target_arch = "x86_64"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(target: *mut c_void, byte: c_int, length: usize) -> *mut c_void {
    for index in 0..length {
        // SAFETY: memset's contract: `length` bytes at `target` are writable.
        unsafe { target.cast::<u8>().wrapping_add(index).write_volatile(byte as u8) };
    }
    target
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(target: *mut c_void, source: *const c_void, length: usize) -> *mut c_void {
    let (to, from) = (target.cast::<u8>(), source.cast::<u8>());
    let forward = (to as usize) <= from as usize;
    for step in 0..length {
        let index = if forward { step } else { length - 1 - step };
        // SAFETY: memmove's contract: `length` bytes at `source` are readable.
        let byte = unsafe { from.wrapping_add(index).read_volatile() };
        // SAFETY: memmove's contract: `length` bytes at `target` are writable; the direction
        // keeps bytes that are still to be read from being overwritten.
        unsafe { to.wrapping_add(index).write_volatile(byte) };
    }
    target
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const c_void, right: *const c_void, length: usize) -> c_int {
    for index in 0..length {
        // SAFETY: memcmp's contract: `length` bytes at `left` are readable.
        let one = unsafe { left.cast::<u8>().wrapping_add(index).read_volatile() };
        // SAFETY: memcmp's contract: `length` bytes at `right` are readable.
        let other = unsafe { right.cast::<u8>().wrapping_add(index).read_volatile() };
        if one != other {
            return c_int::from(one) - c_int::from(other);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const c_void, right: *const c_void, length: usize) -> c_int {
    // SAFETY: bcmp's contract is memcmp's.
    unsafe { memcmp(left, right, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    let mut length = 0;
    // SAFETY: strlen's contract: the string ends with a NUL, which this loop does not pass.
    while unsafe { text.wrapping_add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}
