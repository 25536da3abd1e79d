//! The page that init shares with the harness: how far init has come, and when.
//!
//! The harness maps a file of the state directory and hands init the descriptor, so the phase
//! is known however init died. To the harness the page is data of an untrusted writer.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::failure::Phase;

/// Room for one time stamp a phase.
pub const STAMPS: usize = 64;

/// Layout of the page, version by the frame header's version. All words start as zero.
#[repr(C)]
pub struct Page {
    phase: AtomicU32,
    reserved: AtomicU32,
    stamps: [AtomicU64; STAMPS],
}

/// Length of the file behind the page, in bytes.
pub const PAGE_LENGTH: usize = 4096;

const _: () = assert!(size_of::<Page>() <= PAGE_LENGTH);

impl Page {
    /// Notes that `phase` begins, and when (nanoseconds of `CLOCK_MONOTONIC`, 0 for "not asked").
    pub fn enter(&self, phase: Phase, now: u64) {
        let code = phase.code();
        self.phase.store(code, Ordering::Release);
        if now != 0
            && let Some(stamp) = self.stamps.get(code as usize)
        {
            stamp.store(now, Ordering::Relaxed);
        }
    }

    /// The phase init was last seen in; `None` before its first one, or for a word it made up.
    pub fn phase(&self) -> Option<Phase> {
        Phase::from_code(self.phase.load(Ordering::Acquire))
    }

    /// When `phase` began, in nanoseconds of `CLOCK_MONOTONIC`; `None` where it was not stamped.
    pub fn stamp(&self, phase: Phase) -> Option<u64> {
        let stamp = self.stamps.get(phase.code() as usize)?.load(Ordering::Relaxed);
        (stamp != 0).then_some(stamp)
    }
}
