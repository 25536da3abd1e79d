//! `InitConfig`: everything init needs to know, as plain data. The harness derives it from
//! config.json; init carries it out and has no policy of its own.
//!
//! Every field may be left out and then has its default: an empty string or list, zero, false.
//! Descriptor numbers are those of the inherited table; -1 or absent means "none" where noted.

use core::ffi::CStr;

use crate::sys::arena::{Arena, Full};
use crate::wire::message;

message! {
    /// The configuration of an init of either type; setns reads `parent`, `page`, `timing`,
    /// `namespaces`, `keyring`, `terminal`, `labels`, `process` and the sections.
    pub struct InitConfig<'a> {
        /// Inherited pidfd of the harness: parent check, and the network namespace to join.
        pub parent: i32,
        /// Inherited descriptor of the shared page.
        pub page: i32,
        /// Stamp every phase with CLOCK_MONOTONIC in the shared page: one system call each.
        pub timing: bool,
        /// A Filter frame follows this one.
        pub filter: bool,
        /// A Netlink frame follows, after the filter.
        pub netlink: bool,
        /// Namespaces that init enters itself, before anything else.
        pub namespaces: Namespaces<'a>,
        /// Name of the session keyring (`_ses.<id>`); empty: keep the caller's.
        pub keyring: &'a CStr,
        /// The terminal of the process.
        pub terminal: Terminal,
        /// Labels of the security modules.
        pub labels: Labels<'a>,
        /// The root file system.
        pub root: Root<'a>,
        /// Network namespace.
        pub network: Network,
        /// What does not depend on the network namespace: with mounts, all of those at and below
        /// /dev, whose nodes are made after these mounts.
        pub early: Layer<'a>,
        /// What does, or comes after something that does.
        pub late: Layer<'a>,
        /// Device nodes.
        pub devices: &'a [Device<'a>],
        /// Symbolic links, made after the devices; one that exists is left alone.
        pub links: &'a [Link<'a>],
        /// procRun is sent before init is ready: it sends no procReady.
        pub ahead: bool,
        /// Send procHooks before the switch to the new root, and wait for procResume.
        pub hooks: bool,
        /// sethostname(2); empty: leave.
        pub hostname: &'a CStr,
        /// setdomainname(2); empty: leave.
        pub domainname: &'a CStr,
        /// Files below /proc/sys, with the value to write.
        pub sysctl: &'a [Setting<'a>],
        /// The process to start.
        pub process: Process<'a>,
    }
}

message! {
    /// Namespaces that init enters itself: those whose entry needs a process of its own memory, or
    /// one after the other has joined. Joined first, in the order given, then unshared.
    pub struct Namespaces<'a> {
        /// Namespaces to join.
        pub join: &'a [Join],
        /// `CLONE_NEW*` flags for unshare(2). With `CLONE_NEWUSER` or `CLONE_NEWTIME` init sends
        /// procMaps and waits for procMapped: the harness writes id maps and time offsets.
        pub unshare: u64,
        /// Go on in a child (`CLONE_PARENT`): a pid or time namespace holds only what is cloned
        /// after it was entered. The kernel stores the child's pid in the shared page.
        pub spawn: bool,
    }
}

message! {
    /// A namespace to join.
    pub struct Join {
        /// Inherited descriptor: a namespace's file, or a pidfd.
        pub fd: i32,
        /// `CLONE_NEW*` flags: the kind of the file, or what to take from the pidfd's process.
        pub kind: u64,
    }
}

message! {
    /// The terminal of the process. Init sends its master with a procConsole frame.
    pub struct Terminal {
        /// Open one in the container's own devpts.
        pub open: bool,
        /// Bind it over /dev/console.
        pub console: bool,
        /// Rows; 0 with `columns` 0: the kernel's default.
        pub rows: u32,
        /// Columns.
        pub columns: u32,
    }
}

message! {
    /// Labels of the security modules; empty: leave.
    pub struct Labels<'a> {
        /// `AppArmor` profile of the process.
        pub apparmor: &'a CStr,
        /// `SELinux` label of the process, and of its session keyring.
        pub selinux: &'a CStr,
    }
}

/// How init leaves the old root.
pub mod switch {
    /// The container's root is stacked over that of the template mount namespace, which is empty.
    pub const STACK: u32 = 0;
    /// pivot_root(2).
    pub const PIVOT: u32 = 1;
    /// Moved over `/`, then chroot(2): for hosts whose root cannot be pivoted (initramfs).
    pub const MOVE: u32 = 2;
    /// chroot(2) alone: the container has no mount namespace of its own.
    pub const CHROOT: u32 = 3;
}

