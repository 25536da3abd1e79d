//! Execution domain and memory policy of a container's processes.

use init_core::config::MemoryPolicy;

use crate::error::{Error, Result};
use crate::spec::Linux;

/// Execution domains of personality(2).
const DOMAINS: [(&str, u64); 2] = [("LINUX", 0), ("LINUX32", 8)];

/// Modes of `set_mempolicy(2)`, and whether they take nodes.
pub const MODES: [(&str, u32, bool); 7] = [
    ("MPOL_DEFAULT", 0, false),
    ("MPOL_PREFERRED", 1, true),
    ("MPOL_BIND", 2, true),
    ("MPOL_INTERLEAVE", 3, true),
    ("MPOL_LOCAL", 4, false),
    ("MPOL_PREFERRED_MANY", 5, true),
    ("MPOL_WEIGHTED_INTERLEAVE", 6, true),
];

/// Flags that go into the mode.
pub const MODE_FLAGS: [(&str, u32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

/// personality(2), as init takes it: plus 1, or 0 for none.
pub fn personality(linux: &Linux<'_>) -> Result<u64> {
    let Some(spec) = &linux.personality else { return Ok(0) };
    if spec.flags.iter().flatten().next().is_some() {
        return Err(Error::config("/linux/personality/flags", "none are defined"));
    }
    let found = DOMAINS.iter().find(|(name, _)| *name == &*spec.domain);
    found.map(|(_, domain)| domain + 1).ok_or_else(|| {
        Error::config("/linux/personality/domain", format!("unknown domain {:?}", &*spec.domain))
    })
}

/// The memory policy.
pub fn memory_policy(linux: &Linux<'_>) -> Result<MemoryPolicy> {
    let Some(spec) = &linux.memory_policy else { return Ok(MemoryPolicy::default()) };
    const POINTER: &str = "/linux/memoryPolicy";
    let unknown = || Error::config(format!("{POINTER}/mode"), format!("unknown mode {:?}", &*spec.mode));
    let (_, mut mode, takes_nodes) =
        MODES.into_iter().find(|(name, ..)| *name == &*spec.mode).ok_or_else(unknown)?;
    for (index, flag) in spec.flags.iter().flatten().enumerate() {
        let found = MODE_FLAGS.iter().find(|(name, _)| *name == &**flag);
        mode |= found.map(|(_, bit)| bit).ok_or_else(|| {
            Error::config(format!("{POINTER}/flags/{index}"), format!("unknown flag {:?}", &**flag))
        })?;
    }
    let text = spec.nodes.as_deref().unwrap_or_default();
    let nodes = list(text)
        .ok_or_else(|| Error::config(format!("{POINTER}/nodes"), format!("{text:?} is no list of nodes")))?;
    let mut mask = 0;
    for node in nodes {
        match node {
            0..=63 => mask |= 1 << node,
            _ => {
                return Err(Error::config(format!("{POINTER}/nodes"), format!("node {node} exceeds 63")));
            }
        }
    }
    match (takes_nodes, mask) {
        (true, 0) => Err(Error::config(format!("{POINTER}/nodes"), "missing")),
        (false, 1..) => Err(Error::config(format!("{POINTER}/nodes"), format!("{} takes none", &*spec.mode))),
        (_, nodes) => Ok(MemoryPolicy { set: true, mode, nodes }),
    }
}

/// A list as the kernel writes it, `0-2,5` (cpuset(7), "List format").
pub fn list(text: &str) -> Option<Vec<u32>> {
    const LAST: u32 = 8191;
    let mut numbers = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > LAST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::list;

    #[test]
    fn lists_are_those_of_the_kernel() {
        assert_eq!(list("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(list(""), Some(vec![]));
        for bad in ["a", "2-1", "0-99999", "1-"] {
            assert_eq!(list(bad), None, "{bad}");
        }
    }
}
