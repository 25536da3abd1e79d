//! A bundle in a temporary directory, the harness run on it, and what can be seen from outside.
#![allow(dead_code)]

pub mod config;
pub mod filter;
pub mod lab;
pub mod needs;
pub mod notify;

use std::fs;
use std::io::{Read, Seek};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

#[allow(unused_imports)] // The sweep builds its own trials.
pub use needs::{Needs, missing, trial};

/// A bundle with busybox as its root file system, and a state directory.
pub struct Fixture {
    dir: TempDir,
    pub id: String,
    pub config: Value,
}

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Longest that any command may take.
const LIMIT: Duration = Duration::from_secs(20);

impl Fixture {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("harness-test-").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let id = format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let bundle = dir.path().join("bundle");
        fs::create_dir_all(bundle.join("rootfs/bin")).unwrap();
        if Path::new("/bin/busybox").exists() {
            // By a process of its own: a descriptor that this one writes to may be inherited by what
            // another trial starts just then, and a file that is open for writing cannot be executed.
            let copy = bundle.join("rootfs/bin/busybox");
            assert!(Command::new("cp").arg("/bin/busybox").arg(copy).status().unwrap().success());
            for name in ["sh", "cat", "ls", "sleep", "id", "stat", "touch", "kill", "true"] {
                symlink("busybox", bundle.join("rootfs/bin").join(name)).unwrap();
            }
        }
        assert!(Command::new(binary()).args(["spec", "-b"]).arg(&bundle).status().unwrap().success());
        let config = serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).unwrap();
        Self { dir, id, config }
    }

    /// A fixture whose process is a shell script.
    pub fn script(script: &str) -> Self {
        let mut fixture = Self::new();
        fixture.config["process"]["args"] = json!(["sh", "-c", script]);
        fixture
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn bundle(&self) -> PathBuf {
        self.path().join("bundle")
    }

    pub fn rootfs(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    pub fn root(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Writes config.json as it is now.
    pub fn write(&self) {
        self.write_text(self.config.to_string());
    }

    pub fn write_text(&self, text: impl AsRef<[u8]>) {
        fs::write(self.bundle().join("config.json"), text).unwrap();
    }

    /// The harness with `--root`, ready to be given a verb.
    pub fn harness(&self) -> Command {
        let mut command = Command::new(binary());
        command.arg("--root").arg(self.root()).current_dir(self.bundle());
        command
    }

    /// Gives the root file system to an owner, as images for user namespaces are.
    pub fn give_to(&self, owner: u32) {
        let id = format!("{owner}:{owner}");
        assert!(Command::new("chown").args(["-R", &id]).arg(self.bundle()).status().unwrap().success());
    }

    /// Runs a verb; the options stand where they are given.
    pub fn call(&self, args: &[&str]) -> Outcome {
        outcome(self.harness().args(args))
    }

    /// Writes the configuration and runs `VERB ID`.
    pub fn verb(&self, verb: &str) -> Outcome {
        self.call(&[verb, &self.id])
    }

    /// Writes the configuration and runs the container in the foreground.
    pub fn run(&self) -> Outcome {
        self.write();
        self.verb("run")
    }

    /// Writes the configuration and creates; the pid.
    pub fn create(&self) -> i32 {
        self.write();
        let created = self.verb("create");
        assert_eq!((created.code, created.stderr.as_str()), (Some(0), ""), "create");
        self.state()["pid"].as_i64().unwrap() as i32
    }

    pub fn state(&self) -> Value {
        let state = self.verb("state");
        assert_eq!(state.code, Some(0), "{}", state.stderr);
        serde_json::from_str(&state.stdout).unwrap()
    }

    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    /// Waits for a status.
    pub fn await_status(&self, status: &str) {
        let start = Instant::now();
        while self.status() != status {
            assert!(start.elapsed() < LIMIT, "still {}", self.status());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for a file in the root file system.
    pub fn await_file(&self, name: &str) {
        let start = Instant::now();
        while !self.rootfs().join(name).exists() {
            assert!(start.elapsed() < LIMIT, "no {name}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Nothing is left: no state, no cgroup, no process of this container.
    pub fn assert_gone(&self) {
        let entries: Vec<_> = fs::read_dir(self.root())
            .map(|entries| entries.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        let left: Vec<&String> = entries.iter().filter(|name| !name.starts_with(".template")).collect();
        assert!(left.is_empty(), "state: {left:?}");
        assert_eq!(self.cgroups(), Vec::<PathBuf>::new(), "cgroups");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = self.path().display().to_string();
        let left: Vec<&str> =
            mounts.lines().filter(|line| line.contains(&own) && !line.contains(".template")).collect();
        assert!(left.is_empty(), "mounts: {left:?}");
    }

    /// The cgroups named like this container.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let paths = hierarchies.map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
        paths.map(|path| path.join(&self.id)).filter(|path| path.exists()).collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _forced =
            self.verb("delete").code == Some(0) || self.call(&["delete", "-f", &self.id]).code == Some(0);
        let _cleaned = self.call(&["cleanup"]);
    }
}

/// The harness under test.
pub fn binary() -> PathBuf {
    assert_cmd::cargo::cargo_bin("harness")
}

/// Runs a command to its end. Its output goes to files: a container inherits it, and a pipe would
/// stay open as long as that lives.
pub fn outcome(command: &mut Command) -> Outcome {
    let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.stdin(Stdio::null()).stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let text = |mut file: fs::File| {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

impl Outcome {
    /// One line on stderr, exit status 1.
    #[track_caller]
    pub fn fails_with(&self, line: &str) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(1), format!("error: {line}\n").as_str()));
    }

    #[track_caller]
    pub fn prints(&self, text: &str) {
        assert_eq!((self.code, self.stderr.as_str(), self.stdout.as_str()), (Some(0), "", text));
    }
}

/// Takes a descriptor that is sent to a socket, and the bytes that come with it.
pub fn accept(listener: &std::os::unix::net::UnixListener) -> (fs::File, Vec<u8>) {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    let (stream, _) = listener.accept().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 4096];
    let mut vectors = [std::io::IoSliceMut::new(&mut bytes)];
    let count =
        rustix::net::recvmsg(&stream, &mut vectors, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap().bytes;
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    (file.unwrap().into(), bytes[..count].to_vec())
}

/// A field of /proc/PID/status.
pub fn proc_status(pid: i32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:"))).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
