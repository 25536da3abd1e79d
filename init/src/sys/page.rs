//! The page that init shares with the harness: how far init has come, and when.
//!
//! The harness maps a file of the state directory and hands init the descriptor, so the phase
//! is known however init died. To the harness the page is data of an untrusted writer.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::failure::Phase;

/// Room for one figure a phase.
const PHASES: usize = 64;

/// Layout of the page, by the version of the frame header. All words start as zero.
#[repr(C)]
pub struct Page {
    phase: AtomicU32,
    reserved: AtomicU32,
    since: AtomicU64,
    spent: [AtomicU64; PHASES],
}

/// Length of the file behind the page, in bytes.
pub const PAGE_LENGTH: usize = 4096;

const _: () = assert!(size_of::<Page>() <= PAGE_LENGTH);

impl Page {
    /// Notes that `phase` begins, and when (nanoseconds of `CLOCK_MONOTONIC`, 0 for "not asked").
    pub fn enter(&self, phase: Phase, now: u64) {
        let before = self.phase.swap(phase.code(), Ordering::AcqRel);
        if now == 0 {
            return;
        }
        let since = self.since.swap(now, Ordering::Relaxed);
        if let Some(spent) = self.spent.get(before as usize).filter(|_| since != 0) {
            spent.fetch_add(now.saturating_sub(since), Ordering::Relaxed);
        }
    }

    /// The phase init was last seen in; `None` before its first one, or for a word it made up.
    pub fn phase(&self) -> Option<Phase> {
        Phase::from_code(self.phase.load(Ordering::Acquire))
    }

    /// Nanoseconds spent in `phase`, all visits together; 0 where none were counted.
    pub fn spent(&self, phase: Phase) -> u64 {
        self.spent.get(phase.code() as usize).map_or(0, |spent| spent.load(Ordering::Relaxed))
    }
}
