//! Init driven from init/PROTOCOL.md alone: raw frames, none of the harness's code.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;

use crate::support::{Fixture, Needs, trial};

/// The embedded image, as the build script left it.
const INIT: &str = env!("INIT_IMAGE");

pub fn trials() -> Vec<Trial> {
    vec![
        trial("protocol::conversation", Needs::Root, conversation),
        trial("protocol::refused_frames", Needs::Nothing, refused_frames),
        trial("protocol::by_hand", Needs::Nothing, by_hand),
    ]
}

fn frame(kind: u16, body: &str) -> Vec<u8> {
    let mut frame = b"OCIi\x01\x00".to_vec();
    frame.extend(kind.to_le_bytes());
    frame.extend((body.len() as u32).to_le_bytes());
    frame.extend(body.as_bytes());
    frame
}

/// Lets a descriptor be inherited.
fn inherit(descriptor: impl AsFd) -> i32 {
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::empty()).unwrap();
    descriptor.as_fd().as_raw_fd()
}

/// A detached tree (open_tree(2)).
fn tree(path: &std::path::Path) -> OwnedFd {
    use rustix::mount::OpenTreeFlags;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(rustix::fs::CWD, path, flags).unwrap()
}

struct Bootstrap {
    ours: UnixStream,
    theirs: UnixStream,
    state: fs::File,
    page: fs::File,
    parent: OwnedFd,
}

impl Bootstrap {
    fn new(fixture: &Fixture) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let state = fixture.path();
        assert!(Command::new("mkfifo").arg(state.join("exec.fifo")).status().unwrap().success());
        let page =
            fs::OpenOptions::new().read(true).write(true).create_new(true).open(state.join("page")).unwrap();
        page.set_len(4096).unwrap();
        let own = rustix::process::getpid();
        let parent = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()).unwrap();
        Self { ours, theirs, state: fs::File::open(state).unwrap(), page, parent }
    }

    fn spawn(&self, mut command: Command) -> Child {
        inherit(&self.page);
        inherit(&self.parent);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("_LIBCONTAINER_INITPIPE", inherit(&self.theirs).to_string())
            .env("_LIBCONTAINER_STATEDIR", inherit(&self.state).to_string())
            .env("_LIBCONTAINER_INITTYPE", "standard")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn send(&self, frame: &[u8], files: &[OwnedFd]) {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(files.is_empty() || control.push(SendAncillaryMessage::ScmRights(&files)));
        let frame = [std::io::IoSlice::new(frame)];
        rustix::net::sendmsg(&self.ours, &frame, &mut control, SendFlags::NOSIGNAL).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut frame = vec![0; 12];
        self.ours.read_exact(&mut frame).unwrap();
        let length = u32::from_le_bytes(frame[8..12].try_into().unwrap()) as usize;
        frame.resize(12 + length, 0);
        self.ours.read_exact(&mut frame[12..]).unwrap();
        frame
    }
}

fn conversation() {
    converse(include_str!("frames.txt"));
    converse(include_str!("frames-ahead.txt"));
}

fn converse(text: &str) {
    let fixture = Fixture::new();
    let mut bootstrap = Bootstrap::new(&fixture);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--uts", "--ipc", "--fork", "--propagation", "unchanged", "--", INIT]);
    let child = bootstrap.spawn(command);
    let text = text
        .replace("{PARENT}", &bootstrap.parent.as_raw_fd().to_string())
        .replace("{PAGE}", &bootstrap.page.as_raw_fd().to_string())
        .replace("{ROOTFS}", &fixture.rootfs().display().to_string());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.splitn(3, ' ');
        let (way, kind, body) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let frame = frame(kind.parse().unwrap(), body);
        if way == ">" {
            let sent = if body.contains("\"tree\":-1") { vec![tree(&fixture.rootfs())] } else { Vec::new() };
            bootstrap.send(&frame, &sent);
        } else {
            assert_eq!(String::from_utf8_lossy(&bootstrap.receive()), String::from_utf8_lossy(&frame));
        }
    }
    // The page says how far init is: phase 21 is the gate, which it may be about to enter from 22.
    let mut word = [0; 4];
    std::os::unix::fs::FileExt::read_exact_at(&bootstrap.page, &mut word, 0).unwrap();
    assert!([21, 22].contains(&u32::from_le_bytes(word)), "{word:?}");
    assert_eq!(fs::read(fixture.path().join("exec.fifo")).unwrap(), b"0");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"by-hand\n"[..]));
}

fn refused_frames() {
    let error = |op: u32, path: &str, errno: u32| {
        let errno = if errno == 0 { String::new() } else { format!(",\"errno\":{errno}") };
        frame(4, &format!("{{\"phase\":2,\"op\":{op},\"path\":\"{path}\"{errno}}}"))
    };
    let mut version = frame(1, "{}");
    version[4] = 9;
    let mut magic = frame(1, "{}");
    magic[0] = b'X';
    let mut long = frame(1, "");
    long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    for (sent, answer) in [
        (magic, error(6, "header", 0)),
        (version, error(6, "version", 0)),
        (long, error(6, "header", 0)),
        (frame(3, "{\"step\":\"procRun\"}"), error(6, "kind", 0)),
        (frame(1, "{\"parent\":1,\"colour\":2}"), error(2, "byte 13", 1)),
        (frame(1, "{\"parent\":1,\"parent\":2}"), error(2, "byte 13", 2)),
        (frame(1, "{\"parent\":4294967296}"), error(2, "byte 2", 3)),
        (frame(1, "{\"hostname\":\"a\\u0000\"}"), error(2, "byte 13", 4)),
        (frame(1, "{\"hostname\":\"a\\x\"}"), error(2, "byte 13", 5)),
        (frame(1, "{\"hostname\":7}"), error(2, "byte 2", 0)),
        (frame(1, "{\"process\":{\"args\":[[]]}}"), error(2, "byte 13", 0)),
        (frame(1, "{} x"), error(2, "byte 0", 0)),
        // A descriptor that does not come.
        (frame(1, "{\"root\":{\"tree\":-1}}"), error(4, "root", 0)),
        (frame(2, "{\"fd\":-1,\"length\":9}"), error(4, "config", 0)),
    ] {
        let fixture = Fixture::new();
        let mut bootstrap = Bootstrap::new(&fixture);
        bootstrap.ours.write_all(&sent).unwrap();
        let mut child = bootstrap.spawn(Command::new(INIT));
        let received = bootstrap.receive();
        assert_eq!(
            String::from_utf8_lossy(&received),
            String::from_utf8_lossy(&answer),
            "to {}",
            String::from_utf8_lossy(&sent)
        );
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}

fn by_hand() {
    let output = Command::new(INIT).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "init: environment: _LIBCONTAINER_INITPIPE: to be started by a container runtime (PROTOCOL.md)\n"
    );
    let output = Command::new(INIT).env_clear().env("_LIBCONTAINER_INITPIPE", "3x").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("_LIBCONTAINER_INITPIPE"));
}
