//! The isolation of one program: cgroups, mounts, processes, IPC and host name of its own, a
//! fresh /proc, /run and TMPDIR, and the cgroup hierarchies as if its own cgroup were the root.
//!
//! The driver starts itself as the cell, which enters cgroups and namespaces and starts itself
//! again as the reaping PID 1, which mounts and starts the program.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use linux_raw_sys::general::{CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS};
use rustix::event::Timespec;
use rustix::fs::Mode;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

use super::cgroups::{self, Cgroups, Hierarchy};
use crate::error::{Context, Error, Result};
use crate::{process, sys};

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
    /// The runtime under test.
    pub runtime: PathBuf,
    /// The directory that the suite expects to run in.
    pub work: PathBuf,
    /// Where the program's output goes.
    pub stdout: PathBuf,
    /// Where its messages go.
    pub stderr: PathBuf,
    /// Its cgroups; filled in by the driver.
    pub cgroups: Vec<PathBuf>,
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
    let ended = start(&order, limit, stopped);
    let swept = cgroups.sweep();
    let ended = ended?;
    swept.map(|()| ended)
}

fn start(order: &Order, limit: Duration, stopped: impl Fn() -> bool) -> Result<Ended> {
    let started = Instant::now();
    let mut child = again("cell", order)?.stderr(Stdio::piped()).spawn().host("spawn", "/proc/self/exe")?;
    let pid = Pid::from_child(&child);
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).host("pidfd_open", pid)?;
    let mut in_time = true;
    while !process::wait_gone(&pidfd, Some(TICK))? {
        if stopped() || started.elapsed() > limit {
            in_time = false;
            // Its PID 1 is killed with it, and everything else with that.
            child.kill().host("kill", pid)?;
        }
    }
    let output = child.wait_with_output().host("wait", pid)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if in_time && !complaint.is_empty() {
        let reason = complaint.trim().trim_start_matches("error: ").to_owned();
        return Err(Error::State(format!(
            "conformance: cannot isolate {}: {reason}",
            order.program.display()
        )));
    }
    let code = in_time.then(|| code_of(output.status));
    Ok(Ended { code, seconds: started.elapsed().as_secs_f64() })
}

/// This program again, with an order.
fn again(role: &str, order: &Order) -> Result<Command> {
    let text = serde_json::to_string(order).map_err(|error| Error::State(error.to_string()))?;
    let mut command = Command::new("/proc/self/exe");
    command.args(["conformance", role, &text]).stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

/// `conformance cell ORDER` and `conformance inside ORDER`; the program's exit status.
pub fn play(role: &str, order: &str) -> Result<u8> {
    let order = serde_json::from_str(order).map_err(|error| Error::Usage(format!("conformance: {error}")))?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).host("prctl", "PDEATHSIG")?;
    if role == "cell" { outside(&order) } else { inside(&order) }
}

/// Enters cgroups and namespaces; the next child is PID 1.
fn outside(order: &Order) -> Result<u8> {
    enter(&order.cgroups)?;
    let flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWUTS;
    sys::unshare(flags).host("unshare", "mount, pid, cgroup, ipc and uts namespace")?;
    order.cgroups.iter().try_for_each(|cgroup| delegate(cgroup))?;
    let status = again("inside", order)?.status().host("spawn", "/proc/self/exe")?;
    Ok(code_of(status) as u8)
}

fn enter(cgroups: &[PathBuf]) -> Result<()> {
    for cgroup in cgroups {
        let file = cgroup.join("cgroup.procs");
        fs::write(&file, "0").host("write", file.display())?;
    }
    Ok(())
}

/// PID 1: makes the world, starts the program, reaps, and takes everybody with it when it ends.
fn inside(order: &Order) -> Result<u8> {
    let create = |path: &Path| File::create(path).host("create", path.display());
    let (stdout, stderr) = (create(&order.stdout)?, create(&order.stderr)?);
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    rustix::mount::mount_change("/", private).host("mount", "/")?;
    mount("proc", Path::new("/proc"), "")?;
    remount(&cgroups::hierarchies()?)?;
    mount("tmpfs", Path::new(RUN), "mode=755")?;
    fs::create_dir(TMPDIR).host("mkdir", TMPDIR)?;
    mount("tmpfs", Path::new(TMPDIR), "mode=1777")?;
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let program = Command::new(&order.program)
        .current_dir(&order.work)
        .env_clear()
        .envs([("PATH", path), ("HOME", "/root".into()), ("TMPDIR", TMPDIR.into())])
        .env("RUNTIME", &order.runtime)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .host("spawn", order.program.display())?;
    let program = Pid::from_child(&program);
    loop {
        match rustix::process::wait(WaitOptions::empty()).host("wait", "children")? {
            Some((pid, status)) if pid == program => {
                return Ok(code_of(std::os::unix::process::ExitStatusExt::from_raw(status.as_raw())) as u8);
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
        fs::create_dir(&target).host("mkdir", target.display())?;
        mount("cgroup", &target, &hierarchy.options)?;
        // As the host has them: each controller of a shared hierarchy by its own name, too.
        for controller in
            hierarchy.options.split(',').filter(|name| *name != hierarchy.name && !name.contains('='))
        {
            let link = root.join(controller);
            std::os::unix::fs::symlink(&hierarchy.name, &link).host("symlink", link.display())?;
        }
    }
    Ok(())
}

/// Hands all controllers of a cgroup2 down. A cgroup with processes cannot, so this one moves on:
/// after the cgroup namespace was made, whose root stays where it was.
fn delegate(root: &Path) -> Result<()> {
    let Ok(controllers) = fs::read_to_string(root.join("cgroup.controllers")) else { return Ok(()) };
    let own = root.join("suite");
    fs::create_dir(&own).host("mkdir", own.display())?;
    fs::write(own.join("cgroup.procs"), "0").host("write", own.display())?;
    for controller in controllers.split_whitespace() {
        let control = root.join("cgroup.subtree_control");
        fs::write(&control, format!("+{controller}")).host("write", control.display())?;
    }
    Ok(())
}

fn mount(kind: &str, target: &Path, data: &str) -> Result<()> {
    let data = std::ffi::CString::new(data).unwrap_or_default();
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Containers are started from a tmpfs, with devices in it.
    let flags = if kind == "tmpfs" { MountFlags::empty() } else { flags };
    rustix::mount::mount(kind, target, kind, flags, data.as_c_str()).host("mount", target.display())
}

fn code_of(status: ExitStatus) -> i32 {
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    status.code().unwrap_or_else(|| 128 + signal.unwrap_or_default())
}
