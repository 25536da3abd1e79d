//! The freestanding binary around `init_core`.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod rt;

use init_core::sys;

unsafe extern "C" {
    /// First byte of the program's image (link.ld).
    static __image_start: u8;
    /// First byte of its zeroed memory (link.ld).
    static __bss_start: u8;
}

/// Called by the entry point with the initial stack.
extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: rt's entry passes the stack pointer as the kernel set it.
    let boot = unsafe { sys::boot::Boot::new(stack) };
    let image = (&raw const __image_start as usize)..(&raw const __bss_start as usize);
    // SAFETY: the entry point runs once.
    let memory = unsafe { sys::boot::memory(image) };
    sys::exit(init_core::start_initialization(boot, memory))
}
