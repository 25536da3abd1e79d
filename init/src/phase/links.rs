//! Symbolic links of /dev.

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

use crate::config::Link;
use crate::failure::{At, Fault, Op};
use crate::path::Parent;

/// Makes the links; one that is there already is the image's business.
pub fn make<'a>(root: BorrowedFd<'_>, parent: &mut Parent<'a>, links: &[Link<'a>]) -> Result<(), Fault<'a>> {
    for link in links {
        let (parent, name) = parent.of(root, link.path).at(Op::Open, link.path)?;
        match rustix::fs::symlinkat(link.target, parent, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).at(Op::Symlink, link.path),
        }
    }
    Ok(())
}
