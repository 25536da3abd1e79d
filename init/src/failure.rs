//! Where init failed. A failure is a place, not a sentence: the harness renders it, once.
//!
//! The numbers are part of the protocol (`PROTOCOL.md`, "Failure codes") and never reused.

use core::ffi::CStr;

use rustix::io::{Errno, Result as Outcome};

/// Declares an enum of stable numbers with the name each one has in messages.
macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant = $code,)* }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable number.
            pub const fn code(self) -> u32 { self as u32 }

            /// The value of a number; `None` for one that this version does not know.
            pub const fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The name in messages and in `PROTOCOL.md`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// The steps of init, in the order of the standard list.
    Phase {
        /// Before init's first instruction: the harness's child between clone3 and execveat.
        Clone = 1, "clone";
        /// Environment, descriptors, configuration.
        Config = 2, "config";
        /// Parent-death signal and the check that the parent still lives.
        Parent = 3, "parent";
        /// Session keyring.
        Keyring = 4, "keyring";
        /// Session and controlling terminal.
        Console = 5, "console";
        /// The new root: propagation, attachment.
        Rootfs = 6, "rootfs";
        /// Mounts of the configuration.
        Mounts = 7, "mounts";
        /// Device nodes.
        Devices = 8, "devices";
        /// Symbolic links in /dev.
        Links = 9, "links";
        /// Joining the network namespace and loopback.
        Network = 10, "network";
        /// Switch to the new root.
        Pivot = 11, "pivot";
        /// Hostname and domain name.
        Identity = 12, "identity";
        /// Kernel parameters of the container's namespaces.
        Sysctl = 13, "sysctl";
        /// Read-only paths.
        ReadonlyPaths = 14, "readonlyPaths";
        /// Masked paths.
        MaskedPaths = 15, "maskedPaths";
        /// Read-only root and mounts.
        Readonly = 16, "readonly";
        /// oom_score_adj, umask, no_new_privs.
        Process = 17, "process";
        /// procReady sent, procRun awaited.
        Ready = 18, "ready";
        /// Bounding set, groups, ids, cwd, capabilities.
        Finalize = 19, "finalize";
        /// `argv[0]` looked up.
        LookPath = 20, "lookPath";
        /// Blocked on exec.fifo.
        Gate = 21, "gate";
        /// Limits, descriptors, read-back.
        Seal = 22, "seal";
        /// execve.
        Exec = 23, "exec";
        /// Namespaces that init enters itself.
        Namespaces = 24, "namespaces";
        /// procHooks sent, procResume awaited.
        Hooks = 25, "hooks";
        /// `AppArmor` profile.
        AppArmor = 26, "apparmor";
        /// `SELinux` label.
        Label = 27, "label";
        /// Seccomp filter.
        Seccomp = 28, "seccomp";
    }
}

