//! `features` (runtime-spec, features.md): the truth about this version.

use caps::Capability;
use serde_json::json;

use crate::cli::{Args, Global};
use crate::error::Result;
use crate::plan::{Kind, MODE_FLAGS, MODES, MOUNT_OPTIONS, NETWORK_ANNOTATION};
use crate::seccomp::{self, Arch, action};
use crate::spec::{Hooks, OCI_VERSION};

/// Prints the features.
pub fn run(_: &Global, _: &Args) -> Result<u8> {
    let mut capabilities: Vec<String> =
        caps::all().into_iter().map(|one: Capability| one.to_string()).collect();
    capabilities.sort_unstable();
    let mut namespaces: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    namespaces.sort_unstable();
    let names = |table: &[(&'static str, u32)]| table.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let modes: Vec<&str> = MODES.iter().map(|(name, ..)| *name).collect();
    let actions: Vec<String> = action::NAMES.iter().map(|(name, _)| format!("SCMP_ACT_{name}")).collect();
    let architectures: Vec<String> =
        Arch::ALL.iter().map(|arch| format!("SCMP_ARCH_{}", arch.name())).collect();
    let flags: Vec<&str> = seccomp::flag_names().collect();
    let features = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": Hooks::default().lists().map(|(name, _)| name),
        "mountOptions": MOUNT_OPTIONS,
        "linux": {
            "namespaces": namespaces,
            "capabilities": capabilities,
            "cgroup": { "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": actions,
                "operators": [
                    "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
                ],
                "archs": architectures,
                "knownFlags": flags,
                "supportedFlags": flags,
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
            "memoryPolicy": { "modes": modes, "flags": names(&MODE_FLAGS) },
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": { "enabled": true },
        },
        "annotations": {},
        "potentiallyUnsafeConfigAnnotations": [NETWORK_ANNOTATION],
    });
    super::print_json(&features)?;
    Ok(0)
}
