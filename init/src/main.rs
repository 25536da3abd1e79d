//! The freestanding binary around `init_core`.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod rt;

use init_core::sys;

/// Called by the entry point with the initial stack.
extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: rt's entry passes the stack pointer as the kernel set it.
    let boot = unsafe { sys::boot::Boot::new(stack) };
    sys::exit(match sys::boot::memory() {
        Some(memory) => init_core::start_initialization(boot, memory),
        None => 1,
    })
}
