//! Why execve(2) says ENOENT about a file that is there: its script's interpreter or its loader is
//! missing.

use core::ffi::CStr;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::path::{self, Buffer};
use crate::sys::arena::Arena;

/// Program header type of a loader's name (elf(5)).
const PT_INTERP: u32 = 3;

/// The interpreter that `program` names and that does not exist, if that is so.
#[inline(never)]
pub fn missing<'a>(arena: &Arena<'a>, program: &CStr) -> Option<&'a CStr> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, program, flags, Mode::empty()).ok()?;
    let mut head = [0; 1024];
    let length = rustix::io::read(&file, &mut head).ok()?;
    drop(file);
    let name = named(head.get(..length)?)?;
    let mut buffer = Buffer::new();
    let name = path::join(&mut buffer, &[name]).ok()?;
    match rustix::fs::accessat(CWD, name, Access::EXISTS, AtFlags::EACCESS) {
        Err(Errno::NOENT) => arena.copy(name).ok(),
        _ => None,
    }
}

fn named(head: &[u8]) -> Option<&[u8]> {
    if let Some(script) = head.strip_prefix(b"#!") {
        let line = script.split(|byte| *byte == b'\n').next()?;
        return line.split(|byte| matches!(byte, b' ' | b'\t')).find(|word| !word.is_empty());
    }
    head.strip_prefix(b"\x7fELF")?;
    let number = |at: usize| Some(u64::from_le_bytes(*head.get(at..)?.first_chunk()?) as usize);
    let (table, count) = (number(32)?, number(56)? & 0xffff);
    for index in 0..count.min(16) {
        let entry = table.checked_add(index * 56)?;
        if number(entry)? as u32 == PT_INTERP {
            let (start, size) = (number(entry.checked_add(8)?)?, number(entry.checked_add(32)?)?);
            let name = head.get(start..start.checked_add(size)?)?;
            return name.split(|byte| *byte == 0).next();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn scripts_and_programs_name_their_interpreter() {
        assert_eq!(named(b"#! /bin/awk -f\nx"), Some(&b"/bin/awk"[..]));
        assert_eq!(named(b"#!/bin/sh"), Some(&b"/bin/sh"[..]));
        assert_eq!(named(b"#!\n"), None);
        assert_eq!(named(b"text"), None);
        let own = std::fs::read("/proc/self/exe").unwrap();
        let name = named(&own[..1024]).expect("the test is linked dynamically");
        assert!(name.starts_with(b"/lib"), "{name:?}");
    }

    #[test]
    fn damaged_headers_name_nothing() {
        let mut head = b"\x7fELF".to_vec();
        head.resize(200, 0xff);
        assert_eq!(named(&head), None);
        assert_eq!(named(b"\x7fELF"), None);
    }
}
