//! One case with one runtime, inside its cell: makes the bundle, runs it, and tells what came of it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::table::{Around, BUNDLE, Case, LISTENER};
use super::{console, files};
use crate::error::{Context, Error, Result};

/// Where the runtime's own output goes.
const SAID: &str = "/run/tmp/said";
const PRINTED: &str = "/run/tmp/printed";

/// What a case is told.
#[derive(Serialize, Deserialize)]
pub struct Order {
    /// The case.
    pub case: Case,
    /// The default configuration.
    pub config: Value,
    /// Name of the container.
    pub id: String,
    /// This program.
    pub driver: PathBuf,
    /// The runtime.
    pub runtime: PathBuf,
}

/// What came of a case.
#[derive(Serialize, Deserialize)]
pub struct Outcome {
    /// Why there is no report: what the runtime said.
    pub refused: Option<String>,
    /// The exit status of the process, or of the call that failed.
    pub status: Option<i32>,
    /// What the process saw.
    pub report: Value,
    /// What hooks saw, in their order.
    pub hooks: Vec<Value>,
    /// What came with listeners of seccomp.
    pub listened: Vec<Value>,
    /// The root file system afterwards.
    pub rootfs: Value,
}

/// Carries the case out and prints its outcome.
pub fn run(order: &str) -> Result<u8> {
    let order: Order = serde_json::from_str(order).at("read", "order")?;
    bundle(&order)?;
    if order.case.around.contains(&Around::Pair) {
        pair()?;
    }
    let listener = || UnixListener::bind(LISTENER).at("bind", LISTENER).map(console::refuse);
    let told = order.case.around.contains(&Around::Listener).then(listener).transpose()?;
    let hook = order.driver.display().to_string();
    let (config, process) = order.case.apply(order.config.clone(), &order.id, &hook)?;
    let write = |name: &str, value: &Value| {
        let path = Path::new(BUNDLE).join(name);
        fs::write(&path, value.to_string()).at("write", path.display())
    };
    write("config.json", &config)?;
    if let Some(process) = &process {
        write("process.json", process)?;
    }
    let (status, printed) = match &process {
        Some(_) => order.exec()?,
        None if config["process"]["terminal"] == true => order.terminal()?,
        None => {
            let status = order.call(&["run", "--bundle", BUNDLE, &order.id], PRINTED)?;
            (status, fs::read_to_string(PRINTED).at("read", PRINTED)?)
        }
    };
    let last = printed.lines().rev().find_map(|line| serde_json::from_str::<Value>(line.trim()).ok());
    let said = || fs::read(SAID).map(|said| String::from_utf8_lossy(&said).trim().to_owned());
    let outcome = Outcome {
        refused: last.is_none().then(|| said().unwrap_or_default()),
        status,
        report: last.map(settle).unwrap_or_default(),
        hooks: hooks()?,
        listened: told.iter().flat_map(|told| told.try_iter()).map(numberless).collect(),
        rootfs: json!(files::list(&format!("{BUNDLE}/rootfs"))),
    };
    let text = serde_json::to_string(&outcome).at("write", "outcome")?;
    println!("{}", text.replace(&order.id, "ID"));
    Ok(0)
}

impl Order {
    /// A call of the runtime; its exit status.
    fn call(&self, arguments: &[&str], stdout: &str) -> Result<Option<i32>> {
        let open = |path: &str| {
            File::options().create(true).append(true).open(path).at("open", path).map(Stdio::from)
        };
        let mut command = Command::new(&self.runtime);
        command.args(arguments).stdin(Stdio::null()).stdout(open(stdout)?).stderr(open(SAID)?);
        command.status().at("execute", self.runtime.display()).map(|status| status.code())
    }

    /// Creates, starts, and lets a second process report.
    fn exec(&self) -> Result<(Option<i32>, String)> {
        for verb in [&["create", "--bundle", BUNDLE, &self.id][..], &["start", &self.id]] {
            let status = self.call(verb, "/dev/null")?;
            if status != Some(0) {
                return Ok((status, String::new()));
            }
        }
        let process = format!("{BUNDLE}/process.json");
        let status = self.call(&["exec", "--process", &process, &self.id], PRINTED)?;
        self.call(&["delete", "--force", &self.id], "/dev/null")?;
        Ok((status, fs::read_to_string(PRINTED).at("read", PRINTED)?))
    }

    /// The same with a terminal, whose other end is read here.
    fn terminal(&self) -> Result<(Option<i32>, String)> {
        let socket = "/run/tmp/console";
        let listener = UnixListener::bind(socket).at("bind", socket)?;
        let create = ["create", "--bundle", BUNDLE, "--console-socket", socket, &self.id];
        let status = self.call(&create, "/dev/null")?;
        if status != Some(0) {
            return Ok((status, String::new()));
        }
        let (terminal, _) = console::receive(&listener)?;
        let status = self.call(&["start", &self.id], "/dev/null")?;
        let printed = console::read(terminal);
        self.call(&["delete", "--force", &self.id], "/dev/null")?;
        Ok((status, printed))
    }
}

