//! `features` (runtime-spec, features.md): the truth about this version.

use caps::Capability;
use serde_json::json;

use crate::cli::{Args, Global};
use crate::error::Result;
use crate::plan::{Kind, MOUNT_OPTIONS};
use crate::spec::OCI_VERSION;

/// Prints the features.
pub fn run(_: &Global, _: &Args) -> Result<u8> {
    let mut capabilities: Vec<String> =
        caps::all().into_iter().map(|one: Capability| one.to_string()).collect();
    capabilities.sort_unstable();
    let mut namespaces: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    namespaces.sort_unstable();
    let features = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": [],
        "mountOptions": MOUNT_OPTIONS,
        "linux": {
            "namespaces": namespaces,
            "capabilities": capabilities,
            "cgroup": { "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": false },
            "seccomp": { "enabled": false },
            "apparmor": { "enabled": false },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            "memoryPolicy": {},
            "mountExtensions": { "idmap": { "enabled": false } },
            "netDevices": { "enabled": false },
        },
        "annotations": {},
    });
    super::print_json(&features)?;
    Ok(0)
}
