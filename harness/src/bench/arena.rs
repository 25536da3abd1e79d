//! Where a measurement takes place: a mount namespace of its own with cgroup2 on /sys/fs/cgroup,
//! and a tmpfs for bundles and state, so that neither a hybrid hierarchy nor a disk is measured.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Pid, PidfdFlags};
use serde_json::{Value, json};

use crate::error::{Context, Result};
use crate::launch::image::WITNESS;
use crate::plan::Kind;
use crate::process::wait_gone;
use crate::{sys, verb};

/// The tmpfs.
pub struct Arena {
    /// Its mount point.
    pub path: PathBuf,
}

impl Arena {
    /// Enters the namespace. Its mounts go with the last process in it.
    pub fn enter() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("harness-bench-{}", std::process::id()));
        sys::unshare(Kind::Mount.flag()).host("unshare", "mount namespace")?;
        let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
        rustix::mount::mount_change("/", private).host("mount", "/")?;
        while rustix::mount::unmount(crate::cgroup::MOUNT, UnmountFlags::DETACH).is_ok() {}
        mount("cgroup2", Path::new(crate::cgroup::MOUNT))?;
        std::fs::create_dir_all(&path).host("mkdir", path.display())?;
        mount("tmpfs", &path)?;
        Ok(Self { path })
    }

    /// Makes a bundle that runs `witness ARGUMENT`, with the default configuration.
    pub fn bundle(&self, argument: &str) -> Result<PathBuf> {
        let bundle = self.path.join(format!("bundle-{argument}"));
        let rootfs = bundle.join("rootfs");
        std::fs::create_dir_all(&rootfs).host("mkdir", rootfs.display())?;
        let program = rootfs.join("witness");
        std::fs::write(&program, WITNESS).host("write", program.display())?;
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, executable).host("chmod", program.display())?;
        let config: Value = verb::spec::default(&["/witness", argument]);
        std::fs::write(bundle.join("config.json"), config.to_string()).host("write", bundle.display())?;
        Ok(bundle)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let _gone_with_the_namespace = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
        let _empty = std::fs::remove_dir(&self.path);
    }
}

fn mount(kind: &str, target: &Path) -> Result<()> {
    rustix::mount::mount(kind, target, kind, MountFlags::empty(), None).host("mount", target.display())
}

/// Waits for the end of a process that is no child.
pub fn wait_for(pid: i32) -> Result<()> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => wait_gone(process, None).map(drop),
        Err(_) => Ok(()),
    }
}

/// The value below which a share of the samples lies.
pub fn quantile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let index = ((samples.len().saturating_sub(1)) as f64 * share).round() as usize;
    samples.get(index).copied().unwrap_or(f64::NAN)
}

/// Median and 99th percentile as JSON, in milliseconds.
pub fn summary(samples: &mut [f64]) -> Value {
    json!({ "p50_ms": quantile(samples, 0.5), "p99_ms": quantile(samples, 0.99), "samples": samples.len() })
}
