//! The floor program, and the company of a measurement: tasks that sleep, a CPU that is busy,
//! mounts of the host. All of it ends with its owner, and with the harness however that ends.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::mount::UnmountFlags;

use super::arena::Arena;
use crate::error::{Context, Error, Result};

/// The program (`init/src/bin/floor.rs`).
const FLOOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/floor.bin"));

/// Puts the program into the arena.
pub fn install(arena: &Arena) -> Result<PathBuf> {
    let path = arena.path.join("floor");
    std::fs::write(&path, FLOOR).host("write", path.display())?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).host("chmod", path.display())?;
    Ok(path)
}

/// The floor program in its loop.
pub struct Floor {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
}

impl Floor {
    /// Starts it, for containers with the root file system `root` in the cgroup view of today.
    pub fn start(program: &Path, root: &Path, cgroup: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("loop").arg(root).arg(cgroup).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.process_group(0).spawn().host("spawn", program.display())?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        Ok(Self { child, input, output })
    }

    /// Milliseconds of one container.
    pub fn container(&mut self) -> Result<f64> {
        let mut answer = [0; 8];
        let asked = self.input.as_mut().map(|input| input.write_all(b"1"));
        let answered = self.output.as_mut().map(|output| output.read_exact(&mut answer));
        if let (Some(Ok(())), Some(Ok(()))) = (asked, answered) {
            return Ok(u64::from_le_bytes(answer) as f64 / 1e6);
        }
        let status = self.child.wait().host("wait", "for the floor program")?;
        let errno = std::io::Error::from_raw_os_error(status.code().unwrap_or_default());
        Err(Error::State(format!("the floor program failed: {errno}")))
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ended = self.child.wait();
    }
}

/// What a scenario has around it.
#[derive(Default)]
pub struct Company {
    children: Vec<Child>,
    /// One pipe for all children; its end is theirs.
    pipe: Option<(PipeReader, PipeWriter)>,
    mounts: Vec<PathBuf>,
}

impl Company {
    /// Adds processes that run `program MODE` until the end.
    pub fn processes(&mut self, program: &Path, mode: &str, count: usize) -> Result<()> {
        if self.pipe.is_none() {
            self.pipe = Some(std::io::pipe().host("pipe", "")?);
        }
        for _ in 0..count {
            let mut command = Command::new(program);
            if let Some((reader, _)) = &self.pipe {
                command.stdin(reader.try_clone().host("dup", "pipe")?);
            }
            self.children.push(command.arg(mode).process_group(0).spawn().host("spawn", program.display())?);
        }
        Ok(())
    }

    /// Adds mounts to the namespace of the runtimes.
    pub fn mounts(&mut self, arena: &Path, count: usize) -> Result<()> {
        for index in 0..count {
            let target = arena.join("mounts").join(index.to_string());
            std::fs::create_dir_all(&target).host("mkdir", target.display())?;
            rustix::mount::mount_bind(&target, &target).host("mount", target.display())?;
            self.mounts.push(target);
        }
        Ok(())
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        drop(self.pipe.take());
        for child in &mut self.children {
            let _ended = child.wait();
        }
        for target in &self.mounts {
            let _gone_with_the_namespace = rustix::mount::unmount(target, UnmountFlags::DETACH);
        }
    }
}
