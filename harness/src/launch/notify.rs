//! `NOTIFY_SOCKET` (sd_notify(3)): the container gets a socket of its own in a directory below the
//! state, and `start` passes on that the service is ready, and nothing else.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::error::{Context, Result};

/// The directory below the state directory; the container sees it as /run/notify.
pub const DIRECTORY: &str = "notify";
const SOCKET: &str = "notify.sock";
/// What the container's environment says.
pub const VARIABLE: &str = "NOTIFY_SOCKET=/run/notify/notify.sock";

/// The caller's socket, if the caller is a service manager.
pub fn requested() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())
}

/// Makes the directory, which is bound into the container.
pub fn prepare(state: &Path) -> Result<PathBuf> {
    let directory = state.join(DIRECTORY);
    rustix::fs::mkdir(&directory, Mode::from_raw_mode(0o755)).host("mkdir", directory.display())?;
    Ok(directory)
}

/// The container's end, from before its process is started.
pub struct Relay {
    socket: UnixDatagram,
    to: SocketAddr,
}

impl Relay {
    /// Binds the container's socket; `None` where `create` had nobody to notify.
    pub fn open(state: &Path) -> Result<Option<Self>> {
        let directory = state.join(DIRECTORY);
        let Some(to) = requested().filter(|_| directory.is_dir()) else { return Ok(None) };
        let path = directory.join(SOCKET);
        let socket = UnixDatagram::bind(&path).host("bind", path.display())?;
        // Whoever the process is may write to it.
        rustix::fs::chmod(&path, Mode::from_raw_mode(0o777)).host("chmod", path.display())?;
        let bytes = to.as_bytes();
        let to = match bytes.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(Path::new(&to)),
        };
        Ok(Some(Self { socket, to: to.host("resolve", "NOTIFY_SOCKET")? }))
    }

    /// Waits until the service says that it is ready, or ends, and passes that on.
    pub fn serve(self, process: &OwnedFd, pid: i32) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let mut poll = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(process, PollFlags::IN)];
            match rustix::event::poll(&mut poll, None) {
                Err(Errno::INTR) => continue,
                done => done.host("poll", "NOTIFY_SOCKET")?,
            };
            let [socket, _] = &poll;
            if socket.revents().is_empty() {
                return Ok(());
            }
            let count = self.socket.recv(&mut buffer).host("receive", "NOTIFY_SOCKET")?;
            let text = buffer.get(..count).unwrap_or_default();
            if text.split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                let message = format!("MAINPID={pid}\nREADY=1\n");
                let sent = self.socket.send_to_addr(message.as_bytes(), &self.to);
                return sent.map(drop).host("send", "NOTIFY_SOCKET");
            }
        }
    }
}

/// Removes the directory with what is in it.
pub fn remove(state: &Path) -> Result<()> {
    let directory = state.join(DIRECTORY);
    for (path, file) in [(directory.join(SOCKET), true), (directory, false)] {
        let done = if file { rustix::fs::unlink(&path) } else { rustix::fs::rmdir(&path) };
        match done {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).host("remove", path.display()),
        }
    }
    Ok(())
}
