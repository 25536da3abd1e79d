//! The conversation with init. Init has touched the container, so every frame of its is the word
//! of a stranger: bounded, and awaited with a deadline.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::time::Duration;

use init_core::config::{ConfigFd, InitConfig, MOST_TREES, ProcError, SENT, Sync};
use init_core::failure::{Op, Phase};
use init_core::sys::arena::Arena;
use init_core::sys::page::Page;
use init_core::wire::{
    self, HEADER_LENGTH, Header, Kind, MAX_CONFIG, MAX_FILTER, MAX_INLINE, MAX_MESSAGE, Sink, Value,
};
use rustix::event::Timespec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{Signal, WaitId, WaitIdOptions};

use super::{console, image};
use crate::error::{Context, Error, Failure, Result, lossy};
use crate::plan::WireBuffer;
use crate::process::{NOW, PATIENCE, wait_gone, wait_readable};
use crate::sys;

/// The word that init itself comes with, to the child that executes it.
const IMAGE: &[u8; 1] = b"i";

/// Longest that init may be silent.
const DEADLINE: Duration = Duration::from_secs(60);

/// The harness's end of a connection, and init's.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .host("socketpair", "for init")
}

/// Encodes a frame.
fn frame(kind: Kind, body: &impl Value) -> Vec<u8> {
    let mut buffer = WireBuffer(Vec::with_capacity(if kind == Kind::Config { 8 * 1024 } else { 128 }));
    buffer.put(&[0; HEADER_LENGTH]);
    body.write(&mut buffer);
    let length = (buffer.0.len() - HEADER_LENGTH) as u32;
    if let Some(header) = buffer.0.first_chunk_mut() {
        *header = Header { kind, length }.encode();
    }
    buffer.0
}

/// What follows the configuration, raw.
#[derive(Default)]
pub struct Sections<'s> {
    /// The seccomp filter.
    pub filter: Option<&'s [u8]>,
    /// Netlink requests.
    pub netlink: Vec<u8>,
}

/// What init reads first, encoded.
struct Opening {
    frames: Vec<u8>,
    /// A configuration that is too long for a frame, sealed.
    file: Option<OwnedFd>,
}

/// Encodes the configuration and what follows it.
fn opening(config: &InitConfig<'_>, sections: &Sections<'_>) -> Result<Opening> {
    let mut opening = encode(config)?;
    for (kind, body) in
        [(Kind::Filter, sections.filter.unwrap_or_default()), (Kind::Netlink, &sections.netlink)]
    {
        if body.len() > if kind == Kind::Filter { MAX_FILTER } else { MAX_MESSAGE } {
            return Err(Error::State(format!("{} bytes of {kind:?} are too many for init", body.len())));
        }
        if !body.is_empty() {
            opening.frames.extend_from_slice(&Header { kind, length: body.len() as u32 }.encode());
            opening.frames.extend_from_slice(body);
        }
    }
    Ok(opening)
}

fn encode(config: &InitConfig<'_>) -> Result<Opening> {
    let whole = frame(Kind::Config, config);
    let length = whole.len() - HEADER_LENGTH;
    if length <= MAX_INLINE {
        return Ok(Opening { frames: whole, file: None });
    }
    if length > MAX_CONFIG {
        return Err(Error::State(format!(
            "the configuration of init takes {length} bytes, more than 16 MiB"
        )));
    }
    let file = image::sealed("config", whole.get(HEADER_LENGTH..).unwrap_or_default(), false)?;
    let frames = frame(Kind::ConfigFd, &ConfigFd { fd: SENT, length: length as u32 });
    Ok(Opening { frames, file: Some(file) })
}

/// Sends `bytes`, with descriptors that come with the first of them.
fn write_with(socket: &OwnedFd, bytes: &[u8], files: &[BorrowedFd<'_>]) -> Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage};
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_TREES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(Error::Protocol(format!("{} descriptors in one message", files.len())));
    }
    let vectors = [std::io::IoSlice::new(bytes)];
    let count = rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(socket, &vectors, &mut control, SendFlags::NOSIGNAL)
    })
    .host("send", "to init")?;
    write(socket, bytes.get(count..).unwrap_or_default())
}

