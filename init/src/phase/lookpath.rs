//! `argv[0]`, looked up while a mistake can still be reported by `create`.

use core::ffi::CStr;

use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::{Errno, Result};

use crate::failure::{Fault, Op};
use crate::path::{self, Buffer};
use crate::sys::arena::Arena;

/// The file to execute: `argv[0]` itself if it holds a slash, else the first match in the
/// container's PATH. ENOENT, EACCES and EISDIR tell apart what is wrong.
pub fn find<'a>(
    arena: &Arena<'a>,
    name: &'a CStr,
    env: &[&'a CStr],
) -> core::result::Result<&'a CStr, Fault<'a>> {
    let fault = |errno: Errno| Fault { op: Op::LookPath, path: name, errno: errno.raw_os_error() };
    if name.to_bytes().contains(&b'/') {
        return executable(name).map(|()| name).map_err(fault);
    }
    let path = env.iter().rev().find_map(|entry| entry.to_bytes().strip_prefix(b"PATH=")).unwrap_or_default();
    let mut worst = Errno::NOENT;
    let mut buffer = Buffer::new();
    for directory in path.split(|byte| *byte == b':') {
        let directory = if directory.is_empty() { b"." } else { directory };
        let candidate = path::join(&mut buffer, &[directory, b"/", name.to_bytes()]).map_err(fault)?;
        match executable(candidate) {
            Ok(()) => {
                return arena.copy(candidate).map_err(|_| Fault::check(Op::Memory, name));
            }
            Err(errno @ Errno::ACCESS) => worst = errno,
            Err(_) => {}
        }
    }
    Err(fault(worst))
}

fn executable(path: &CStr) -> Result<()> {
    let found = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}
