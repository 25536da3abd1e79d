//! Bundles: the default configuration and what scenarios change in it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::arena::{Arena, mount};
use super::profile;
use crate::error::{Context, Error, Result};
use crate::launch::image::WITNESS;
use crate::verb;

/// What a configuration has besides the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Nothing: `runc spec` with a cgroup namespace.
    Default,
    /// A seccomp profile.
    Seccomp,
    /// The host's cgroup namespace.
    HostCgroup,
    /// A user namespace.
    User,
    /// An overlay as root, writable.
    Overlay,
}

/// First host id of the container in a user namespace, and how many there are.
const IDS: (u32, u32) = (100_000, 65_536);

/// Where all bundles come from.
pub struct Bundles {
    base: PathBuf,
    cgroup: String,
    /// A profile, where there is one: an engine's, or `linux.seccomp`.
    seccomp: Option<Value>,
}

impl Bundles {
    /// Makes the root file systems.
    pub fn make(arena: &Arena, seccomp: Option<Value>) -> Result<Self> {
        let bundles = Self { base: arena.path.join("bundles"), cgroup: arena.cgroup.clone(), seccomp };
        populate(&bundles.root(Variant::Default))?;
        let overlay = bundles.root(Variant::Overlay);
        let [upper, work] = ["upper", "work"].map(|name| arena.path.join(name));
        for directory in [&overlay, &upper, &work] {
            std::fs::create_dir_all(directory).host("mkdir", directory.display())?;
        }
        let lower = bundles.root(Variant::Default);
        let layers =
            format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        mount("overlay", &overlay, Some(&layers))?;
        Ok(bundles)
    }

    /// The root file system of a variant.
    pub fn root(&self, variant: Variant) -> PathBuf {
        self.base.join(if variant == Variant::Overlay { "overlay" } else { "rootfs" })
    }

    /// Makes a bundle whose process is `witness ARGUMENT`, with a cgroup of its own named `name`.
    pub fn bundle(&self, name: &str, argument: &str, variant: Variant) -> Result<PathBuf> {
        let mut config = verb::spec::default(&["/witness", argument]);
        config["root"]["path"] = self.root(variant).display().to_string().into();
        config["linux"]["cgroupsPath"] = format!("/{}/{name}", self.cgroup).into();
        match variant {
            Variant::Default => {}
            Variant::Seccomp => match &self.seccomp {
                Some(profile) => config["linux"]["seccomp"] = profile::resolve(profile, &host(&config)),
                None => return Err(Error::State("no profile: --seccomp FILE".into())),
            },
            Variant::HostCgroup => {
                if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
                    namespaces.retain(|namespace| namespace["type"] != "cgroup");
                }
            }
            Variant::User => {
                let map = json!([{ "containerID": 0, "hostID": IDS.0, "size": IDS.1 }]);
                config["linux"]["uidMappings"] = map.clone();
                config["linux"]["gidMappings"] = map;
                if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
                    namespaces.push(json!({ "type": "user" }));
                }
            }
            Variant::Overlay => config["root"]["readonly"] = false.into(),
        }
        let directory = self.base.join(name);
        std::fs::create_dir_all(&directory).host("mkdir", directory.display())?;
        let file = directory.join("config.json");
        std::fs::write(&file, config.to_string()).host("write", file.display())?;
        Ok(directory)
    }
}

/// What a profile's conditions are about, for a container of this configuration.
fn host(config: &Value) -> profile::Host<'_> {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let bounding = config["process"]["capabilities"]["bounding"].as_array().into_iter().flatten();
    profile::Host {
        arch: profile::ARCH.0,
        kernel: (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)),
        capabilities: bounding.filter_map(Value::as_str).collect(),
    }
}

/// A root file system of one program and the mount points that the default configuration needs:
/// in a user namespace nobody could make them.
fn populate(root: &Path) -> Result<()> {
    for name in ["proc", "dev", "sys"] {
        let directory = root.join(name);
        std::fs::create_dir_all(&directory).host("mkdir", directory.display())?;
    }
    let program = root.join("witness");
    std::fs::write(&program, WITNESS).host("write", program.display())?;
    for path in [root.parent().unwrap_or(root), root, &program] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).host("chmod", path.display())?;
    }
    Ok(())
}
