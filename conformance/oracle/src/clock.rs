//! The clock of measurements: processor time of the thread, which others on the machine disturb
//! less than time.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the thread began.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
