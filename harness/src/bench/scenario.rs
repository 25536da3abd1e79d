//! The scenarios: what is around a container, and what is different about it.

use super::arena::View;
use super::bundle::Variant;
use crate::error::{Error, Result};

/// What is measured in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Interleaved rounds of create, start, delete and run.
    Rounds,
    /// Interleaved rounds of exec in a running container.
    Exec,
    /// So many at once: cycles and runs per second.
    Parallel(usize),
    /// Memory of a container that waits for `start`.
    Memory,
    /// System calls, faults and context switches of each process.
    Counts,
    /// What each phase of init takes.
    Phases,
    /// One start on a time axis.
    Waterfall,
}

/// A scenario.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// What is measured.
    pub kind: Kind,
    /// Configuration.
    pub variant: Variant,
    /// cgroup view.
    pub view: View,
    /// Mounts of the host besides the usual.
    pub mounts: usize,
    /// Sleeping processes of the host.
    pub tasks: usize,
    /// Containers that run and do nothing.
    pub idle: usize,
    /// Processes that compute all the time.
    pub busy: usize,
}

const PLAIN: Scenario = Scenario {
    name: "base",
    about: "the default bundle, pure cgroup v2",
    kind: Kind::Rounds,
    variant: Variant::Default,
    view: View::V2,
    mounts: 0,
    tasks: 0,
    idle: 0,
    busy: 0,
};

const fn mounts(name: &'static str, about: &'static str, mounts: usize) -> Scenario {
    Scenario { name, about, mounts, ..PLAIN }
}

const fn tasks(name: &'static str, about: &'static str, tasks: usize) -> Scenario {
    Scenario { name, about, tasks, ..PLAIN }
}

const fn idle(name: &'static str, about: &'static str, idle: usize) -> Scenario {
    Scenario { name, about, idle, ..PLAIN }
}

const fn parallel(name: &'static str, about: &'static str, count: usize) -> Scenario {
    Scenario { name, about, kind: Kind::Parallel(count), ..PLAIN }
}

const fn variant(name: &'static str, about: &'static str, variant: Variant) -> Scenario {
    Scenario { name, about, variant, ..PLAIN }
}

/// Every scenario, in the order of the report.
pub const SCENARIOS: &[Scenario] = &[
    PLAIN,
    Scenario { name: "exec", about: "a process in a running container", kind: Kind::Exec, ..PLAIN },
    variant("seccomp", "with a seccomp profile", Variant::Seccomp),
    variant("hostcgroup", "without a cgroup namespace", Variant::HostCgroup),
    variant("userns", "with a user namespace", Variant::User),
    variant("overlay", "a writable overlay as root", Variant::Overlay),
    Scenario { name: "v1", about: "cgroup v1, every controller", view: View::V1, ..PLAIN },
    Scenario { name: "busy", about: "one CPU busy with something else", busy: 1, ..PLAIN },
    mounts("mounts-100", "100 more mounts on the host", 100),
    mounts("mounts-500", "500 more mounts", 500),
    mounts("mounts-2000", "2000 more mounts", 2000),
    tasks("tasks-500", "500 sleeping processes on the host", 500),
    tasks("tasks-2000", "2000 sleeping processes", 2000),
    idle("idle-100", "100 idle containers", 100),
    idle("idle-500", "500 idle containers", 500),
    parallel("parallel-1", "one after the other", 1),
    parallel("parallel-2", "2 at once", 2),
    parallel("parallel-8", "8 at once", 8),
    parallel("parallel-32", "32 at once", 32),
    Scenario { name: "memory", about: "memory of a waiting container", kind: Kind::Memory, ..PLAIN },
    Scenario { name: "counts", about: "system calls, faults, switches", kind: Kind::Counts, ..PLAIN },
    Scenario { name: "phases", about: "each phase of init, untraced", kind: Kind::Phases, ..PLAIN },
    Scenario { name: "waterfall", about: "one start, traced", kind: Kind::Waterfall, ..PLAIN },
];

/// Scenarios of a short run.
const SHORT: &str = "base,exec,seccomp,memory,counts,phases,waterfall";

/// Those that a list names: by name, by the part of it before the dash, or `all`.
pub fn select(list: Option<&str>, short: bool) -> Result<Vec<&'static Scenario>> {
    let list = list.unwrap_or(if short { SHORT } else { "all" });
    let mut chosen: Vec<&Scenario> = Vec::new();
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let named =
            |one: &&Scenario| word == "all" || one.name == word || one.name.split('-').next() == Some(word);
        let mut found = SCENARIOS.iter().filter(named).peekable();
        if found.peek().is_none() {
            let names: Vec<&str> = SCENARIOS.iter().map(|one| one.name).collect();
            return Err(Error::Usage(format!(
                "bench: --scenario: no {word:?}; all, or of {}",
                names.join(", ")
            )));
        }
        chosen.extend(found);
    }
    chosen.sort_by_key(|one| SCENARIOS.iter().position(|other| other.name == one.name));
    chosen.dedup_by_key(|one| one.name);
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&'static str> {
        select(Some(list), false).map(|list| list.iter().map(|one| one.name).collect()).unwrap_or_default()
    }

    #[test]
    fn lists_name_scenarios_and_groups() {
        assert_eq!(names("tasks, base,base"), ["base", "tasks-500", "tasks-2000"]);
        assert_eq!(names("all").len(), SCENARIOS.len());
        assert_eq!(select(None, true).map(|list| list.len()).ok(), Some(7));
        assert!(
            matches!(select(Some("nonsense"), false), Err(Error::Usage(text)) if text.contains("mounts-500"))
        );
    }
}