/// The bundle: a root file system with this program, and sources for mounts.
fn bundle(order: &Order) -> Result<()> {
    for path in [
        "rootfs/proc",
        "rootfs/sys",
        "rootfs/dev",
        "rootfs/etc",
        "rootfs/tmp",
        "rootfs/data/inner",
        "rootfs/home/user",
        "source/tree/sub",
    ] {
        let path = Path::new(BUNDLE).join(path);
        fs::create_dir_all(&path).at("mkdir", path.display())?;
    }
    // Where a second mount lies, for recursive options.
    let sub = format!("{BUNDLE}/source/tree/sub");
    let flags = MountFlags::empty();
    rustix::mount::mount("tmpfs", sub.as_str(), "tmpfs", flags, None).at("mount", &sub)?;
    for (path, text) in [
        ("rootfs/etc/passwd", "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"),
        ("rootfs/etc/group", "root:x:0:\nuser:x:1000:\n"),
        ("rootfs/etc/hostname", "image\n"),
        ("rootfs/data/file", "data\n"),
        ("rootfs/data/inner/file", "inner\n"),
        ("source/file", "source\n"),
        ("source/tree/file", "tree\n"),
        ("source/tree/sub/file", "sub\n"),
    ] {
        let path = Path::new(BUNDLE).join(path);
        fs::write(&path, text).at("write", path.display())?;
    }
    let mode = |path: &str, mode: u32| {
        let path = Path::new(BUNDLE).join(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).at("chmod", path.display())
    };
    mode("rootfs/tmp", 0o1777)?;
    mode("rootfs/data/inner", 0o750)?;
    let inner = format!("{BUNDLE}/rootfs/data/inner");
    chown(&inner, Some(1000), Some(1000)).at("chown", inner)?;
    let program = format!("{BUNDLE}/rootfs/report");
    fs::copy(&order.driver, &program).at("copy", program)?;
    mode("rootfs/report", 0o755)
}

/// Two devices, of which one can be given to a container.
fn pair() -> Result<()> {
    for arguments in [
        "link add host0 address 02:00:00:00:00:07 mtu 1400 type veth peer name peer0 address 02:00:00:00:00:08",
        "address add 10.7.0.2/24 dev host0",
        "address add 10.9.0.2/24 dev host0 valid_lft 900 preferred_lft 900",
        "address add fd00:7::2/64 dev host0 nodad",
        "address add fd00:8::2/64 dev host0",
        "link set peer0 up",
        "link set host0 up",
    ] {
        let status = Command::new("ip").args(arguments.split(' ')).status().at("execute", "ip")?;
        if !status.success() {
            return Err(Error::new(format!("ip {arguments}: {status}")));
        }
    }
    Ok(())
}

/// A state without the numbers of processes, which say nothing.
fn numberless(mut state: Value) -> Value {
    for pid in ["/pid", "/state/pid"] {
        if let Some(pid) = state.pointer_mut(pid) {
            *pid = json!(pid.as_i64() > Some(1));
        }
    }
    state
}

/// Namespaces as seen from here: the same, or new.
fn settle(mut seen: Value) -> Value {
    let own = files::links("/proc/self/ns");
    if let Some(namespaces) = seen["namespaces"].as_object_mut() {
        for (name, link) in namespaces {
            let same = own.get(name).is_some_and(|own| link == own);
            *link = json!(if same { "host's" } else { "new" });
        }
    }
    seen
}

fn hooks() -> Result<Vec<Value>> {
    let mut seen = Vec::new();
    for path in ["hooks", "rootfs/tmp/hooks"] {
        let text = fs::read_to_string(Path::new(BUNDLE).join(path)).unwrap_or_default();
        for line in text.lines() {
            seen.push(settle(serde_json::from_str(line).at("read", path)?));
        }
    }
    Ok(seen)
}

/// A hook: appends what it sees to a file, in the bundle or in the container.
pub fn hook(name: &str) -> Result<u8> {
    let state: Value = serde_json::from_reader(std::io::stdin()).at("read", "state")?;
    let pid = state["pid"].as_i64();
    let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    let seen = json!({
        "name": name,
        "cwd": super::reporter::text(std::env::current_dir()),
        "env": names.join(" "),
        "status": state["status"],
        "bundle": state["bundle"],
        "annotations": state["annotations"],
        "pid": if pid > Some(1) { json!("the runtime's") } else { json!(pid) },
        "namespaces": files::links("/proc/self/ns"),
    });
    let path = if name == "startContainer" { "/tmp/hooks" } else { "/run/tmp/bundle/hooks" };
    let mut file = File::options().create(true).append(true).open(path).at("open", path)?;
    writeln!(file, "{seen}").at("write", path)?;
    if name == "fails" { Err(Error::new("told to fail")) } else { Ok(0) }
}
