//! `process`: of config.json, and of `exec --process`.

use serde::Deserialize;

use super::Text;

/// `process`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Process<'a> {
    /// Attach a terminal.
    pub terminal: Option<bool>,
    /// Its size.
    pub console_size: Option<ConsoleSize>,
    /// Ids.
    pub user: User,
    /// Argument vector.
    #[serde(borrow)]
    pub args: Option<Vec<Text<'a>>>,
    /// Environment.
    #[serde(borrow)]
    pub env: Option<Vec<Text<'a>>>,
    /// Working directory.
    #[serde(borrow)]
    pub cwd: Option<Text<'a>>,
    /// Capability sets; absent means none.
    #[serde(borrow)]
    pub capabilities: Option<Box<Capabilities<'a>>>,
    /// Resource limits.
    #[serde(borrow)]
    pub rlimits: Option<Vec<Rlimit<'a>>>,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: Option<bool>,
    /// `AppArmor` profile.
    #[serde(borrow)]
    pub apparmor_profile: Option<Text<'a>>,
    /// `oom_score_adj`.
    pub oom_score_adj: Option<i64>,
    /// `sched_setattr(2)`.
    #[serde(borrow)]
    pub scheduler: Option<Box<Scheduler<'a>>>,
    /// `SELinux` label.
    #[serde(borrow)]
    pub selinux_label: Option<Text<'a>>,
    /// `ioprio_set(2)`.
    #[serde(borrow)]
    pub io_priority: Option<Box<IoPriority<'a>>>,
    /// `sched_setaffinity(2)` of exec.
    #[serde(borrow, rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<Box<Affinity<'a>>>,
}

/// `process.consoleSize`, in characters.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

/// `process.user`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// umask(2).
    pub umask: Option<u32>,
    /// Supplementary groups.
    pub additional_gids: Option<Vec<u32>>,
}

/// `process.capabilities`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Capabilities<'a> {
    /// Bounding set.
    #[serde(borrow)]
    pub bounding: Option<Vec<Text<'a>>>,
    /// Effective set.
    #[serde(borrow)]
    pub effective: Option<Vec<Text<'a>>>,
    /// Inheritable set.
    #[serde(borrow)]
    pub inheritable: Option<Vec<Text<'a>>>,
    /// Permitted set.
    #[serde(borrow)]
    pub permitted: Option<Vec<Text<'a>>>,
    /// Ambient set.
    #[serde(borrow)]
    pub ambient: Option<Vec<Text<'a>>>,
}

/// An element of `process.rlimits`.
#[derive(Deserialize)]
pub struct Rlimit<'a> {
    /// `RLIMIT_*`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// Hard limit.
    pub hard: u64,
    /// Soft limit.
    pub soft: u64,
}

/// `process.scheduler` (`sched_setattr(2)`).
#[derive(Deserialize)]
pub struct Scheduler<'a> {
    /// `SCHED_*`.
    #[serde(borrow)]
    pub policy: Text<'a>,
    /// -20 to 19.
    #[serde(default)]
    pub nice: Option<i32>,
    /// 1 to 99, for the real-time policies.
    #[serde(default)]
    pub priority: Option<i32>,
    /// `SCHED_FLAG_*`.
    #[serde(borrow, default)]
    pub flags: Option<Vec<Text<'a>>>,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    #[serde(default)]
    pub runtime: Option<u64>,
    /// Nanoseconds.
    #[serde(default)]
    pub deadline: Option<u64>,
    /// Nanoseconds.
    #[serde(default)]
    pub period: Option<u64>,
}

/// `process.ioPriority` (`ioprio_set(2)`).
#[derive(Deserialize)]
pub struct IoPriority<'a> {
    /// `IOPRIO_CLASS_*`.
    #[serde(borrow)]
    pub class: Text<'a>,
    /// 0 to 7.
    #[serde(default)]
    pub priority: i64,
}

/// `process.execCPUAffinity`: lists of CPUs.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Affinity<'a> {
    /// While the runtime joins the container.
    #[serde(borrow)]
    pub initial: Option<Text<'a>>,
    /// Of the process.
    #[serde(borrow, rename = "final")]
    pub last: Option<Text<'a>>,
}
