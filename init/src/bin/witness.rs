//! A program for containers without anything else in them: it tells what it sees.
//!
//! `witness` prints /proc/self/status, host name, working directory, mountinfo and its open
//! descriptors, as sections `== NAME`. `witness true` exits with 0, `witness pause` sleeps.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

#[path = "../rt.rs"]
mod rt;

use core::ffi::CStr;

use init_core::sys;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{CWD, Mode, OFlags, RawDir};

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: rt's entry passes the initial stack: argc, then argv, both readable.
    let argument = unsafe { argument(stack) };
    match argument.to_bytes() {
        b"true" => sys::exit(0),
        b"pause" => loop {
            let _interrupted = rustix::event::poll(&mut [], None);
        },
        _ => sys::exit(report().map_or(1, |()| 0)),
    }
}

/// argv[1], or nothing.
///
/// # Safety
/// `stack` must be the initial stack.
unsafe fn argument<'a>(stack: *const usize) -> &'a CStr {
    // SAFETY: the first word is argc.
    if unsafe { stack.read() } < 2 {
        return c"";
    }
    // SAFETY: argv[1] is the third word, a NUL-terminated string.
    let text = unsafe { stack.wrapping_add(2).read() };
    // SAFETY: as above; the initial stack lives as long as the process.
    unsafe { CStr::from_ptr(text as *const core::ffi::c_char) }
}

fn report() -> rustix::io::Result<()> {
    put(b"== pid\n")?;
    number(rustix::process::getpid().as_raw_nonzero().get() as u32)?;
    put(b"\n== hostname\n")?;
    put(rustix::system::uname().nodename().to_bytes())?;
    put(b"\n== cwd\n")?;
    let mut cwd = [0; 4096];
    let length = sys::getcwd(&mut cwd)?;
    put(cwd.get(..length.saturating_sub(1)).unwrap_or_default())?;
    put(b"\n")?;
    for (title, file) in [
        (c"status", c"/proc/self/status"),
        (c"oom_score_adj", c"/proc/self/oom_score_adj"),
        (c"limits", c"/proc/self/limits"),
        (c"cgroup", c"/proc/self/cgroup"),
        (c"mountinfo", c"/proc/self/mountinfo"),
    ] {
        put(b"== ")?;
        put(title.to_bytes())?;
        put(b"\n")?;
        copy(file)?;
    }
    put(b"== fds\n")?;
    descriptors()
}

fn put(mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let count = rustix::io::write(stdout(), bytes)?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

fn stdout() -> BorrowedFd<'static> {
    sys::descriptor(1)
}

fn number(value: u32) -> rustix::io::Result<()> {
    use init_core::wire::Value;
    let mut text = heapless::Vec::<u8, 16>::new();
    value.write(&mut text);
    put(&text)
}

fn copy(file: &CStr) -> rustix::io::Result<()> {
    let Ok(file) = rustix::fs::openat(CWD, file, OFlags::RDONLY, Mode::empty()) else { return Ok(()) };
    let mut buffer = [0; 4096];
    loop {
        let count = rustix::io::read(&file, &mut buffer)?;
        match buffer.get(..count) {
            None | Some(b"") => return Ok(()),
            Some(bytes) => put(bytes)?,
        }
    }
}

/// The numbers of the open descriptors, without the one that lists them.
fn descriptors() -> rustix::io::Result<()> {
    let directory =
        rustix::fs::openat(CWD, c"/proc/self/fd", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let mut buffer = [core::mem::MaybeUninit::uninit(); 2048];
    let mut own = heapless::Vec::<u8, 16>::new();
    init_core::wire::Value::write(&(directory.as_fd().as_raw()), &mut own);
    let mut entries = RawDir::new(&directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && name != own.as_slice() {
            put(name)?;
            put(b"\n")?;
        }
    }
    Ok(())
}

trait Raw {
    fn as_raw(&self) -> i32;
}

impl Raw for BorrowedFd<'_> {
    fn as_raw(&self) -> i32 {
        rustix::fd::AsRawFd::as_raw_fd(self)
    }
}
