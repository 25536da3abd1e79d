//! After the gate: what would have been in init's own way before, and the proof that everything
//! is as it was asked for.

use core::ffi::CStr;

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::thread::CapabilitySet;

use crate::config::{Process, Rlimit};
use crate::failure::{At, Fault, Op};
use crate::procfs::Procfs;
use crate::sys;

/// Init's own /proc/self/status, opened while descriptors are still to be had.
pub fn open_status(procfs: &Procfs) -> Result<OwnedFd, Fault<'static>> {
    procfs.open(c"self/status", OFlags::RDONLY)
}

/// Raises the ambient set; permitted and inheritable set hold it already.
pub fn raise_ambient(ambient: u64) -> Result<(), Fault<'static>> {
    for number in (0..u64::BITS).filter(|number| ambient & (1 << number) != 0) {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::configure_capability_in_ambient_set(capability, true).at(Op::RaiseAmbient, c"")?;
    }
    Ok(())
}

/// Sets the limits exactly. So late because a low `RLIMIT_NOFILE` would stop init itself.
pub fn limits(limits: &[Rlimit]) -> Result<(), Fault<'static>> {
    for limit in limits {
        sys::set_limit(0, limit.resource, limit.soft, limit.hard).at(Op::Setrlimit, c"")?;
    }
    Ok(())
}

/// Closes every descriptor from 3 up but the first `preserve` and those in `keep`.
pub fn close_all_but(preserve: u32, keep: &mut [i32]) -> Result<(), Fault<'static>> {
    keep.sort_unstable();
    let mut first = preserve.saturating_add(3);
    for number in keep.iter().filter_map(|number| u32::try_from(*number).ok()) {
        if number > first {
            sys::close_range(first, number - 1).at(Op::CloseRange, c"")?;
        }
        first = first.max(number + 1);
    }
    sys::close_range(first, u32::MAX).at(Op::CloseRange, c"")
}

/// Reads ids, groups, capability sets and `no_new_privs` back from the kernel and holds them against
/// the request. The bounding set may be smaller than asked for, never larger; `more` is what
/// [`finalize::identity`](super::finalize::identity) has kept.
#[inline(never)]
pub fn read_back(status: &OwnedFd, process: &Process<'_>, more: u64) -> Result<(), Fault<'static>> {
    let mut text = [0; 4096];
    let length = sys::read_at_start(status.as_raw_fd(), &mut text).at(Op::Read, c"/proc/self/status")?;
    let want = &process.capabilities;
    let expected: [(&CStr, u32, u64); 8] = [
        (c"Uid", 10, process.uid.into()),
        (c"Gid", 10, process.gid.into()),
        (c"CapInh", 16, want.inheritable),
        (c"CapPrm", 16, want.permitted | more),
        (c"CapEff", 16, want.effective | more),
        (c"CapBnd", 16, want.bounding),
        (c"CapAmb", 16, want.ambient),
        (c"NoNewPrivs", 10, process.no_new_privs.into()),
    ];
    let mut proved = 0;
    for line in text.get(..length).unwrap_or_default().split(|byte| *byte == b'\n') {
        let mut words = line.split(|byte| matches!(byte, b'\t' | b' ' | b':')).filter(|word| !word.is_empty());
        let name = words.next().unwrap_or_default();
        if name == b"Groups" {
            if !process.keep_groups && !same_groups(words, process.groups) {
                return Err(Fault::check(Op::ReadBack, c"Groups"));
            }
            proved += 1;
        } else if let Some((name, radix, value)) = expected.iter().find(|row| row.0.to_bytes() == name) {
            let good = |found: u64| {
                if *name == c"CapBnd" { found & !value == 0 } else { found == *value }
            };
            if !words.all(|word| number(word, *radix).is_some_and(good)) {
                return Err(Fault::check(Op::ReadBack, name));
            }
            proved += 1;
        }
    }
    if proved == expected.len() + 1 { Ok(()) } else { Err(Fault::check(Op::ReadBack, c"/proc/self/status")) }
}

/// The kernel sorts the groups (`groups_sort`), so they are compared as sets of equal size.
fn same_groups<'w>(words: impl Iterator<Item = &'w [u8]>, groups: &[u32]) -> bool {
    let mut count = 0;
    for word in words {
        count += 1;
        if !groups.iter().any(|group| number(word, 10) == Some(u64::from(*group))) {
            return false;
        }
    }
    count == groups.len()
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| {
        value.checked_mul(radix.into())?.checked_add(char::from(*digit).to_digit(radix)?.into())
    })
}
