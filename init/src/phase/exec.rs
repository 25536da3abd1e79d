//! The point of no return.

use core::ffi::{CStr, c_char};

use crate::failure::{Fault, Op};
use crate::sys;

/// Becomes the container's process. Returns only on failure.
pub fn exec<'a>(path: &'a CStr, argv: &[*const c_char], envp: &[*const c_char]) -> Fault<'a> {
    Fault { op: Op::Execve, path, errno: sys::execve(path, argv, envp).raw_os_error() }
}
