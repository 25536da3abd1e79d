//! The console socket: where the master of a container's terminal goes.

use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::error::{Context, Error, Result};

/// Longest that whoever listens may take.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);

/// Connects to a socket by its path. A name longer than `sun_path` is reached through its
/// directory's descriptor.
pub fn connect(path: &Path, option: &str) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    use std::os::fd::AsRawFd;
    let wrong = |errno: Errno| {
        let reason = match errno {
            Errno::CONNREFUSED => "nobody listens".into(),
            Errno::AGAIN | Errno::TIMEDOUT => format!("nobody accepts within {} s", DEADLINE.as_secs()),
            errno => crate::error::describe(errno),
        };
        Error::Usage(format!("{option}: {}: {reason}", path.display()))
    };
    let found = rustix::fs::stat(path).map_err(wrong)?;
    if rustix::fs::FileType::from_raw_mode(found.st_mode) != rustix::fs::FileType::Socket {
        return Err(Error::Usage(format!("{option}: {} is not a socket", path.display())));
    }
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .host("socket", path.display())?;
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Send, Some(DEADLINE))
        .host("setsockopt", path.display())?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory =
        rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(wrong)?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
    let address = match SocketAddrUnix::new(path) {
        Ok(address) => address,
        Err(_) => SocketAddrUnix::new(short.join(path.file_name().unwrap_or_default())).map_err(wrong)?,
    };
    rustix::net::connect(&socket, &address).map_err(wrong)?;
    Ok(socket)
}

/// Hands a terminal's master to the socket that asked for it; without one it stays here.
pub fn pass_on(socket: Option<&OwnedFd>, master: OwnedFd) -> Result<Option<OwnedFd>> {
    let Some(socket) = socket else { return Ok(Some(master)) };
    hand_over(socket, b"/dev/ptmx", &master, "to --console-socket").map(|()| None)
}

/// Hands a descriptor over, with a word that says what it is.
pub fn hand_over(socket: &OwnedFd, word: &[u8], file: &OwnedFd, option: &str) -> Result<()> {
    init_core::sys::tty::send_with(socket, word, file).host("send", option)
}
