//! Session: the container's process never shares the caller's, terminal or not.

use rustix::io::Errno;

use crate::failure::{At, Fault, Op};

/// Starts a session (setsid(2)), so that the caller's terminal is not the controlling one and
/// nothing can be typed into it. A process that already leads one keeps it.
pub fn new_session() -> Result<(), Fault<'static>> {
    match rustix::process::setsid() {
        Ok(_) | Err(Errno::PERM) => Ok(()),
        Err(errno) => Err(errno).at(Op::Setsid, c""),
    }
}
