//! After the gate: what would have been in init's own way before, and the proof that everything
//! is as it was asked for.

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

/// Closes every descriptor but the standard ones and those in `keep`.
pub fn close_all_but(keep: &mut [i32]) -> Result<(), Fault<'static>> {
    keep.sort_unstable();
    let mut first = 3;
    for number in keep.iter().filter_map(|number| u32::try_from(*number).ok()) {
        if number > first {
            sys::close_range(first, number - 1).at(Op::CloseRange, c"")?;
        }
        first = first.max(number + 1);
    }
    sys::close_range(first, u32::MAX).at(Op::CloseRange, c"")
}

/// Reads ids, groups, capability sets and `no_new_privs` back from the kernel and holds them against
/// the request. The bounding set may be smaller than asked for, never larger.
#[inline(never)]
pub fn read_back(status: &OwnedFd, process: &Process<'_>) -> Result<(), Fault<'static>> {
    let mut text = [0; 4096];
    let length = sys::read_at_start(status.as_raw_fd(), &mut text).at(Op::Read, c"/proc/self/status")?;
    let text = text.get(..length).unwrap_or_default();
    let want = &process.capabilities;
    let mut proved = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let mut words = line.split(|byte| matches!(byte, b'\t' | b' ')).filter(|word| !word.is_empty());
        let name = words.next().unwrap_or_default();
        let hex = |words: &mut dyn Iterator<Item = &[u8]>| words.next().and_then(|word| number(word, 16));
        let good = match name {
            b"Uid:" => words.all(|word| number(word, 10) == Some(process.uid.into())),
            b"Gid:" => words.all(|word| number(word, 10) == Some(process.gid.into())),
            b"Groups:" => process.keep_groups || same_groups(words, process.groups),
            b"CapInh:" => hex(&mut words) == Some(want.inheritable),
            b"CapPrm:" => hex(&mut words) == Some(want.permitted),
            b"CapEff:" => hex(&mut words) == Some(want.effective),
            b"CapBnd:" => hex(&mut words).is_some_and(|bounding| bounding & !want.bounding == 0),
            b"CapAmb:" => hex(&mut words) == Some(want.ambient),
            b"NoNewPrivs:" => hex(&mut words) == Some(process.no_new_privs.into()),
            _ => continue,
        };
        if !good {
            return Err(Fault::check(Op::ReadBack, process_item(name)));
        }
        proved += 1;
    }
    if proved == 9 { Ok(()) } else { Err(Fault::check(Op::ReadBack, c"/proc/self/status")) }
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

fn process_item(name: &[u8]) -> &'static core::ffi::CStr {
    match name {
        b"Uid:" => c"Uid",
        b"Gid:" => c"Gid",
        b"Groups:" => c"Groups",
        b"NoNewPrivs:" => c"NoNewPrivs",
        b"CapInh:" => c"CapInh",
        b"CapPrm:" => c"CapPrm",
        b"CapEff:" => c"CapEff",
        b"CapBnd:" => c"CapBnd",
        _ => c"CapAmb",
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| {
        value.checked_mul(radix.into())?.checked_add(char::from(*digit).to_digit(radix)?.into())
    })
}
