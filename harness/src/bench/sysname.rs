//! Names of the system calls that a start makes, and what they are about.

use linux_raw_sys::general as raw;

/// What a call is about: its colour in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Processes and programs.
    Process,
    /// Mounts and roots.
    Mount,
    /// Namespaces and their names.
    Namespace,
    /// Files and directories.
    File,
    /// Talk between processes, and waits.
    Talk,
    /// Credentials, limits and filters.
    Credential,
    /// Memory, and everything else.
    Other,
}

impl Class {
    /// All, in the order of a legend, with a caption.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Process, "processes"),
        (Self::Mount, "mounts"),
        (Self::Namespace, "namespaces"),
        (Self::File, "files"),
        (Self::Talk, "messages"),
        (Self::Credential, "credentials, bpf"),
        (Self::Other, "memory, other"),
    ];
}

macro_rules! calls {
    ($($class:ident: $($constant:ident $name:literal),+;)+) => {
        /// Name and class of a call; an unknown one has no name.
        pub fn describe(number: u32) -> (&'static str, Class) {
            match number {
                $($(raw::$constant => ($name, Class::$class),)+)+
                _ => ("", Class::Other),
            }
        }
    };
}

calls! {
    Process: __NR_clone "clone", __NR_clone3 "clone3", __NR_execve "execve", __NR_execveat "execveat",
        __NR_exit "exit", __NR_exit_group "exit", __NR_wait4 "wait4", __NR_waitid "waitid",
        __NR_pidfd_open "pidfd_open", __NR_pidfd_send_signal "pidfd_send_signal", __NR_kill "kill",
        __NR_setsid "setsid";
    Mount: __NR_mount "mount", __NR_umount2 "umount", __NR_open_tree "open_tree", __NR_move_mount "move_mount",
        __NR_fsopen "fsopen", __NR_fsconfig "fsconfig", __NR_fsmount "fsmount", __NR_mount_setattr "mount_setattr",
        __NR_pivot_root "pivot_root", __NR_chroot "chroot";
    Namespace: __NR_unshare "unshare", __NR_setns "setns", __NR_sethostname "sethostname",
        __NR_setdomainname "setdomainname";
    File: __NR_openat "openat", __NR_openat2 "openat2", __NR_close "close", __NR_close_range "close_range",
        __NR_mkdirat "mkdirat", __NR_mknodat "mknodat", __NR_symlinkat "symlinkat", __NR_unlinkat "unlinkat",
        __NR_statx "statx", __NR_fstat "fstat", __NR_fstatfs "fstatfs", __NR_statfs "statfs",
        __NR_renameat "renameat", __NR_getdents64 "getdents", __NR_readlinkat "readlinkat",
        __NR_ftruncate "ftruncate", __NR_fchdir "fchdir", __NR_chdir "chdir", __NR_fcntl "fcntl",
        __NR_fchownat "fchownat", __NR_fchmod "fchmod", __NR_memfd_create "memfd_create", __NR_getcwd "getcwd",
        __NR_faccessat "faccessat", __NR_faccessat2 "faccessat2", __NR_dup3 "dup3", __NR_umask "umask",
        __NR_pread64 "pread", __NR_flock "flock";
    Talk: __NR_read "read", __NR_write "write", __NR_sendto "send", __NR_recvfrom "recv", __NR_sendmsg "sendmsg",
        __NR_recvmsg "recvmsg", __NR_ppoll "poll", __NR_futex "futex", __NR_socket "socket",
        __NR_socketpair "socketpair", __NR_pipe2 "pipe", __NR_ioctl "ioctl", __NR_epoll_pwait "epoll_wait";
    Credential: __NR_prctl "prctl", __NR_capset "capset", __NR_capget "capget", __NR_setresuid "setresuid",
        __NR_setresgid "setresgid", __NR_setgroups "setgroups", __NR_prlimit64 "prlimit", __NR_seccomp "seccomp",
        __NR_keyctl "keyctl", __NR_bpf "bpf", __NR_rt_sigaction "sigaction", __NR_rt_sigprocmask "sigprocmask";
    Other: __NR_mmap "mmap", __NR_munmap "munmap", __NR_mprotect "mprotect", __NR_brk "brk",
        __NR_madvise "madvise", __NR_clock_gettime "clock_gettime";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_names() {
        assert_eq!(describe(raw::__NR_clone3), ("clone3", Class::Process));
        assert_eq!(describe(u32::MAX), ("", Class::Other));
    }
}
