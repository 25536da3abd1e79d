//! The isolation of one program: cgroups, mounts, processes, IPC and host name of its own, a
//! fresh /proc, /run and TMPDIR, and the cgroup hierarchies as if its own cgroup were the root.
//!
//! The driver starts itself three times over: as the cell, which enters the cgroups; as their root,
//! in a cgroup namespace; and in all the other namespaces as the reaping PID 1, which mounts and
//! starts the program. unshare(1) leads from each to the next.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::cgroups::{self, Cgroups, Hierarchy};
use crate::error::{Context, Error, Result};

/// Fresh in each cell.
pub const RUN: &str = "/run";
/// Where bundles are made.
const TMPDIR: &str = "/run/tmp";
/// How often the driver looks up from waiting.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// What a cell is told.
#[derive(Serialize, Deserialize)]
pub struct Order {
    /// The program of the suite.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The runtime under test.
    pub runtime: PathBuf,
    /// The directory that the suite expects to run in.
    pub work: PathBuf,
    /// Where the program's output goes.
    pub stdout: PathBuf,
    /// Where its messages go.
    pub stderr: PathBuf,
    /// Its cgroups; filled in by `run`.
    pub cgroups: Vec<PathBuf>,
    /// This program; filled in by `run`.
    pub driver: PathBuf,
}

/// How a program ended.
pub struct Ended {
    /// Exit status, 128 and the signal's number for a death; `None` when its time was up.
    pub code: Option<i32>,
    /// How long it took.
    pub seconds: f64,
}

/// Runs a program in a cell of its own. `stopped` is asked now and then whether to give up.
pub fn run(
    mut order: Order,
    hierarchies: &[Hierarchy],
    number: usize,
    limit: Duration,
    stopped: impl Fn() -> bool,
) -> Result<Ended> {
    let cgroups = Cgroups::new(hierarchies, number)?;
    order.cgroups = cgroups.paths().to_vec();
    order.driver = std::env::current_exe().at("resolve", "/proc/self/exe")?;
    let ended = start(&order, limit, stopped);
    let swept = cgroups.sweep();
    let ended = ended?;
    swept.map(|()| ended)
}

fn start(order: &Order, limit: Duration, stopped: impl Fn() -> bool) -> Result<Ended> {
    let started = Instant::now();
    let mut command = Command::new(&order.driver);
    // A group of its own: a terminal's signals are for the driver, which then kills it.
    command.args(["cell", &text(order)?]).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    let mut child = command.stderr(Stdio::piped()).spawn().at("spawn", order.driver.display())?;
    let pid = Pid::from_child(&child);
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).at("pidfd_open", pid)?;
    let mut in_time = true;
    while !gone(&pidfd)? {
        if stopped() || started.elapsed() > limit {
            in_time = false;
            // Its PID 1 is killed with it, and everything else with that.
            child.kill().at("kill", pid)?;
        }
    }
    let output = child.wait_with_output().at("wait", pid)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if in_time && !complaint.is_empty() {
        let reason = complaint.trim().trim_start_matches("error: ").to_owned();
        return Err(Error::new(format!("cannot isolate {}: {reason}", order.program.display())));
    }
    let code = in_time.then(|| code_of(output.status));
    Ok(Ended { code, seconds: started.elapsed().as_secs_f64() })
}

/// Waits a tick for a process to end.
fn gone(pidfd: &OwnedFd) -> Result<bool> {
    match rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&TICK)) {
        Err(Errno::INTR) => Ok(false),
        done => done.at("poll", "pidfd").map(|ready| ready > 0),
    }
}

fn text(order: &Order) -> Result<String> {
    serde_json::to_string(order).at("write", "order")
}

/// Plays a role of the isolation; the program's exit status.
pub fn play(role: &str, order: &str) -> Result<u8> {
    let order: Order = serde_json::from_str(order).at("read", "order")?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).at("prctl", "PDEATHSIG")?;
    match role {
        "cell" => {
            enter(&order.cgroups)?;
            Err(next("root", &order, &["--cgroup"])?)
        }
        "root" => {
            order.cgroups.iter().try_for_each(|cgroup| delegate(cgroup))?;
            let flags = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"];
            Err(next("inside", &order, &flags)?)
        }
        "inside" => inside(&order),
        _ => Err(Error::new(format!("unknown role {role:?}"))),
    }
}