message! {
    /// The root file system.
    pub struct Root<'a> {
        /// Detached tree of the root file system (open_tree(2)); [`SENT`]: the first descriptor that comes
        /// with the configuration; absent: init opens `path`.
        pub tree: Option<i32>,
        /// Where it lies in the mount namespace that init starts in.
        pub path: &'a CStr,
        /// How to leave the old root: a number of [`switch`].
        pub switch: u32,
        /// `MS_PRIVATE`, `MS_SLAVE` …: propagation of the root mount; 0: private.
        pub propagation: u64,
        /// Read-only root.
        pub readonly: bool,
    }
}

message! {
    /// What init does about the network namespace.
    pub struct Network {
        /// Wait for procNetwork; without `join` init sends one itself first, when its network
        /// namespace is there: the harness moves devices to it.
        pub wait: bool,
        /// Join the harness's network namespace through `parent`, after that.
        pub join: bool,
        /// Bring the loopback device up.
        pub loopback: bool,
    }
}

message! {
    /// Mounts and paths, in the order in which they are applied.
    pub struct Layer<'a> {
        /// Mounts.
        pub mounts: &'a [Mount<'a>],
        /// Paths made read-only; one that does not exist is skipped.
        pub readonly_paths: &'a [&'a CStr],
        /// Paths hidden; one that does not exist is skipped.
        pub masked_paths: &'a [&'a CStr],
    }
}

message! {
    /// One mount.
    pub struct Mount<'a> {
        /// Absolute path in the container.
        pub target: &'a CStr,
        /// File system type for fsopen(2); empty: a bind mount of `tree` or `source`.
        pub kind: &'a CStr,
        /// Parameters for fsconfig(2).
        pub options: &'a [Setting<'a>],
        /// Bind: the detached tree to attach (open_tree(2)); [`ASKED`]: init asks for it when its
        /// turn comes; absent: init opens `source`.
        pub tree: Option<i32>,
        /// Bind: path in the mount namespace that init starts in.
        pub source: &'a CStr,
        /// Bind: with all mounts below.
        pub recursive: bool,
        /// `MOUNT_ATTR_*` to set.
        pub set: u64,
        /// `MOUNT_ATTR_*` to clear (bind).
        pub clear: u64,
        /// `MOUNT_ATTR_*` to set on the mount and all below it.
        pub set_all: u64,
        /// `MOUNT_ATTR_*` to clear on the mount and all below it.
        pub clear_all: u64,
        /// Copy what the target holds into the new mount, not its own mode (`tmpcopyup`).
        pub copy_up: bool,
        /// The host's procfs, which is init's as well: a new one cannot be had.
        pub own: bool,
        /// Propagation of the mount, recursively; 0: private.
        pub propagation: u64,
        /// Made read-only after everything below it has been mounted and made.
        pub seal: bool,
        /// The target must be a real directory, reached through no symbolic link (/dev, /proc, /sys).
        pub real: bool,
        /// The target may lie on procfs: it is on the host's allow-list.
        pub on_proc: bool,
        /// The target of a bind is a file: it is made as an empty one where it is missing.
        pub file: bool,
        /// Not empty: `set` and `options` as the data of one mount(2), a comma before each option; the
        /// source is in `source`. For a new file system right below a tmpfs of init's own on /dev.
        pub plain: &'a CStr,
    }
}

message! {
    /// A key with an optional value.
    pub struct Setting<'a> {
        /// Key; for sysctl the path below /proc/sys.
        pub key: &'a CStr,
        /// Value; ignored with `flag`.
        pub value: &'a CStr,
        /// A parameter without a value.
        pub flag: bool,
    }
}

message! {
    /// A device node.
    pub struct Device<'a> {
        /// Absolute path in the container.
        pub path: &'a CStr,
        /// File type and permissions, as in `st_mode`.
        pub mode: u32,
        /// Major number.
        pub major: u32,
        /// Minor number.
        pub minor: u32,
        /// Owner.
        pub uid: u32,
        /// Group.
        pub gid: u32,
        /// Bind this file of the namespace that init starts in instead of making a node
        /// (user namespaces may make none); empty: mknod(2).
        pub source: &'a CStr,
    }
}

message! {
    /// A symbolic link.
    pub struct Link<'a> {
        /// Absolute path of the link.
        pub path: &'a CStr,
        /// What it points to.
        pub target: &'a CStr,
    }
}

message! {
    /// The process that init becomes.
    pub struct Process<'a> {
        /// Argument vector; at least one, not empty.
        pub args: &'a [&'a CStr],
        /// Environment, `KEY=value`; nothing is added to it.
        pub env: &'a [&'a CStr],
        /// Working directory, absolute; made where it is missing.
        pub cwd: &'a CStr,
        /// User id.
        pub uid: u32,
        /// Group id.
        pub gid: u32,
        /// Supplementary groups, exactly.
        pub groups: &'a [u32],
        /// The kernel forbids setgroups(2) here (user namespace, `deny`); `groups` must be empty.
        pub keep_groups: bool,
        /// umask(2).
        pub umask: u32,
        /// PR_SET_NO_NEW_PRIVS.
        pub no_new_privs: bool,
        /// The five capability sets.
        pub capabilities: Capabilities,
        /// Resource limits.
        pub rlimits: &'a [Rlimit],
        /// Value for /proc/self/oom_score_adj; absent: leave.
        pub oom_score_adj: Option<i32>,
        /// Parent-death signal of the process; 0: none.
        pub parent_death_signal: u32,
        /// Add `HOME` from the container's /etc/passwd, or `/`.
        pub home: bool,
        /// Add `LISTEN_PID`, the process's own pid.
        pub listen_pid: bool,
        /// How many descriptors from 3 up the process keeps.
        pub preserve: u32,
        /// personality(2), plus 1; 0: leave.
        pub personality: u64,
        /// Memory policy.
        pub memory_policy: MemoryPolicy,
    }
}

