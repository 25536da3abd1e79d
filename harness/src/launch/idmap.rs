//! Idmapped mounts: a user namespace made only to carry a mapping (`mount_setattr(2)`).

use init_core::sys::{close_range, exit};
use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{WaitId, WaitIdOptions};

use super::maps;
use crate::error::{Context, Error, Result};
use crate::plan::{Idmap, Kind, Place};
use crate::process::number;
use crate::sys;

/// The namespaces made so far, so that equal mappings share one.
#[derive(Default)]
pub struct Namespaces(Vec<(Idmap, OwnedFd)>);

impl Namespaces {
    /// Maps the ids of a detached tree.
    pub fn apply(&mut self, tree: &OwnedFd, idmap: &Idmap, place: Place) -> Result<()> {
        let known = self.0.iter().position(|(other, _)| (&other.uid, &other.gid) == (&idmap.uid, &idmap.gid));
        let index = match known {
            Some(index) => index,
            None => {
                self.0.push((idmap.clone(), make(idmap)?));
                self.0.len() - 1
            }
        };
        let Some((_, namespace)) = self.0.get(index) else { return Ok(()) };
        sys::map_ids(tree, namespace, idmap.recursive).map_err(|errno| {
            let reason = crate::error::describe(errno);
            Error::config(place, format!("the file system cannot be idmapped: {reason}"))
        })
    }
}

/// The child's copies of the ends of a pipe.
struct Waiting {
    read: RawFd,
    write: u32,
}

extern "C" fn wait(waiting: &'static Waiting) -> ! {
    // Should the harness be killed, nobody else may hold the pipe open.
    let _closed = close_range(waiting.write, waiting.write);
    let mut byte = [0];
    let _end = rustix::io::read(sys::borrow(waiting.read), &mut byte);
    exit(0)
}

/// A user namespace with the mapping. The process that it takes to make one ends with its pipe.
fn make(idmap: &Idmap) -> Result<OwnedFd> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).host("pipe", "")?;
    let how = sys::Clone { namespaces: Kind::User.flag(), share: false, cgroup: None };
    let waiting = Waiting { read: read.as_raw_fd(), write: write.as_raw_fd() as u32 };
    let waiting = Box::leak(Box::new(waiting));
    let mask = sys::block_signals().host("sigprocmask", "")?;
    let spawned = sys::spawn(&how, waiting, wait);
    sys::restore_signals(mask).host("sigprocmask", "")?;
    let (pid, pidfd) = spawned.host("clone3", "user namespace of an idmapped mount")?;
    let made = maps::user(number(pid), &idmap.uid, &idmap.gid).and_then(|()| {
        let path = format!("/proc/{}/ns/user", number(pid));
        rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).host("open", path)
    });
    let _told = rustix::io::write(&write, b"1");
    let _reaped =
        rustix::process::waitid(WaitId::PidFd(rustix::fd::AsFd::as_fd(&pidfd)), WaitIdOptions::EXITED);
    made
}
