//! What init adds to the environment: `HOME` from the image's /etc/passwd, read as far as one may
//! read a stranger's file, and the process's own pid for `LISTEN_PID` (`sd_listen_fds(3)`).

use core::ffi::CStr;

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{FileType, OFlags};

use crate::config::Process;
use crate::failure::{Fault, Op};
use crate::path::{self, Buffer};
use crate::sys::arena::{Arena, Full};
use crate::wire::{Sink, Value};

const PASSWD: &CStr = c"/etc/passwd";
/// Longest file that is looked at, in bytes.
const LONGEST: i64 = 1024 * 1024;
/// Fields of passwd(5).
const UID: usize = 2;
const DIRECTORY: usize = 5;

/// The environment of the process, with what the configuration leaves to init.
pub fn complete<'a>(
    process: &Process<'a>,
    root: BorrowedFd<'_>,
    arena: &Arena<'a>,
) -> Result<&'a [&'a CStr], Fault<'static>> {
    if !process.home && !process.listen_pid {
        return Ok(process.env);
    }
    extended(process, root, arena).map_err(|Full| Fault::check(Op::Memory, c"environment"))
}

#[inline(never)]
fn extended<'a>(
    process: &Process<'a>,
    root: BorrowedFd<'_>,
    arena: &Arena<'a>,
) -> Result<&'a [&'a CStr], Full> {
    let mut text = Buffer::new();
    let mut env = arena.list();
    for entry in process.env {
        env.push(*entry)?;
    }
    if process.listen_pid {
        text.put(b"LISTEN_PID=");
        (rustix::process::getpid().as_raw_nonzero().get() as u32).write(&mut text);
        env.push(arena.plain(&text)?)?;
        text.clear();
    }
    if process.home {
        text.put(b"HOME=");
        let named = open(root).is_some_and(|file| search(&file, process.uid, &mut text));
        if !named {
            text.clear();
            text.put(b"HOME=/");
        }
        env.push(arena.plain(&text)?)?;
    }
    env.finish()
}

/// A regular file of bounded length, looked at before and after it is opened.
fn open(root: BorrowedFd<'_>) -> Option<OwnedFd> {
    let good = |file: &OwnedFd| {
        rustix::fs::fstat(file).is_ok_and(|found| {
            FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_size <= LONGEST
        })
    };
    path::resolve(root, PASSWD, OFlags::empty()).ok().filter(good)?;
    path::read_inside(root, PASSWD).ok().filter(good)
}

/// Looks for the first entry with this user id, through one small window. On success its directory
/// stands in `line`, after what was there.
#[inline(never)]
fn search(file: &OwnedFd, uid: u32, line: &mut Buffer) -> bool {
    let prefix = line.len();
    let mut window = [0; 512];
    let (mut field, mut number, mut whole) = (0, Some(0u32), false);
    let mut total = 0;
    while let Ok(count @ 1..) = rustix::io::read(file, &mut window) {
        total += count as i64;
        if total > LONGEST {
            return false;
        }
        for byte in window.get(..count).unwrap_or_default() {
            match byte {
                b'\n' => {
                    if field >= DIRECTORY && number == Some(uid) && whole {
                        return line.len() > prefix;
                    }
                    line.truncate(prefix);
                    (field, number, whole) = (0, Some(0), false);
                }
                b':' => field += 1,
                digit if field == UID => {
                    let digit = char::from(*digit).to_digit(10);
                    number = number.zip(digit).and_then(|(number, digit)| {
                        number.checked_mul(10).and_then(|tens| tens.checked_add(digit))
                    });
                    whole = true;
                }
                // One NUL or too long a name, and this entry names no directory.
                byte if field == DIRECTORY && (*byte == 0 || line.push(*byte).is_err()) => number = None,
                _ => {}
            }
        }
    }
    field >= DIRECTORY && number == Some(uid) && whole && line.len() > prefix
}