codes! {
    /// What was being done: a system call, or a check of ours.
    Op {
        /// An environment variable of the bootstrap is missing or not a number.
        Environment = 1, "environment";
        /// The configuration does not follow the grammar; the path holds the byte offset.
        Parse = 2, "parse";
        /// The configuration does not fit the arena.
        Memory = 3, "memory";
        /// read(2), recv(2).
        Read = 4, "read";
        /// write(2), send(2).
        Write = 5, "write";
        /// A frame of the wrong kind or length.
        Frame = 6, "frame";
        /// mmap(2).
        Mmap = 7, "mmap";
        /// openat(2), openat2(2).
        Open = 8, "open";
        /// mkdirat(2).
        Mkdir = 9, "mkdir";
        /// mknodat(2).
        Mknod = 10, "mknod";
        /// symlinkat(2).
        Symlink = 11, "symlink";
        /// fchownat(2).
        Chown = 12, "chown";
        /// statx(2), fstat(2), fstatfs(2).
        Stat = 13, "stat";
        /// fsopen(2).
        Fsopen = 14, "fsopen";
        /// fsconfig(2).
        Fsconfig = 15, "fsconfig";
        /// fsmount(2).
        Fsmount = 16, "fsmount";
        /// open_tree(2).
        OpenTree = 17, "open_tree";
        /// move_mount(2).
        MoveMount = 18, "move_mount";
        /// mount_setattr(2).
        MountSetattr = 19, "mount_setattr";
        /// mount(2).
        Mount = 20, "mount";
        /// umount2(2).
        Umount = 21, "umount";
        /// pivot_root(2).
        PivotRoot = 22, "pivot_root";
        /// chroot(2).
        Chroot = 23, "chroot";
        /// chdir(2), fchdir(2).
        Chdir = 24, "chdir";
        /// getcwd(2).
        Getcwd = 25, "getcwd";
        /// setns(2).
        Setns = 26, "setns";
        /// unshare(2).
        Unshare = 27, "unshare";
        /// socket(2).
        Socket = 28, "socket";
        /// ioctl(2).
        Ioctl = 29, "ioctl";
        /// sethostname(2).
        Sethostname = 30, "sethostname";
        /// setdomainname(2).
        Setdomainname = 31, "setdomainname";
        /// setsid(2).
        Setsid = 32, "setsid";
        /// keyctl(2).
        Keyctl = 33, "keyctl";
        /// prctl(2).
        Prctl = 34, "prctl";
        /// prctl(2) PR_CAPBSET_DROP.
        DropBounding = 35, "drop bounding";
        /// setgroups(2).
        Setgroups = 36, "setgroups";
        /// setresgid(2).
        Setresgid = 37, "setresgid";
        /// setresuid(2).
        Setresuid = 38, "setresuid";
        /// capset(2).
        Capset = 39, "capset";
        /// prctl(2) PR_CAP_AMBIENT_RAISE.
        RaiseAmbient = 40, "raise ambient";
        /// prlimit(2).
        Setrlimit = 41, "setrlimit";
        /// close_range(2).
        CloseRange = 42, "close_range";
        /// dup3(2).
        Dup = 43, "dup";
        /// execve(2).
        Execve = 44, "execve";
        /// execveat(2) of init itself.
        Execveat = 45, "execveat";
        /// clone3(2).
        Clone = 46, "clone3";
        /// The parent is gone.
        ParentDied = 47, "parent check";
        /// rt_sigprocmask(2).
        Sigprocmask = 48, "sigprocmask";
        /// The program was looked up in PATH.
        LookPath = 49, "look up";
        /// The inode is not what it must be (type, device number, file system).
        VerifyInode = 50, "verify inode";
        /// The target lies on procfs outside the allow-list.
        VerifyTarget = 51, "verify target";
        /// The session keyring is another user's, or not empty.
        VerifyKeyring = 52, "verify keyring";
        /// A mask or a read-only path is not in force.
        VerifyPath = 53, "verify path";
        /// Ids, groups, capability sets, no_new_privs or cwd differ from the request.
        ReadBack = 54, "read back";
        /// The process is set-user-ID (AT_SECURE).
        Secure = 55, "secure execution";
        /// A cgroup's `tasks` file was written.
        JoinCgroup = 56, "join cgroup";
        /// prctl(2) PR_SET_DUMPABLE.
        Dumpable = 57, "set dumpable";
        /// sendmsg(2) of a descriptor.
        SendFd = 58, "send descriptor";
        /// A netlink request; the path is its number, counted from 1.
        Netlink = 59, "netlink request";
        /// A label of a security module was read back and is another one.
        VerifyLabel = 60, "verify label";
        /// seccomp(2).
        Seccomp = 61, "seccomp";
        /// The filter's section does not follow PROTOCOL.md.
        Filter = 62, "filter section";
        /// personality(2).
        Personality = 63, "personality";
        /// set_mempolicy(2).
        Mempolicy = 64, "set_mempolicy";
        /// The interpreter of a script, or the loader of a program, is missing.
        Interpreter = 65, "interpreter";
        /// Contents of a directory were copied (`tmpcopyup`).
        CopyUp = 66, "copy up";
    }
}

/// A failed step: the operation, the path it was about (may be empty), and the errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault<'a> {
    /// What was being done.
    pub op: Op,
    /// The object of the operation, as the configuration names it; empty where there is none.
    pub path: &'a CStr,
    /// errno(3); 0 where a check of ours failed.
    pub errno: i32,
}

impl<'a> Fault<'a> {
    /// A check of ours failed: no errno.
    pub const fn check(op: Op, path: &'a CStr) -> Self {
        Self { op, path, errno: 0 }
    }
}

/// Says where a system call failed.
pub trait At<T> {
    /// The failure as a place: what was done, to which path.
    fn at<'a>(self, op: Op, path: &'a CStr) -> Result<T, Fault<'a>>;
}

impl<T> At<T> for Outcome<T> {
    fn at<'a>(self, op: Op, path: &'a CStr) -> Result<T, Fault<'a>> {
        self.map_err(|errno: Errno| Fault { op, path, errno: errno.raw_os_error() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The protocol document lists every code under its name.
    #[test]
    fn codes_are_documented() {
        let page = include_str!("../PROTOCOL.md").replace('\n', " ");
        let names = Phase::ALL.iter().map(|phase| (phase.code(), phase.name()));
        for (code, name) in names.chain(Op::ALL.iter().map(|op| (op.code(), op.name()))) {
            assert!(page.contains(&std::format!(" {code} {name}")), "{code} {name}");
        }
    }

    #[test]
    fn codes_round_trip_and_start_at_one() {
        for (index, phase) in Phase::ALL.iter().enumerate() {
            assert_eq!(Phase::from_code(phase.code()), Some(*phase));
            assert_eq!(phase.code() as usize, index + 1);
        }
        for (index, op) in Op::ALL.iter().enumerate() {
            assert_eq!(Op::from_code(op.code()), Some(*op));
            assert_eq!(op.code() as usize, index + 1);
        }
        assert_eq!(Phase::from_code(0), None);
    }
}
