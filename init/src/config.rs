//! `InitConfig`: everything init needs to know, as plain data. The harness derives it from
//! config.json; init carries it out and has no policy of its own.
//!
//! Every field may be left out and then has its default: an empty string or list, zero, false.
//! Descriptor numbers are those of the inherited table; -1 or absent means "none" where noted.

use core::ffi::CStr;

use crate::sys::arena::{Arena, Full};
use crate::wire::message;

message! {
    /// The configuration of a standard init.
    pub struct InitConfig<'a> {
        /// Inherited pidfd of the harness: parent check, and the network namespace to join.
        pub parent: i32,
        /// Inherited descriptor of the shared page.
        pub page: i32,
        /// Stamp every phase with CLOCK_MONOTONIC in the shared page: one system call each.
        pub timing: bool,
        /// Name of the session keyring (`_ses.<id>`); empty: keep the caller's.
        pub keyring: &'a CStr,
        /// The root file system.
        pub root: Root<'a>,
        /// Network namespace.
        pub network: Network,
        /// What does not depend on the network namespace.
        pub early: Layer<'a>,
        /// What does, or comes after something that does.
        pub late: Layer<'a>,
        /// Device nodes.
        pub devices: &'a [Device<'a>],
        /// Symbolic links, made after the devices; one that exists is left alone.
        pub links: &'a [Link<'a>],
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
    /// The root file system.
    pub struct Root<'a> {
        /// Detached tree of the root file system (open_tree(2)); absent: init opens `path`.
        pub tree: Option<i32>,
        /// Where it lies in the mount namespace that init starts in.
        pub path: &'a CStr,
        /// Whether to leave the old root by pivot_root(2). Otherwise init is in the template mount
        /// namespace, whose root is empty, and stacks the container's root over it.
        pub pivot: bool,
        /// `MS_PRIVATE`, `MS_SLAVE` …: propagation of the root mount; 0: private.
        pub propagation: u64,
        /// Read-only root.
        pub readonly: bool,
    }
}

message! {
    /// What init does about the network namespace.
    pub struct Network {
        /// Wait for procNetwork, then join the harness's network namespace through `parent`.
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
        /// Bind: the detached tree to attach (open_tree(2)); absent: init opens `source`.
        pub tree: Option<i32>,
        /// Bind: path in the mount namespace that init starts in.
        pub source: &'a CStr,
        /// Bind: with all mounts below.
        pub recursive: bool,
        /// `MOUNT_ATTR_*` to set.
        pub set: u64,
        /// `MOUNT_ATTR_*` to clear (bind).
        pub clear: u64,
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
        /// Number of the inherited memfd.
        pub fd: i32,
        /// Length of the configuration in bytes.
        pub length: u32,
    }
}

message! {
    /// Body of a Sync frame. `type` is a word of Rust, hence the name.
    pub struct Sync<'a> {
        /// `procReady`, `procRun`, `procNetwork`, `procDone`.
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
