//! Actions: what a filter returns (seccomp(2), "Filter return values").

use crate::error::{Error, Result};

/// `SECCOMP_RET_KILL_THREAD`.
pub const KILL_THREAD: u32 = 0;
/// `SECCOMP_RET_KILL_PROCESS`.
pub const KILL_PROCESS: u32 = 0x8000_0000;
/// `SECCOMP_RET_TRAP`.
pub const TRAP: u32 = 0x0003_0000;
/// `SECCOMP_RET_ERRNO`.
pub const ERRNO: u32 = 0x0005_0000;
/// `SECCOMP_RET_USER_NOTIF`.
pub const NOTIFY: u32 = 0x7fc0_0000;
/// `SECCOMP_RET_TRACE`.
pub const TRACE: u32 = 0x7ff0_0000;
/// `SECCOMP_RET_LOG`.
pub const LOG: u32 = 0x7ffc_0000;
/// `SECCOMP_RET_ALLOW`.
pub const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_ACTION_FULL`: the part that is not data.
pub const MASK: u32 = 0xffff_0000;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// `MAX_ERRNO` of linux/err.h: what the kernel cuts larger ones to.
const MAX_ERRNO: u32 = 4095;

/// ERRNO with ENOSYS: for calls that a profile does not know of yet.
pub const UNKNOWN_CALL: u32 = ERRNO | ENOSYS;

/// The names in config.json, without `SCMP_ACT_`.
pub const NAMES: [(&str, u32); 9] = [
    ("KILL", KILL_THREAD),
    ("KILL_THREAD", KILL_THREAD),
    ("KILL_PROCESS", KILL_PROCESS),
    ("TRAP", TRAP),
    ("ERRNO", ERRNO),
    ("TRACE", TRACE),
    ("ALLOW", ALLOW),
    ("LOG", LOG),
    ("NOTIFY", NOTIFY),
];

/// The value of an action. ERRNO and TRACE have data, EPERM where none is given; the others may not.
/// `places` are the pointers of action and data.
pub fn parse(name: &str, data: Option<u32>, places: impl Fn() -> [String; 2]) -> Result<u32> {
    let short = name.strip_prefix("SCMP_ACT_");
    let found = NAMES.iter().find(|(known, _)| Some(*known) == short);
    let (_, action) = found.ok_or_else(|| Error::config(&places()[0], format!("unknown action {name:?}")))?;
    let wrong = |reason: String| Err(Error::config(&places()[1], reason));
    match (*action, data) {
        (ERRNO, data) => match data.unwrap_or(EPERM) {
            errno @ 0..=MAX_ERRNO => Ok(ERRNO | errno),
            errno => wrong(format!("{errno} exceeds {MAX_ERRNO}")),
        },
        (TRACE, data) => match data.unwrap_or(EPERM) {
            data @ 0..=0xffff => Ok(TRACE | data),
            data => wrong(format!("{data} exceeds 65535")),
        },
        (action, None) => Ok(action),
        (_, Some(_)) => wrong(format!("{name} has no errno")),
    }
}

/// An action for people: `ERRNO(38)`.
pub fn describe(value: u32) -> String {
    let name = NAMES.iter().skip(1).find(|(_, action)| *action == value & MASK).map_or("?", |(name, _)| name);
    match value & MASK {
        ERRNO | TRACE => format!("{name}({})", value & !MASK),
        _ => name.to_owned(),
    }
}
