//! The entry point: a C `main`, because std's own costs a third of a no-op process.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

/// Called by the C runtime.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
extern "C" fn main(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) -> c_int {
    // SAFETY: the C runtime passes the initial argument vector.
    let arguments = unsafe { arguments(argc, argv) };
    // SAFETY: envp is the initial one.
    if unsafe { init_core::sys::boot::is_secure(envp.cast()) } {
        // A set-user-ID runtime would act for whoever calls it.
        eprintln!("error: refusing to run set-user-ID or set-group-ID");
        return 1;
    }
    // Past exit(3), which has nothing to do here, but whose code costs a page fault.
    init_core::sys::exit(crate::run(arguments.into_iter()).into())
}

/// The arguments after the program's name.
///
/// # Safety
/// `argv` must hold `argc` pointers to NUL-terminated strings.
unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    let count = argc.max(1) as usize;
    let mut arguments = Vec::with_capacity(count);
    for index in 1..count {
        // SAFETY: argv holds argc pointers.
        let text = unsafe { argv.wrapping_add(index).read() };
        // SAFETY: each points to a NUL-terminated string.
        let text = unsafe { CStr::from_ptr(text) };
        arguments.push(OsStr::from_bytes(text.to_bytes()).to_os_string());
    }
    arguments
}
