//! Errors of the harness: places, not sentences. They are rendered here, once.

use std::ffi::CStr;
use std::fmt;
use std::path::{Path, PathBuf};

use init_core::failure::{Op, Phase};
use rustix::io::Errno;

/// Result of everything fallible in the harness.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, and where.
#[derive(Debug)]
pub enum Error {
    /// The command line.
    Usage(String),
    /// A place in config.json, as a JSON pointer (RFC 6901), and what is wrong with it.
    Config {
        /// JSON pointer.
        pointer: String,
        /// What is wrong.
        reason: String,
    },
    /// A file that is not what it must be.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A system call of the harness.
    Host {
        /// What was being done.
        op: &'static str,
        /// To what.
        path: String,
        /// errno(3).
        errno: Errno,
    },
    /// The container's state does not allow it.
    State(String),
    /// Init reported a failure.
    Init(Failure),
    /// Init ended without a report.
    Died {
        /// The phase it was in.
        phase: Option<Phase>,
        /// How it ended.
        how: String,
    },
    /// Init did not follow the protocol.
    Protocol(String),
}

/// procError of init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The step that failed.
    pub phase: Phase,
    /// The operation.
    pub op: Op,
    /// Its object.
    pub path: String,
    /// errno(3), or 0.
    pub errno: u32,
}

impl Error {
    /// An error in config.json.
    pub fn config(pointer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config { pointer: pointer.into(), reason: reason.into() }
    }

    /// An error of a file.
    pub fn file(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }
}

/// Says where a system call of the harness failed.
pub trait Context<T> {
    /// What was being done, to which path.
    fn host(self, op: &'static str, path: impl fmt::Display) -> Result<T>;
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn host(self, op: &'static str, path: impl fmt::Display) -> Result<T> {
        self.map_err(|errno| Error::Host { op, path: path.to_string(), errno })
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn host(self, op: &'static str, path: impl fmt::Display) -> Result<T> {
        let errno = |error: &std::io::Error| Errno::from_io_error(error).unwrap_or(Errno::IO);
        self.map_err(|error| Error::Host { op, path: path.to_string(), errno: errno(&error) })
    }
}

/// The text of an errno as users of Unix know it, in lower case as clients expect it.
pub fn describe(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::State(text) => f.write_str(text),
            Self::Config { pointer, reason } => write!(f, "config.json: {pointer}: {reason}"),
            Self::File { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Host { op, path, errno } => write!(f, "{op} {path}: {}", describe(*errno)),
            Self::Init(failure) => failure.fmt(f),
            Self::Died { phase: Some(phase), how } => {
                write!(f, "init {how} in phase {} before the container was created", phase.name())
            }
            Self::Died { phase: None, how } => write!(f, "init {how} before its first phase"),
            Self::Protocol(text) => write!(f, "init broke the protocol: {text}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = self.errno();
        if self.op == Op::LookPath {
            let errno = errno.unwrap_or(Errno::NOENT);
            return match errno {
                Errno::NOENT if self.path.contains('/') => {
                    write!(f, "exec: {:?}: stat {}: no such file or directory", self.path, self.path)
                }
                Errno::NOENT => write!(f, "exec: {:?}: executable file not found in $PATH", self.path),
                _ => write!(f, "exec: {:?}: {}", self.path, describe(errno)),
            };
        }
        write!(f, "init: {}: {}", self.phase.name(), self.op.name())?;
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        if let Some(errno) = errno.filter(|_| self.op != Op::Parse) {
            write!(f, ": {}", describe(errno))?;
        }
        match self.hint() {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl Failure {
    /// The errno, where the kernel gave one. Init is not trusted to send a number that is one.
    pub fn errno(&self) -> Option<Errno> {
        i32::try_from(self.errno).ok().filter(|errno| (1..4096).contains(errno)).map(Errno::from_raw_os_error)
    }

    /// The likely cause, and what to change.
    fn hint(&self) -> Option<&'static str> {
        match (self.phase, self.op, self.errno().unwrap_or(Errno::INVAL)) {
            (_, Op::VerifyKeyring, _) => {
                Some("the session keyring is not empty or not ours: choose another id")
            }
            (_, Op::VerifyTarget, _) => Some("mounts inside /proc are limited to a short list of files"),
            (_, Op::VerifyInode, _) => Some("the file is not what its name says"),
            (_, Op::VerifyPath, _) => Some("the path changed while it was covered"),
            (_, Op::ReadBack, _) => Some("the kernel's answer differs from the request"),
            (Phase::Clone, Op::Execveat, Errno::ACCESS) => Some("vm.memfd_noexec forbids executable memfds"),
            (_, Op::MoveMount, Errno::LOOP) => {
                Some("the source has a file of a mount namespace mounted in it: bind it without rbind")
            }
            (_, Op::Capset, Errno::PERM) => {
                Some("the runtime itself does not have all of these capabilities")
            }
            (_, Op::Open, Errno::LOOP | Errno::NOTDIR)
                if ["/dev", "/proc", "/sys"].contains(&self.path.as_str()) =>
            {
                Some("it must be a real directory of the image")
            }
            (Phase::Mounts, Op::Open, Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
                Some("the mount point is missing in the image and cannot be made")
            }
            (_, Op::Write, Errno::ACCESS) if self.path == "self/oom_score_adj" => {
                Some("lowering it needs CAP_SYS_RESOURCE")
            }
            _ => None,
        }
    }
}

/// Text for messages of bytes that need not be UTF-8.
pub fn lossy(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}