fn write(socket: &OwnedFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).host("send", "to init"),
        }
    }
    Ok(())
}

/// A frame of init.
enum Message {
    Sync(String),
    Error(Failure),
}

/// A step of init, with the descriptor that came with it.
pub struct Step {
    /// One of the `PROC_*` words.
    name: String,
    /// Descriptor.
    file: Option<OwnedFd>,
}

impl Step {
    /// Whether it is one of the `PROC_*` words.
    pub fn is(&self, word: &CStr) -> bool {
        self.name.as_bytes() == word.to_bytes()
    }

    /// The descriptor that it must have come with.
    pub fn descriptor(mut self) -> Result<OwnedFd> {
        self.file.take().ok_or_else(|| self.unasked())
    }

    /// The error of a step that the plan has no place for.
    pub fn unasked(&self) -> Error {
        Error::Protocol(format!("{:?}, which nobody has asked for", self.name))
    }
}

/// Decodes the body of a frame that init sent.
fn decode(kind: Kind, body: &[u8]) -> Result<Message> {
    // Not on the stack, of which init inherits the limit.
    let mut memory = vec![MaybeUninit::uninit(); 2 * body.len() + 64];
    let arena = Arena::new(&mut memory);
    let bad =
        |bad: wire::Malformed| Error::Protocol(format!("{:?} at byte {} of a frame", bad.reason, bad.offset));
    match kind {
        Kind::Sync => {
            wire::read::<Sync<'_>>(body, &arena).map(|sync| Message::Sync(lossy(sync.step))).map_err(bad)
        }
        Kind::Error => {
            let error: ProcError<'_> = wire::read(body, &arena).map_err(bad)?;
            let unknown = || Error::Protocol(format!("unknown failure {}/{}", error.phase, error.op));
            Ok(Message::Error(Failure {
                phase: Phase::from_code(error.phase).ok_or_else(unknown)?,
                op: Op::from_code(error.op).ok_or_else(unknown)?,
                path: lossy(error.path),
                errno: error.errno,
            }))
        }
        _ => Err(Error::Protocol("a frame that only the harness sends".into())),
    }
}

/// Decodes an error frame that init left in the fifo after the gate.
pub fn failure(frame: &[u8]) -> Result<Failure> {
    let (header, body) =
        frame.split_first_chunk().ok_or_else(|| Error::Protocol("a truncated frame in exec.fifo".into()))?;
    let header = Header::decode(*header).map_err(|bad| Error::Protocol(format!("{bad:?} in exec.fifo")))?;
    match decode(header.kind, body.get(..header.length as usize).unwrap_or(body))? {
        Message::Error(failure) => Ok(failure),
        Message::Sync(step) => Err(Error::Protocol(format!("{step} in exec.fifo"))),
    }
}

/// The harness's end of the connection.
pub struct Init<'i> {
    /// The socket.
    pub socket: OwnedFd,
    /// How far init is.
    pub page: &'static Page,
    /// Init.
    pub pidfd: &'i mut Option<OwnedFd>,
    /// Its cgroups, to tell an OOM kill.
    pub cgroups: &'i [PathBuf],
    /// What has come from it.
    pub mail: Mail,
    /// The caller's signal mask, if signals are blocked.
    pub mask: Option<sys::Mask>,
}

/// What has come from init.
pub struct Mail {
    /// A descriptor that came with the last frame.
    file: Option<OwnedFd>,
    /// Room for one frame, and how much of it is filled.
    buffer: Vec<u8>,
    filled: usize,
}

impl Default for Mail {
    fn default() -> Self {
        // Init's steps are short; a longer frame finds more.
        Self { file: None, buffer: vec![0; 256], filled: 0 }
    }
}

/// Looks on for a moment, 25 to 50 us at most, where init has only its last steps before procDone to take: on
/// a CPU that has gone idle meanwhile, the wake-up takes as long as they do.
fn look(page: &Page) {
    const MOMENT: u32 = 1000;
    let last = |phase| matches!(phase, Phase::Finalize | Phase::Parent | Phase::LookPath | Phase::Seal);
    for _ in 0..MOMENT {
        if !page.phase().is_some_and(last) {
            break;
        }
        std::hint::spin_loop();
    }
}

