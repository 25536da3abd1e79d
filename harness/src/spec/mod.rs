//! config.json (runtime-spec 1.3): typed, borrowed from the text, strict. Unknown fields are
//! ignored, as the specification demands; fields of other platforms are unknown here.

mod linux;
mod process;
mod read;
mod resources;

use serde::{Deserialize, Serialize};

pub use linux::{IdMapping, Linux, Seccomp, SeccompArg, SeccompRule};
pub use process::{Capabilities, IoPriority, Process, Rlimit, Scheduler, User};
pub use read::{MAX_SIZE, Map, Text, escape, parse, parse_part};
pub use resources::{BlockIo, Cpu, DeviceRule, Memory, Network, Resources, ThrottleDevice};

/// Version of the runtime-spec that is implemented; newer minor versions are accepted.
pub const OCI_VERSION: &str = "1.3.0";

/// The document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec<'a> {
    /// Version of the runtime-spec.
    #[serde(borrow)]
    pub oci_version: Option<Text<'a>>,
    /// The process; `create` works without, `start` does not.
    #[serde(borrow, default)]
    pub process: Option<Box<Process<'a>>>,
    /// The root file system.
    #[serde(borrow, default)]
    pub root: Option<Root<'a>>,
    /// Host name.
    #[serde(borrow, default)]
    pub hostname: Option<Text<'a>>,
    /// NIS domain name.
    #[serde(borrow, default)]
    pub domainname: Option<Text<'a>>,
    /// Mounts, in order.
    #[serde(borrow, default)]
    pub mounts: Option<Vec<Mount<'a>>>,
    /// Hooks.
    #[serde(default)]
    pub hooks: Option<Box<Hooks>>,
    /// Annotations; kept in the state.
    #[serde(borrow, default)]
    pub annotations: Option<Map<'a>>,
    /// Linux.
    #[serde(borrow, default)]
    pub linux: Option<Box<Linux<'a>>>,
}

/// `root`.
#[derive(Deserialize)]
pub struct Root<'a> {
    /// Path, absolute or relative to the bundle.
    #[serde(borrow)]
    pub path: Text<'a>,
    /// Read-only.
    #[serde(default)]
    pub readonly: Option<bool>,
}

/// An element of `mounts`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount<'a> {
    /// Path in the container.
    #[serde(borrow)]
    pub destination: Text<'a>,
    /// File system type.
    #[serde(borrow, default, rename = "type")]
    pub kind: Option<Text<'a>>,
    /// Source.
    #[serde(borrow, default)]
    pub source: Option<Text<'a>>,
    /// Options.
    #[serde(borrow, default)]
    pub options: Option<Vec<Text<'a>>>,
    /// Idmapped mount.
    #[serde(default)]
    pub uid_mappings: Option<Vec<IdMapping>>,
    /// Idmapped mount.
    #[serde(default)]
    pub gid_mappings: Option<Vec<IdMapping>>,
}

/// `hooks`, and what of them is kept for `start` and `delete`.
#[derive(Deserialize, Serialize, Debug, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Hooks {
    /// During `create`, before the root is switched; the host's namespaces. Deprecated.
    #[serde(skip_serializing_if = "none")]
    pub prestart: Option<Vec<Hook>>,
    /// The same.
    #[serde(skip_serializing_if = "none")]
    pub create_runtime: Option<Vec<Hook>>,
    /// After these, in the container's namespaces.
    #[serde(skip_serializing_if = "none")]
    pub create_container: Option<Vec<Hook>>,
    /// During `start`, before the process is executed; in the container.
    #[serde(skip_serializing_if = "none")]
    pub start_container: Option<Vec<Hook>>,
    /// During `start`, after the process was executed; the host's namespaces.
    #[serde(skip_serializing_if = "none")]
    pub poststart: Option<Vec<Hook>>,
    /// During `delete`, after the container is gone; the host's namespaces.
    #[serde(skip_serializing_if = "none")]
    pub poststop: Option<Vec<Hook>>,
}

/// A hook.
#[derive(Deserialize, Serialize, Debug, Clone)]
pub struct Hook {
    /// Absolute path of the program.
    pub path: String,
    /// Argument vector, with `argv[0]`; absent: the path alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// Environment, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// Seconds after which it is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

#[allow(clippy::ref_option)] // As serde calls it.
fn none(hooks: &Option<Vec<Hook>>) -> bool {
    hooks.as_deref().unwrap_or_default().is_empty()
}

impl Hooks {
    /// Whether there are any that `create` runs itself.
    pub fn at_create(&self) -> bool {
        !(none(&self.prestart) && none(&self.create_runtime) && none(&self.create_container))
    }

    /// Whether there are any for later.
    pub fn later(&self) -> bool {
        !(none(&self.start_container) && none(&self.poststart) && none(&self.poststop))
    }

    /// Every list with its name in config.json.
    pub fn lists(&self) -> [(&'static str, &[Hook]); 6] {
        [
            ("prestart", self.prestart.as_deref().unwrap_or_default()),
            ("createRuntime", self.create_runtime.as_deref().unwrap_or_default()),
            ("createContainer", self.create_container.as_deref().unwrap_or_default()),
            ("startContainer", self.start_container.as_deref().unwrap_or_default()),
            ("poststart", self.poststart.as_deref().unwrap_or_default()),
            ("poststop", self.poststop.as_deref().unwrap_or_default()),
        ]
    }
}
