//! Symbolic links of /dev.

use rustix::fd::BorrowedFd;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::config::Link;
use crate::failure::{At, Fault, Op};
use crate::path::{self, Buffer};
use crate::sys::shed;

/// Makes the links; one that is there already is the image's business.
pub fn make<'a>(root: BorrowedFd<'_>, links: &[Link<'a>]) -> Result<(), Fault<'a>> {
    let Some(first) = links.first() else { return Ok(()) };
    let directory = path::resolve_real(root, c"/dev", OFlags::DIRECTORY).at(Op::Open, first.path)?;
    let mut name = Buffer::new();
    for link in links {
        let last = link.path.to_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let name = path::join(&mut name, &[last]).at(Op::Symlink, link.path)?;
        match rustix::fs::symlinkat(link.target, &directory, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).at(Op::Symlink, link.path),
        }
    }
    shed(directory);
    Ok(())
}