/// Waits for something to receive. With poll(2), whose sleeper what init reads does not wake: a sleeper in
/// recvmsg(2) is woken by that as well, and init pays for it. Where signals are blocked, one that is to
/// end the harness ends the wait.
fn wait(socket: &OwnedFd, page: &Page, blocked: bool) -> Result<()> {
    look(page);
    let step = if blocked { Duration::from_secs(1) } else { DEADLINE };
    let mut waited = Duration::ZERO;
    while waited < DEADLINE {
        let limit = Timespec { tv_sec: step.as_secs() as i64, tv_nsec: 0 };
        if wait_readable(socket, Some(limit)).host("poll", "init socket")? {
            return Ok(());
        }
        if blocked && sys::is_ending().host("sigpending", "")? {
            return Err(Error::State("interrupted".into()));
        }
        waited += step;
    }
    let phase = page.phase().map_or("no phase", Phase::name);
    Err(Error::State(format!("init is silent for {} s, in {phase}", DEADLINE.as_secs())))
}

/// recvmsg(2) with room for one descriptor.
fn receive_with(
    socket: &OwnedFd,
    buffer: &mut [u8],
    file: &mut Option<OwnedFd>,
) -> rustix::io::Result<usize> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut vectors = [std::io::IoSliceMut::new(buffer)];
    let message = rustix::net::recvmsg(socket, &mut vectors, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for one in control.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = one {
            *file = files.last().or(file.take());
        }
    }
    Ok(message.bytes)
}

