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
    pid: AtomicU32,
    since: AtomicU64,
    spent: [AtomicU64; PHASES],
    listener: AtomicU32,
    taken: AtomicU32,
    errno: AtomicU32,
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

    /// Where the kernel stores the pid of the process that goes on for init (`CLONE_PARENT_SETTID`).
    pub fn pid_address(&self) -> *mut u32 {
        self.pid.as_ptr()
    }

    /// The pid of the process that went on for init; 0 where it did not need one.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Acquire)
    }

    /// Offers the seccomp listener and waits until it has been taken: without a system call, which
    /// the filter would judge. False if nobody takes it within some ten seconds.
    pub fn offer(&self, listener: u32) -> bool {
        // A pause takes 10 to 50 ns (Intel SDM, "PAUSE"); there is no clock to ask.
        const TRIES: u32 = 1 << 29;
        self.listener.store(listener + 1, Ordering::Release);
        for _ in 0..TRIES {
            if self.taken.load(Ordering::Acquire) != 0 {
                return true;
            }
            core::hint::spin_loop();
        }
        false
    }

    /// The number of the seccomp listener in init's table, once it is offered.
    pub fn offered(&self) -> Option<u32> {
        self.listener.load(Ordering::Acquire).checked_sub(1)
    }

    /// Lets init go on: the listener is taken.
    pub fn take(&self) {
        self.taken.store(1, Ordering::Release);
    }

    /// Notes why execve failed, where the filter may not let it be told.
    pub fn fail(&self, errno: i32) {
        self.errno.store(errno as u32, Ordering::Release);
    }

    /// The errno of a failed last step; 0 for none.
    pub fn failed(&self) -> u32 {
        self.errno.load(Ordering::Acquire)
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
