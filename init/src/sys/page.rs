//! The page that init shares with the harness: how far init has come, and when.
//!
//! The harness maps a file of the state directory and hands init the descriptor, so the phase
//! is known however init died. To the harness the page is data of an untrusted writer.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::failure::Phase;

/// Room for the visits of a start with `timing`; what comes after them is not noted.
const VISITS: usize = 64;

/// A visit is the phase's code in the upper byte, and below it the nanoseconds of
/// `CLOCK_MONOTONIC` at its beginning, which overflow after two years.
const CODE_SHIFT: u32 = 56;

/// Layout of the page, by the version of the frame header. All words start as zero.
#[repr(C)]
pub struct Page {
    phase: AtomicU32,
    pid: AtomicU32,
    count: AtomicU64,
    visits: [AtomicU64; VISITS],
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
        self.phase.store(phase.code(), Ordering::Release);
        if now == 0 {
            return;
        }
        let visit = u64::from(phase.code()) << CODE_SHIFT | now & ((1 << CODE_SHIFT) - 1);
        let index = self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(slot) = self.visits.get(index as usize) {
            slot.store(visit, Ordering::Release);
        }
    }

    /// Each phase with its beginning in nanoseconds of `CLOCK_MONOTONIC`, in the order of the
    /// visits; none where nobody asked. What init made up is left out.
    pub fn visits(&self) -> impl Iterator<Item = (Phase, u64)> {
        let words = self.visits.iter().map(|slot| slot.load(Ordering::Acquire)).take_while(|word| *word != 0);
        words.filter_map(|word| {
            let code = (word >> CODE_SHIFT) as u32;
            Phase::from_code(code).map(|phase| (phase, word & ((1 << CODE_SHIFT) - 1)))
        })
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

    /// Nanoseconds spent in `phase`, all visits together, the last one of init left out, which has
    /// no end; 0 where none were counted.
    pub fn spent(&self, phase: Phase) -> u64 {
        let ends = self.visits().skip(1).map(|(_, end)| end);
        let visits = self.visits().zip(ends).filter(|((visited, _), _)| *visited == phase);
        visits.map(|((_, begin), end)| end.saturating_sub(begin)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Page {
        Page {
            phase: AtomicU32::new(0),
            pid: AtomicU32::new(0),
            count: AtomicU64::new(0),
            visits: [const { AtomicU64::new(0) }; VISITS],
            listener: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            errno: AtomicU32::new(0),
        }
    }

    #[test]
    fn visits_keep_their_order_and_add_up() {
        let page = empty();
        for (phase, now) in
            [(Phase::Mounts, 100), (Phase::Devices, 130), (Phase::Mounts, 150), (Phase::Gate, 155)]
        {
            page.enter(phase, now);
        }
        assert!(page.visits().map(|(_, begin)| begin).eq([100, 130, 150, 155]));
        assert_eq!([Phase::Mounts, Phase::Devices, Phase::Gate].map(|phase| page.spent(phase)), [35, 20, 0]);
        assert_eq!(page.phase(), Some(Phase::Gate));
    }

    #[test]
    fn nothing_is_noted_unless_asked_and_nothing_overflows() {
        let page = empty();
        page.enter(Phase::Mounts, 0);
        assert_eq!(page.visits().count(), 0);
        for now in 1..1000 {
            page.enter(Phase::Mounts, now);
        }
        assert_eq!(page.visits().count(), VISITS);
    }

    #[test]
    fn what_init_makes_up_is_left_out() {
        let page = empty();
        page.visits[0].store(u64::MAX, Ordering::Relaxed);
        page.visits[1].store(u64::from(Phase::Exec.code()) << CODE_SHIFT | 7, Ordering::Relaxed);
        assert!(page.visits().eq([(Phase::Exec, 7)]));
    }
}
