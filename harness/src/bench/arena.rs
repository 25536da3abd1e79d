//! Where a measurement takes place: a mount namespace of its own with one cgroup view on
//! /sys/fs/cgroup, and a tmpfs for bundles and state, so that neither a hybrid hierarchy nor a disk
//! is measured. All of it goes with the last process in the namespace; cgroups are swept.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::cgroup::{self, Others};
use crate::error::{Context, Error, Result};
use crate::plan::Kind;
use crate::sys;

/// What is mounted on /sys/fs/cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// One hierarchy.
    V2,
    /// Every controller that the host has on v1, each in a hierarchy of its own.
    V1,
}

/// The tmpfs.
pub struct Arena {
    /// Its mount point.
    pub path: PathBuf,
    /// Name of the cgroup that all others are below, in each hierarchy.
    pub cgroup: String,
    /// What is mounted.
    view: View,
    /// Controllers of the root that were enabled before; runtimes enable more, and leave them so.
    enabled: String,
}

impl Arena {
    /// Enters the namespace.
    pub fn enter() -> Result<Self> {
        let cgroup = format!("harness-bench-{}", std::process::id());
        let path = std::env::temp_dir().join(&cgroup);
        sys::unshare(Kind::Mount.flag()).host("unshare", "mount namespace")?;
        let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
        rustix::mount::mount_change("/", private).host("mount", "/")?;
        std::fs::create_dir_all(&path).host("mkdir", path.display())?;
        let mut arena = Self { path, cgroup, view: View::V2, enabled: String::new() };
        mount("tmpfs", &arena.path, None)?;
        arena.mount_v2()?;
        Ok(arena)
    }

    /// Changes the view. No container may exist.
    pub fn set_view(&mut self, view: View) -> Result<()> {
        if self.view == view {
            return Ok(());
        }
        self.sweep()?;
        match view {
            View::V2 => self.mount_v2(),
            View::V1 => self.mount_v1(),
        }
    }

    fn mount_v2(&mut self) -> Result<()> {
        while rustix::mount::unmount(cgroup::MOUNT, UnmountFlags::DETACH).is_ok() {}
        let root = Path::new(cgroup::MOUNT);
        mount("cgroup2", root, None)?;
        self.view = View::V2;
        let file = root.join("cgroup.subtree_control");
        self.enabled = std::fs::read_to_string(&file).host("read", file.display())?;
        let own = root.join(&self.cgroup);
        std::fs::create_dir_all(&own).host("mkdir", own.display())
    }

    /// The controllers stay mounted elsewhere on the host, or are there for nobody; a hierarchy
    /// that nobody uses any more goes with its last mount.
    fn mount_v1(&mut self) -> Result<()> {
        let text = std::fs::read_to_string("/proc/cgroups").host("read", "/proc/cgroups")?;
        let controllers = legacy_controllers(&text);
        if controllers.is_empty() {
            return Err(Error::State("no cgroup v1 controller on this host".into()));
        }
        while rustix::mount::unmount(cgroup::MOUNT, UnmountFlags::DETACH).is_ok() {}
        let root = Path::new(cgroup::MOUNT);
        mount("tmpfs", root, None)?;
        self.view = View::V1;
        for controller in controllers {
            let directory = root.join(controller);
            std::fs::create_dir_all(&directory).host("mkdir", directory.display())?;
            mount("cgroup", &directory, Some(controller))?;
        }
        Ok(())
    }

    /// Ends what is left in the cgroups of this run, and removes them.
    pub fn sweep(&self) -> Result<()> {
        let root = Path::new(cgroup::MOUNT);
        if self.view == View::V2 {
            cgroup::remove(&root.join(&self.cgroup), Others::Kill)?;
            return self.disable(root);
        }
        for entry in std::fs::read_dir(root).host("read", root.display())?.flatten() {
            cgroup::remove(&entry.path().join(&self.cgroup), Others::Kill)?;
        }
        Ok(())
    }

    /// Disables what runtimes have enabled in the root meanwhile.
    fn disable(&self, root: &Path) -> Result<()> {
        let file = root.join("cgroup.subtree_control");
        let now = std::fs::read_to_string(&file).host("read", file.display())?;
        let mut change = String::new();
        let before: Vec<&str> = self.enabled.split_whitespace().collect();
        for controller in now.split_whitespace().filter(|controller| !before.contains(controller)) {
            let _to_a_string = write!(change, "-{controller} ");
        }
        if change.is_empty() {
            return Ok(());
        }
        std::fs::write(&file, &change).host("write", file.display())
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Err(error) = self.sweep() {
            eprintln!("warning: bench: {error}");
        }
        let _gone_with_the_namespace = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
        let _empty = std::fs::remove_dir(&self.path);
    }
}

/// The controllers of /proc/cgroups that are on a v1 hierarchy.
fn legacy_controllers(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter_map(|fields| match fields[..] {
            [name, hierarchy, _, "1"] if hierarchy != "0" => Some(name),
            _ => None,
        })
        .collect()
}

/// Mounts a file system named after its kind.
pub fn mount(kind: &str, target: &Path, data: Option<&str>) -> Result<()> {
    let text = data.map(|data| std::ffi::CString::new(data).unwrap_or_default());
    rustix::mount::mount(kind, target, kind, MountFlags::empty(), text.as_deref())
        .host("mount", format_args!("{kind} on {}", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_on_v2_are_not_legacy() {
        let text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n\
                    cpu\t1\t1\t1\nhugetlb\t0\t1\t1\npids\t8\t1\t0\nmemory\t4\t13\t1\n";
        assert_eq!(legacy_controllers(text), ["cpu", "memory"]);
    }
}
