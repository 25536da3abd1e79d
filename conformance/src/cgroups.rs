//! Cgroups of the driver's own: one below its own in every hierarchy for each run of a program, so
//! that the suite's fixed paths land there, runs side by side do not meet, and one sweep removes
//! what a program left.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};

/// Where the hierarchies are mounted.
pub const MOUNT: &str = "/sys/fs/cgroup";
/// What the names of our cgroups begin with; the driver's pid follows.
const PREFIX: &str = "conformance-";
/// How long a cgroup may stay busy after its last process was killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// A hierarchy that is mounted, seen from this process.
#[derive(Debug, PartialEq)]
pub struct Hierarchy {
    /// Options that mount it again, `cpu,cpuacct` or `name=systemd`; empty for cgroup2.
    pub options: String,
    /// Name of its directory below `MOUNT`.
    pub name: String,
    /// The driver's own cgroup in it.
    pub own: PathBuf,
}

/// The v1 hierarchies, or the unified one where there is none.
pub fn hierarchies() -> Result<Vec<Hierarchy>> {
    let read = |path| fs::read_to_string(path).at("read", path);
    let found = parse(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?);
    if found.is_empty() {
        return Err(Error::new("no cgroup hierarchy is mounted"));
    }
    Ok(found)
}

fn parse(membership: &str, mountinfo: &str) -> Vec<Hierarchy> {
    let (mut old, mut unified) = (Vec::new(), Vec::new());
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(options), Some(path)) = (fields.next(), fields.next()) else { continue };
        let mounts = mountinfo.lines().filter_map(Mount::parse);
        let Some(mount) = mounts.into_iter().find(|mount| mount.is(options)) else { continue };
        let below = Path::new(path).strip_prefix(mount.root).or(Path::new(path).strip_prefix("/"));
        let name = Path::new(mount.point).file_name().unwrap_or_default();
        let hierarchy = Hierarchy {
            options: options.to_owned(),
            name: name.display().to_string(),
            own: Path::new(mount.point).join(below.unwrap_or(Path::new(""))),
        };
        if options.is_empty() { unified.push(hierarchy) } else { old.push(hierarchy) }
    }
    if old.iter().any(|hierarchy| !hierarchy.options.starts_with("name=")) { old } else { unified }
}

/// A line of mountinfo (proc(5)), as far as it matters here.
struct Mount<'l> {
    root: &'l str,
    point: &'l str,
    kind: &'l str,
    options: &'l str,
}

impl<'l> Mount<'l> {
    fn parse(line: &'l str) -> Option<Self> {
        let (mount, source) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let mut source = source.split(' ');
        Some(Self {
            root: mount.next()?,
            point: mount.next()?,
            kind: source.next()?,
            options: source.nth(1)?,
        })
    }

    /// Whether it is the hierarchy with these controllers.
    fn is(&self, options: &str) -> bool {
        if options.is_empty() {
            return self.kind == "cgroup2";
        }
        let has = |option: &str| self.options.split(',').any(|mounted| mounted == option);
        self.kind == "cgroup" && options.split(',').all(has)
    }
}

/// The cgroups of one run.
pub struct Cgroups(Vec<PathBuf>);

impl Cgroups {
    /// Makes them; `number` tells the runs of this driver apart.
    pub fn new(hierarchies: &[Hierarchy], number: usize) -> Result<Self> {
        let mut made = Self(Vec::new());
        for hierarchy in hierarchies {
            let path = hierarchy.own.join(format!("{PREFIX}{}-{number}", std::process::id()));
            fs::create_dir(&path).at("mkdir", path.display())?;
            made.0.push(path.clone());
            // A new cpuset is empty, and takes no process.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(value) = fs::read(hierarchy.own.join(file))
                    && hierarchy.options.split(',').any(|name| name == "cpuset")
                {
                    fs::write(path.join(file), value).at("write", path.join(file).display())?;
                }
            }
        }
        Ok(made)
    }

    /// Their directories.
    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// Removes them with all that is below.
    pub fn sweep(&self) -> Result<()> {
        self.0.iter().try_for_each(|path| remove(path))
    }
}

/// Removes what drivers that were killed have left.
pub fn sweep_after_others(hierarchies: &[Hierarchy]) -> Result<()> {
    for hierarchy in hierarchies {
        for entry in fs::read_dir(&hierarchy.own).at("list", hierarchy.own.display())?.flatten() {
            let name = entry.file_name();
            let driver =
                name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
            if driver.is_some_and(|pid: i32| !Path::new("/proc").join(pid.to_string()).exists()) {
                remove(&entry.path())?;
            }
        }
    }
    Ok(())
}

/// Removes a cgroup from its leaves up. The kernel takes its time to let dead processes go.
fn remove(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path())?;
        }
    }
    let start = Instant::now();
    loop {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ResourceBusy && start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done.at("rmdir", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
30 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
31 29 0:27 /docker/1 /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
32 29 0:28 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,name=systemd
33 29 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    fn own(found: &[Hierarchy]) -> Vec<(&str, &str)> {
        found.iter().map(|one| (one.options.as_str(), one.own.to_str().unwrap())).collect()
    }

    #[test]
    fn a_hybrid_is_its_old_half() {
        let found = parse("4:pids:/docker/1/a\n3:cpu,cpuacct:/\n1:name=systemd:/b\n0::/c\n", MOUNTS);
        assert_eq!(
            own(&found),
            [
                ("pids", "/sys/fs/cgroup/pids/a"),
                ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/"),
                ("name=systemd", "/sys/fs/cgroup/systemd/b"),
            ]
        );
        assert_eq!(found[1].name, "cpu,cpuacct");
    }

    #[test]
    fn one_without_controllers_is_the_unified_one() {
        let found = parse("1:name=systemd:/b\n0::/c\n", MOUNTS);
        assert_eq!(own(&found), [("", "/sys/fs/cgroup/unified/c")]);
        assert_eq!(parse("9:hugetlb:/\n", MOUNTS), []);
    }
}
