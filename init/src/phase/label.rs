//! Labels of the security modules, through verified attributes of the process, each read back.

use core::ffi::CStr;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::failure::{At, Fault, Op};
use crate::path::{self, Buffer};
use crate::procfs::Procfs;

/// Attribute of `AppArmor` where it has a directory of its own (Linux 5.8), and where it has not.
const APPARMOR: &CStr = c"self/attr/apparmor/exec";
const EXEC: &CStr = c"self/attr/exec";

/// Asks for an `AppArmor` profile at the next execve.
#[inline(never)]
pub fn apparmor<'a>(procfs: &Procfs, profile: &'a CStr) -> Result<(), Fault<'a>> {
    let mut value = Buffer::new();
    let text = path::join(&mut value, &[b"exec ", profile.to_bytes()]).at(Op::Write, profile)?;
    let file = match procfs.write(APPARMOR, text.to_bytes()) {
        Err(Fault { op: Op::Open, errno, .. }) if errno == Errno::NOENT.raw_os_error() => {
            procfs.write(EXEC, text.to_bytes()).map(|()| EXEC)
        }
        done => done.map(|()| APPARMOR),
    };
    let file = file.map_err(|fault| Fault { path: profile, ..fault })?;
    // The kernel appends the mode: `name (enforce)`.
    verify(procfs, file, profile, Some(b" ("))
}

/// Asks for an `SELinux` label at the next execve.
#[inline(never)]
pub fn selinux<'a>(procfs: &Procfs, label: &'a CStr) -> Result<(), Fault<'a>> {
    procfs.write(EXEC, label.to_bytes()).map_err(|fault| Fault { path: label, ..fault })?;
    verify(procfs, EXEC, label, None)
}

/// Labels the keys that are made from here on; an empty label ends that.
pub fn keys<'a>(procfs: &Procfs, label: &'a CStr) -> Result<(), Fault<'a>> {
    procfs.write(c"self/attr/keycreate", label.to_bytes()).map_err(|fault| Fault { path: label, ..fault })
}

/// Reads an attribute back: the label, and what may follow it if it begins with `appended`.
#[inline(never)]
fn verify<'a>(
    procfs: &Procfs,
    file: &'static CStr,
    label: &'a CStr,
    appended: Option<&[u8]>,
) -> Result<(), Fault<'a>> {
    let mut buffer = [0; path::PATH_MAX];
    let found = procfs.open(file, OFlags::RDONLY)?;
    let length = rustix::io::read(&found, &mut buffer).at(Op::Read, label)?;
    let found = buffer.get(..length).unwrap_or_default();
    let end = found.iter().rposition(|byte| !matches!(byte, b'\n' | 0)).map_or(0, |last| last + 1);
    match found.get(..end).unwrap_or_default().strip_prefix(label.to_bytes()) {
        Some(rest) if rest.is_empty() || appended.is_some_and(|start| rest.starts_with(start)) => Ok(()),
        _ => Err(Fault::check(Op::VerifyLabel, label)),
    }
}