/// Becomes the next role in new namespaces. Returns only on failure.
fn next(role: &str, order: &Order, flags: &[&str]) -> Result<Error> {
    let mut command = Command::new("unshare");
    command.args(flags).arg("--").arg(&order.driver).args([role, &text(order)?]);
    Err(command.exec()).at("execute", "unshare (util-linux)")
}

fn enter(cgroups: &[PathBuf]) -> Result<()> {
    for cgroup in cgroups {
        let file = cgroup.join("cgroup.procs");
        fs::write(&file, "0").at("write", file.display())?;
    }
    Ok(())
}

/// PID 1: makes the world, starts the program, reaps, and takes everybody with it when it ends.
fn inside(order: &Order) -> Result<u8> {
    let create = |path: &Path| File::create(path).at("create", path.display());
    let (stdout, stderr) = (create(&order.stdout)?, create(&order.stderr)?);
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    rustix::mount::mount_change("/", private).at("mount", "/")?;
    mount("proc", Path::new("/proc"), "")?;
    remount(&cgroups::hierarchies()?)?;
    mount("tmpfs", Path::new(RUN), "mode=755")?;
    fs::create_dir(TMPDIR).at("mkdir", TMPDIR)?;
    mount("tmpfs", Path::new(TMPDIR), "mode=1777")?;
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let program = Command::new(&order.program)
        .args(&order.arguments)
        .current_dir(&order.work)
        .env_clear()
        .envs([("PATH", path), ("HOME", "/root".into()), ("TMPDIR", TMPDIR.into())])
        .env("RUNTIME", &order.runtime)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .at("spawn", order.program.display())?;
    let program = Pid::from_child(&program);
    loop {
        match rustix::process::wait(WaitOptions::empty()).at("wait", "children")? {
            Some((pid, status)) if pid == program => {
                return Ok(code_of(ExitStatus::from_raw(status.as_raw())) as u8);
            }
            _ => {}
        }
    }
}

/// Puts the hierarchies in the place of the host's, with the cell's own cgroup as their root.
fn remount(hierarchies: &[Hierarchy]) -> Result<()> {
    while rustix::mount::unmount(cgroups::MOUNT, UnmountFlags::DETACH).is_ok() {}
    let root = Path::new(cgroups::MOUNT);
    if let [Hierarchy { options, .. }] = hierarchies
        && options.is_empty()
    {
        return mount("cgroup2", root, "");
    }
    mount("tmpfs", root, "mode=755")?;
    for hierarchy in hierarchies {
        let target = root.join(&hierarchy.name);
        fs::create_dir(&target).at("mkdir", target.display())?;
        mount("cgroup", &target, &hierarchy.options)?;
        // As the host has them: each controller of a shared hierarchy by its own name, too.
        for controller in
            hierarchy.options.split(',').filter(|name| *name != hierarchy.name && !name.contains('='))
        {
            let link = root.join(controller);
            std::os::unix::fs::symlink(&hierarchy.name, &link).at("symlink", link.display())?;
        }
    }
    Ok(())
}

/// Hands all controllers of a cgroup2 down. A cgroup with processes cannot, so this one moves on:
/// after the cgroup namespace was made, whose root stays where it was.
fn delegate(root: &Path) -> Result<()> {
    let Ok(controllers) = fs::read_to_string(root.join("cgroup.controllers")) else { return Ok(()) };
    let own = root.join("suite");
    fs::create_dir(&own).at("mkdir", own.display())?;
    fs::write(own.join("cgroup.procs"), "0").at("write", own.display())?;
    for controller in controllers.split_whitespace() {
        let control = root.join("cgroup.subtree_control");
        fs::write(&control, format!("+{controller}")).at("write", control.display())?;
    }
    Ok(())
}

fn mount(kind: &str, target: &Path, data: &str) -> Result<()> {
    let data = std::ffi::CString::new(data).unwrap_or_default();
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Containers are started from a tmpfs, with devices in it.
    let flags = if kind == "tmpfs" { MountFlags::empty() } else { flags };
    rustix::mount::mount(kind, target, kind, flags, data.as_c_str()).at("mount", target.display())
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
