//! The profiles of container engines, for every machine.

use std::path::Path;

use crate::error::Result;
use crate::seccomp::engine::{self, Target};
use crate::seccomp::{Arch, Filter};
use crate::spec::Seccomp;

/// Names and texts.
pub const PROFILES: [(&str, &str); 2] = [
    ("docker", include_str!("../../seccomp/docker.json")),
    ("podman", include_str!("../../seccomp/podman.json")),
];

/// Capabilities that a profile is resolved with: none, some, and those that it asks for most.
pub const CAPABILITIES: [&[&str]; 3] = [
    &[],
    &["CAP_AUDIT_WRITE", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"],
    &[
        "CAP_BPF",
        "CAP_DAC_READ_SEARCH",
        "CAP_PERFMON",
        "CAP_SYSLOG",
        "CAP_SYS_ADMIN",
        "CAP_SYS_BOOT",
        "CAP_SYS_CHROOT",
        "CAP_SYS_MODULE",
        "CAP_SYS_NICE",
        "CAP_SYS_PACCT",
        "CAP_SYS_RAWIO",
        "CAP_SYS_TIME",
        "CAP_SYS_TTY_CONFIG",
    ],
];

/// What to resolve a profile for.
pub fn target(arch: Arch, capabilities: &[&str]) -> Target {
    Target {
        arch,
        capabilities: capabilities.iter().map(|name| (*name).to_owned()).collect(),
        kernel: (6, 1),
    }
}

/// Reads a profile of either format.
pub fn parse<'a>(text: &'a str, target: &Target) -> Result<Seccomp<'a>> {
    engine::parse(Path::new("profile"), text.as_bytes(), target)
}

/// Reads and compiles a profile of either format.
pub fn compile(text: &str, target: &Target) -> Result<Filter> {
    Filter::new(&parse(text, target)?, target.arch, "")
}
