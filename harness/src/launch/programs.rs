//! Device programs that the kernel has verified once: pinned in a bpffs beside the template, by a name
//! that is the program itself. Loading the default one takes 85 us, getting a pinned one 4.
//!
//! Who can change what is pinned there is root, and could change any other state of `--root` as well.

use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::error::{Context, Result};
use crate::sys;

/// Directory beside the template's file.
pub const DIRECTORY: &str = "programs";

/// Most programs that are kept: engines have few policies, but a host may have a device for each container.
const MOST: usize = 64;

/// Longest name of a file (NAME_MAX of limits.h).
const LONGEST: usize = 255;

/// Makes the file system; without one every program is loaded anew.
pub fn make(template: &Path) -> rustix::io::Result<()> {
    let directory = template.join(DIRECTORY);
    match rustix::fs::mkdir(&directory, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("bpf", &directory, "bpf", flags, Some(c"mode=700"))
}

/// A device program: the pinned one, or a new one, pinned where that can be done.
pub fn device_program(template: &Path, code: &[u8]) -> Result<OwnedFd> {
    let pinned: Option<PathBuf> = name(code).map(|name| template.join(DIRECTORY).join(name));
    if let Some(program) = pinned.as_ref().and_then(|path| sys::pinned_program(path).ok()) {
        return Ok(program);
    }
    let program = sys::load_device_program(code).host("load", "device program")?;
    let kept = || std::fs::read_dir(template.join(DIRECTORY)).map_or(MOST, Iterator::count);
    if let Some(path) = pinned.filter(|_| kept() < MOST) {
        // Somebody else may have been first, and the next one can do without.
        let _may_fail = sys::pin_program(&program, &path);
    }
    Ok(program)
}

/// A program as a name: base64url of RFC 4648, which has no dots (bpffs reserves them).
fn name(code: &[u8]) -> Option<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = code.chunks(3).flat_map(|chunk| {
        let bits =
            chunk.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        let digit = move |place: usize| DIGITS.get(bits >> (6 * place) & 63).copied().map(char::from);
        [3, 2, 1, 0].into_iter().take(chunk.len() + 1).filter_map(digit)
    });
    Some(digits.collect()).filter(|name: &String| name.len() <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_are_base64url() {
        assert_eq!(name(b"\xfb\xff\xfe").as_deref(), Some("-__-"));
        assert_eq!(name(b"light work.").as_deref(), Some("bGlnaHQgd29yay4"));
        assert_eq!(name(b"light work").as_deref(), Some("bGlnaHQgd29yaw"));
        assert_eq!(name(&[0; 191]).map(|name| name.len()), Some(255));
        assert_eq!(name(&[0; 192]), None);
    }
}
