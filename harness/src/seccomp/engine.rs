//! Profiles as container engines keep them: one for all machines, resolved to `linux.seccomp` by
//! architecture, capabilities and kernel.

use serde::Deserialize;

use super::arch::Arch;
use crate::spec::{Seccomp, SeccompArg, SeccompRule, Text};

/// A profile of either kind: what config.json has, and what engines add to it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile<'a> {
    #[serde(borrow, default)]
    default_action: Option<Text<'a>>,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(borrow, default)]
    architectures: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    arch_map: Option<Vec<Architectures<'a>>>,
    #[serde(borrow, default)]
    flags: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    listener_path: Option<Text<'a>>,
    #[serde(borrow, default)]
    listener_metadata: Option<Text<'a>>,
    #[serde(borrow, default)]
    syscalls: Option<Vec<Rule<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Architectures<'a> {
    #[serde(borrow)]
    architecture: Text<'a>,
    #[serde(borrow, default)]
    sub_architectures: Option<Vec<Text<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    names: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(borrow, default)]
    args: Option<Vec<SeccompArg<'a>>>,
    #[serde(borrow, default)]
    includes: Option<Filter<'a>>,
    #[serde(borrow, default)]
    excludes: Option<Filter<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Filter<'a> {
    #[serde(borrow)]
    caps: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    arches: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    min_kernel: Option<Text<'a>>,
}

/// What a profile is resolved for.
#[derive(Debug, Clone)]
pub struct Target {
    /// The machine.
    pub arch: Arch,
    /// Names of the capabilities in the container's bounding set.
    pub capabilities: Vec<String>,
    /// Major and minor version of the kernel.
    pub kernel: (u32, u32),
}

impl Filter<'_> {
    fn names_arch(&self, arch: Arch) -> bool {
        let same = |name: &Text<'_>| Arch::find(name) == Some(arch);
        self.arches.iter().flatten().any(same)
    }

    fn names_capability(&self, target: &Target) -> bool {
        self.caps.iter().flatten().any(|name| target.capabilities.iter().any(|held| *held == **name))
    }

    /// Every condition that is there holds.
    fn includes(&self, target: &Target) -> bool {
        let arches = self.arches.as_deref().unwrap_or_default();
        let caps = self.caps.as_deref().unwrap_or_default();
        let all_caps = caps.iter().all(|name| target.capabilities.iter().any(|held| *held == **name));
        (arches.is_empty() || self.names_arch(target.arch)) && all_caps && self.kernel(target)
    }

    /// One condition that is there holds.
    fn excludes(&self, target: &Target) -> bool {
        let kernel = self.min_kernel.is_some() && self.kernel(target);
        self.names_arch(target.arch) || self.names_capability(target) || kernel
    }

    fn kernel(&self, target: &Target) -> bool {
        let Some(version) = self.min_kernel.as_deref().filter(|version| !version.is_empty()) else {
            return true;
        };
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        target.kernel >= (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }
}

/// Reads a profile of either kind and resolves it.
pub fn parse<'a>(
    path: &std::path::Path,
    text: &'a [u8],
    target: &Target,
) -> crate::error::Result<Seccomp<'a>> {
    let profile: Profile<'a> = crate::spec::parse_part(path, text)?;
    let wanted = |rule: &Rule<'_>| {
        rule.includes.as_ref().is_none_or(|filter| filter.includes(target))
            && !rule.excludes.as_ref().is_some_and(|filter| filter.excludes(target))
    };
    let mapped = profile.arch_map.into_iter().flatten();
    let own = mapped.into_iter().find(|map| Arch::find(&map.architecture) == Some(target.arch));
    let architectures = own.map(|map| {
        let subordinate = map.sub_architectures.unwrap_or_default();
        std::iter::once(map.architecture).chain(subordinate).collect()
    });
    let syscalls = profile.syscalls.into_iter().flatten().filter(wanted).map(|rule| SeccompRule {
        names: rule.names.unwrap_or_default().into_iter().chain(rule.name).collect(),
        action: rule.action,
        errno_ret: rule.errno_ret,
        args: rule.args,
    });
    Ok(Seccomp {
        default_action: profile.default_action,
        default_errno_ret: profile.default_errno_ret,
        architectures: architectures.or(profile.architectures),
        flags: profile.flags,
        listener_path: profile.listener_path,
        listener_metadata: profile.listener_metadata,
        syscalls: Some(syscalls.collect()),
    })
}