impl Init<'_> {
    /// Sends a step. An init that is gone is found out when its answer is awaited.
    pub fn send(&mut self, step: &'static CStr) -> Result<()> {
        let sent = write(&self.socket, &frame(Kind::Sync, &Sync { step }));
        self.checked(sent)
    }

    /// Sends a step with descriptors.
    pub fn send_with(&mut self, step: &'static CStr, files: &[OwnedFd]) -> Result<()> {
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let sent = write_with(&self.socket, &frame(Kind::Sync, &Sync { step }), &files);
        self.checked(sent)
    }

    /// Gives the child init to execute. It is made here while the child enters its namespaces. What comes
    /// back is to be closed some time.
    pub fn load(&mut self) -> Result<OwnedFd> {
        let image = image::seal()?;
        let sent = console::hand_over(&self.socket, IMAGE, &image, "to init");
        self.checked(sent).map(|()| image)
    }

    /// Sends what init reads first, with the tree of the root file system, while the child executes init.
    /// What comes back is to be closed some time.
    ///
    /// Nobody may be reading yet, so all of it must fit the socket's buffer, as it does: the longest
    /// configuration in a frame, the longest filter and requests are half of it.
    pub fn configure(
        &mut self,
        config: &InitConfig<'_>,
        sections: &Sections<'_>,
        root: Option<&OwnedFd>,
    ) -> Result<Option<OwnedFd>> {
        let Opening { frames, file } = opening(config, sections)?;
        let files: Vec<_> = root.into_iter().chain(&file).map(AsFd::as_fd).collect();
        let sent = write_with(&self.socket, &frames, &files);
        self.checked(sent).map(|()| file)
    }

    /// Prefers init's own word about a failure: a call on a dead child fails for no reason of its own.
    pub fn checked<T>(&mut self, done: Result<T>) -> Result<T> {
        let Err(error) = done else { return done };
        // A step that was sent before lies in front of it.
        while self.is_readable() && !self.has_left() {
            match self.receive() {
                Ok(Message::Sync(_)) => {}
                Ok(Message::Error(failure)) => return Err(Error::Init(failure)),
                Err(death @ Error::Died { .. }) => return Err(death),
                Err(_) => break,
            }
        }
        Err(error)
    }

    /// Whether init has ended the connection after its last word, and goes on.
    fn has_left(&self) -> bool {
        let mut byte = [0];
        self.mail.filled == 0
            && matches!(self.page.phase(), Some(Phase::Gate | Phase::Exec))
            && matches!(rustix::net::recv(&self.socket, &mut byte[..], RecvFlags::PEEK), Ok((0, _)))
    }

    fn is_readable(&self) -> bool {
        self.mail.filled > 0 || wait_readable(&self.socket, Some(NOW)) == Ok(true)
    }

    /// Waits for any step of init.
    pub fn next(&mut self) -> Result<Step> {
        match self.receive()? {
            Message::Sync(name) => Ok(Step { name, file: self.mail.file.take() }),
            Message::Error(failure) => Err(Error::Init(failure)),
        }
    }

    /// Waits for a step of init.
    pub fn expect(&mut self, step: &'static CStr) -> Result<()> {
        match self.next()? {
            found if found.is(step) => Ok(()),
            found => Err(Error::Protocol(format!("{:?} instead of {}", found.name, lossy(step)))),
        }
    }

    /// Waits for the end of the connection, which is init's execve.
    pub fn expect_end(&mut self) -> Result<()> {
        if self.mail.filled == 0 {
            wait(&self.socket, self.page, self.mask.is_some())?;
            let mut byte = [0];
            match rustix::net::recv(&self.socket, &mut byte[..], RecvFlags::PEEK) {
                // At its execve; from there on how it ends is seen when it is waited for.
                Ok((0, _)) | Err(Errno::CONNRESET) if self.page.phase() == Some(Phase::Exec) => {
                    return Ok(());
                }
                Ok((0, _)) | Err(Errno::CONNRESET) => return Err(self.death()),
                peeked => peeked.host("receive", "from init")?,
            };
        }
        match self.receive()? {
            Message::Error(failure) => Err(Error::Init(failure)),
            Message::Sync(found) => Err(Error::Protocol(format!("{found:?} behind procDone"))),
        }
    }

    /// Receives one frame; what came with it of the next one is kept.
    fn receive(&mut self) -> Result<Message> {
        loop {
            let Mail { file, buffer, filled } = &mut self.mail;
            let length = match buffer.first_chunk().filter(|_| *filled >= HEADER_LENGTH) {
                None => buffer.len(),
                Some(header) => {
                    let header = Header::decode(*header)
                        .map_err(|bad| Error::Protocol(format!("{bad:?} in a header")))?;
                    let length = HEADER_LENGTH + header.length as usize;
                    if length > HEADER_LENGTH + MAX_MESSAGE {
                        return Err(Error::Protocol("a frame of the wrong length".into()));
                    }
                    if length > buffer.len() {
                        buffer.resize(length, 0);
                    }
                    if *filled >= length {
                        let body = buffer.get(HEADER_LENGTH..length).unwrap_or_default();
                        let message = decode(header.kind, body);
                        buffer.copy_within(length..*filled, 0);
                        *filled -= length;
                        return message;
                    }
                    length
                }
            };
            wait(&self.socket, self.page, self.mask.is_some())?;
            let rest = buffer.get_mut(*filled..length).unwrap_or_default();
            match receive_with(&self.socket, rest, file) {
                Ok(0) | Err(Errno::CONNRESET) => return Err(self.death()),
                Ok(count) => *filled += count,
                Err(errno) => return Err(errno).host("receive", "from init"),
            }
        }
    }

    /// The connection ended without a last word: how init ended.
    fn death(&self) -> Error {
        let ended =
            self.pidfd.as_ref().filter(|process| wait_gone(process, Some(PATIENCE)).is_ok_and(|gone| gone));
        let status = ended.map(|process| {
            rustix::process::waitid(
                WaitId::PidFd(process.as_fd()),
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
            )
        });
        let how = match status.transpose().map(Option::flatten) {
            Ok(Some(status)) => match (status.terminating_signal(), status.exit_status()) {
                (Some(signal), _)
                    if signal == Signal::KILL.as_raw() && crate::cgroup::oom_kills(self.cgroups) > 0 =>
                {
                    "was killed for lack of memory (OOM)".into()
                }
                (Some(signal), _) => format!("was killed by {}", crate::signal::name(signal)),
                (_, Some(101)) => "panicked".into(),
                (_, Some(code)) => format!("exited with status {code}"),
                _ => "ended".into(),
            },
            _ => "closed its connection".into(),
        };
        Error::Died { phase: self.page.phase(), how }
    }
}