message! {
    /// Arguments of `set_mempolicy(2)`.
    pub struct MemoryPolicy {
        /// Whether to set one.
        pub set: bool,
        /// `MPOL_*` with mode flags.
        pub mode: u32,
        /// Nodes 0 to 63, a bit each.
        pub nodes: u64,
    }
}

message! {
    /// Capability sets; bit N is capability N of linux/capability.h.
    pub struct Capabilities {
        /// Bounding set.
        pub bounding: u64,
        /// Effective set.
        pub effective: u64,
        /// Permitted set.
        pub permitted: u64,
        /// Inheritable set.
        pub inheritable: u64,
        /// Ambient set.
        pub ambient: u64,
    }
}

message! {
    /// A resource limit.
    pub struct Rlimit {
        /// `RLIMIT_*` number.
        pub resource: u32,
        /// Soft limit.
        pub soft: u64,
        /// Hard limit.
        pub hard: u64,
    }
}

message! {
    /// Body of a ConfigFd frame.
    pub struct ConfigFd {
        /// Number of the inherited memfd; [`SENT`]: the last descriptor that comes with the frame.
        pub fd: i32,
        /// Length of the configuration in bytes.
        pub length: u32,
    }
}

message! {
    /// Body of a Sync frame. `type` is a word of Rust, hence the name.
    pub struct Sync<'a> {
        /// One of the `PROC_*` words.
        pub step: &'a CStr,
    }
}

message! {
    /// Body of an Error frame (`procError`).
    pub struct ProcError<'a> {
        /// Code of the phase.
        pub phase: u32,
        /// Code of the operation.
        pub op: u32,
        /// What the operation was about, at most 1,024 bytes of it.
        pub path: &'a CStr,
        /// errno(3); 0 where a check of init's own failed.
        pub errno: u32,
    }
}

/// In the place of a number: the descriptor comes with the configuration (SCM_RIGHTS).
pub const SENT: i32 = -1;

/// `tree` of a bind mount: one of those that the harness sends when asked with procMounts. A tree
/// has the number of its making, by which mountinfo is sorted (Linux 6.8): made any earlier it
/// would come before mounts that the configuration lists before it.
pub const ASKED: i32 = -1;

/// Most trees in an answer to procMounts.
pub const MOST_TREES: usize = 32;

/// Init wants the trees of the next bind mounts, and the answer carries them (SCM_RIGHTS).
pub const PROC_MOUNTS: &CStr = c"procMounts";
/// Init has unshared a user or time namespace and waits for procMapped.
pub const PROC_MAPS: &CStr = c"procMaps";
/// Id maps and time offsets are written.
pub const PROC_MAPPED: &CStr = c"procMapped";
/// The container is set up as far as hooks may see it; init waits for procResume.
pub const PROC_HOOKS: &CStr = c"procHooks";
/// The hooks have run.
pub const PROC_RESUME: &CStr = c"procResume";
/// The terminal's master comes with this frame (SCM_RIGHTS).
pub const PROC_CONSOLE: &CStr = c"procConsole";
/// Init has done all that needs the harness's help and waits for procRun.
pub const PROC_READY: &CStr = c"procReady";
/// The state is stored, init may finish.
pub const PROC_RUN: &CStr = c"procRun";
/// The harness is in the container's network namespace.
pub const PROC_NETWORK: &CStr = c"procNetwork";
/// Init has finished; what follows is the gate. Success is this frame and nothing else.
pub const PROC_DONE: &CStr = c"procDone";

impl Process<'_> {
    /// A copy that borrows from `arena` alone.
    pub fn copy<'b>(&self, arena: &Arena<'b>) -> Result<Process<'b>, Full> {
        let texts = |list: &[&CStr]| {
            let mut copies = arena.list();
            for text in list {
                copies.push(arena.copy(text)?)?;
            }
            copies.finish()
        };
        Ok(Process {
            args: texts(self.args)?,
            env: texts(self.env)?,
            cwd: c"",
            groups: arena.copy_all(self.groups)?,
            rlimits: arena.copy_all(self.rlimits)?,
            ..Process { args: &[], env: &[], cwd: c"", groups: &[], rlimits: &[], ..*self }
        })
    }
}
