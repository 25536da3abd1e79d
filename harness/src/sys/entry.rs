//! The entry point: a C `main`, because std's own costs a third of a no-op process.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

/// Called by the C runtime.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
extern "C" fn main(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) -> c_int {
    // SAFETY: the C runtime passes the initial argument vector and environment.
    let (arguments, secure) = unsafe { initial(argc, argv, envp) };
    if secure {
        // A set-user-ID runtime would act for whoever calls it.
        eprintln!("error: refusing to run set-user-ID or set-group-ID");
        return 1;
    }
    crate::run(arguments.into_iter()).into()
}

/// The arguments after the program's name, and whether execve(2) granted privileges.
///
/// # Safety
/// The arguments must be those of the process's `main`.
unsafe fn initial(
    argc: c_int,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> (Vec<OsString>, bool) {
    const AT_SECURE: usize = 23;
    let mut arguments = Vec::with_capacity(argc.max(1) as usize);
    for index in 1..argc.max(1) as usize {
        // SAFETY: argv holds argc pointers.
        let text = unsafe { argv.wrapping_add(index).read() };
        // SAFETY: each points to a NUL-terminated string.
        let text = unsafe { CStr::from_ptr(text) };
        arguments.push(OsStr::from_bytes(text.to_bytes()).to_os_string());
    }
    let mut auxiliary = envp.cast::<usize>();
    // SAFETY: the environment ends with a null pointer.
    while unsafe { auxiliary.read() } != 0 {
        auxiliary = auxiliary.wrapping_add(1);
    }
    auxiliary = auxiliary.wrapping_add(1);
    let mut secure = false;
    // SAFETY: the auxiliary vector follows (System V ABI) and ends with AT_NULL, 0.
    while let key @ 1.. = unsafe { auxiliary.read() } {
        let value = auxiliary.wrapping_add(1);
        // SAFETY: the value follows its key.
        secure |= key == AT_SECURE && unsafe { value.read() } != 0;
        auxiliary = auxiliary.wrapping_add(2);
    }
    (arguments, secure)
}
