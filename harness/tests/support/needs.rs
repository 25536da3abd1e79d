//! What trials need of the machine.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use super::proc_status;

/// What a trial needs; without it the trial is skipped, with the reason in the report.
#[derive(Clone, Copy, PartialEq)]
pub enum Needs {
    Nothing,
    Root,
    Strace,
    Setpriv,
    Cgroup2,
    Ip,
    Cgroup1,
    /// ps(1).
    Ps,
    /// The kernel's log.
    Log,
    /// Reading filters back: PTRACE_SECCOMP_GET_FILTER.
    Readback,
    /// That, and other runtimes.
    Peers,
}

impl Needs {
    fn missing(self) -> Option<&'static str> {
        let tool = |name: &str| {
            std::env::var("PATH").unwrap_or_default().split(':').any(|dir| Path::new(dir).join(name).exists())
        };
        if self == Self::Nothing {
            return None;
        }
        if fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).ok() != Some(0) {
            return Some("needs root");
        }
        match self {
            _ if !Path::new("/bin/busybox").exists() => Some("needs /bin/busybox (busybox-static)"),
            Self::Strace if !tool("strace") => Some("needs strace"),
            Self::Setpriv if !tool("setpriv") => Some("needs setpriv (util-linux)"),
            Self::Log
                if fs::File::open("/dev/kmsg").is_err() || !Path::new("/proc/self/loginuid").exists() =>
            {
                Some("needs /dev/kmsg and CONFIG_AUDIT")
            }
            Self::Readback | Self::Peers if !reads_back() => {
                Some("needs CAP_SYS_ADMIN, no seccomp filter and CONFIG_CHECKPOINT_RESTORE")
            }
            Self::Peers if !PEERS.iter().all(|name| peer(name).exists()) => {
                Some("needs runc and crun in target/peers (just peers)")
            }
            Self::Ip if !tool("ip") || !tool("unshare") => Some("needs ip (iproute2) and util-linux"),
            Self::Ps if !tool("ps") => Some("needs ps (procps)"),
            Self::Cgroup1 if !Path::new("/sys/fs/cgroup/memory").is_dir() => Some("needs cgroup v1"),
            Self::Cgroup2 if !tool("unshare") => Some("needs unshare (util-linux)"),
            _ => None,
        }
    }
}

/// What of it is not here.
pub fn missing(needs: Needs) -> Option<&'static str> {
    needs.missing()
}

/// `AUDIT_ARCH_*` of this machine, as the kernel's log has it, and the number of mkdir or, where there
/// is none, of mkdirat.
pub const fn mkdir_number() -> (&'static str, u32) {
    if cfg!(target_arch = "x86_64") {
        ("c000003e", 83)
    } else if cfg!(target_arch = "aarch64") {
        ("c00000b7", 34)
    } else {
        ("c00000f3", 34)
    }
}

/// The other runtimes.
pub const PEERS: [&str; 2] = ["runc", "crun"];

/// Where `just peers` puts one.
pub fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers").join(name)
}

/// Whether the kernel tells this process the filters of others (ptrace(2)).
fn reads_back() -> bool {
    let own = std::process::id() as i32;
    let admin = u64::from_str_radix(&proc_status(own, "CapEff"), 16).unwrap() & 1 << 21 != 0;
    // This file is there if CONFIG_CHECKPOINT_RESTORE is.
    admin && proc_status(own, "Seccomp") == "0" && Path::new("/proc/sys/kernel/ns_last_pid").exists()
}

/// A trial, or its report as skipped.
pub fn trial(name: &str, needs: Needs, run: fn()) -> Trial {
    let missing = needs.missing();
    let trial = Trial::test(name, move || {
        run();
        Ok::<(), Failed>(())
    });
    match missing {
        None => trial,
        Some(reason) => trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
    }
}
