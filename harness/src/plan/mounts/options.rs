//! The options of a mount, as mount(8) and the runtimes know them.

use linux_raw_sys::general as raw;

/// What an option of a mount does.
pub enum Effect {
    /// Sets and clears `MOUNT_ATTR_*` of the mount.
    Attributes { set: u32, clear: u32 },
    /// Sets a propagation; recursion makes no difference to a new mount.
    Propagation(u32),
    /// Bind mount; with all mounts below or without.
    Bind { recursive: bool },
    /// Sets and clears `MOUNT_ATTR_*` of the mount and all below it.
    AllAttributes { set: u32, clear: u32 },
    /// Copies what the image holds at the place into a new tmpfs.
    CopyUp,
    /// Maps the ids of files; with all mounts below or without.
    Idmap { recursive: bool },
    /// Nothing.
    Nothing,
    /// A parameter of the file system, passed on.
    Parameter,
    /// An option of mount(8) that has no meaning here.
    Refused,
}

const fn set(set: u32) -> Effect {
    Effect::Attributes { set, clear: 0 }
}

const fn clear(clear: u32) -> Effect {
    Effect::Attributes { set: 0, clear }
}

/// The options of mount(8) that are no parameters of a file system. With an `r` in front an
/// attribute is for all mounts below as well.
pub fn effect(option: &str) -> Effect {
    let below = option.strip_prefix('r').map(attribute);
    match (attribute(option), below) {
        (Effect::Parameter, Some(Effect::Attributes { set, clear })) => Effect::AllAttributes { set, clear },
        (effect, _) => effect,
    }
}

fn attribute(option: &str) -> Effect {
    match option {
        "ro" => set(raw::MOUNT_ATTR_RDONLY),
        "rw" => clear(raw::MOUNT_ATTR_RDONLY),
        "nosuid" => set(raw::MOUNT_ATTR_NOSUID),
        "suid" => clear(raw::MOUNT_ATTR_NOSUID),
        "nodev" => set(raw::MOUNT_ATTR_NODEV),
        "dev" => clear(raw::MOUNT_ATTR_NODEV),
        "noexec" => set(raw::MOUNT_ATTR_NOEXEC),
        "exec" => clear(raw::MOUNT_ATTR_NOEXEC),
        "nodiratime" => set(raw::MOUNT_ATTR_NODIRATIME),
        "diratime" => clear(raw::MOUNT_ATTR_NODIRATIME),
        "nosymfollow" => set(raw::MOUNT_ATTR_NOSYMFOLLOW),
        "symfollow" => clear(raw::MOUNT_ATTR_NOSYMFOLLOW),
        // The access time is one setting of several values: setting one clears the others.
        "noatime" => Effect::Attributes { set: raw::MOUNT_ATTR_NOATIME, clear: raw::MOUNT_ATTR__ATIME },
        "strictatime" => {
            Effect::Attributes { set: raw::MOUNT_ATTR_STRICTATIME, clear: raw::MOUNT_ATTR__ATIME }
        }
        "relatime" | "atime" | "nostrictatime" => clear(raw::MOUNT_ATTR__ATIME),
        "private" | "rprivate" => Effect::Propagation(raw::MS_PRIVATE),
        "slave" | "rslave" => Effect::Propagation(raw::MS_SLAVE),
        "shared" | "rshared" => Effect::Propagation(raw::MS_SHARED),
        "unbindable" | "runbindable" => Effect::Propagation(raw::MS_UNBINDABLE),
        "bind" => Effect::Bind { recursive: false },
        "rbind" => Effect::Bind { recursive: true },
        "tmpcopyup" => Effect::CopyUp,
        "idmap" => Effect::Idmap { recursive: false },
        "ridmap" => Effect::Idmap { recursive: true },
        "defaults" | "async" | "norelatime" | "nomand" | "loud" | "silent" | "nolazytime" | "noacl"
        | "noiversion" => Effect::Nothing,
        "remount" | "copy-symlink" | "src-nofollow" | "dest-nofollow" => Effect::Refused,
        _ => Effect::Parameter,
    }
}

/// Every option that has a meaning, for `features`.
pub const OPTIONS: &[&str] = &[
    "acl",
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noacl",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];
