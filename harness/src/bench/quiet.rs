//! Which samples are to be believed: those taken while nobody else wanted the processors.

/// Signs of others around a sample.
pub struct Watch {
    runnable: f64,
    stalled: f64,
}

/// Noise up to here is quiet: nobody else runnable before or after, and no more of the time than
/// this with a task waiting for a CPU in between.
const QUIET: f64 = 0.1;

impl Watch {
    /// Looks before the sample.
    pub fn start() -> Self {
        Self { runnable: others(), stalled: pressure() }
    }

    /// Looks after it. 0 is silence; 1 is one task that wanted to run all the time.
    pub fn noise(self, milliseconds: f64) -> f64 {
        // The counters first: the look at the run queue is a little work itself.
        let stalled = (pressure() - self.stalled).max(0.0) / 1e3;
        let runnable = self.runnable.max(others());
        runnable + if milliseconds > 0.0 { stalled / milliseconds } else { 0.0 }
    }
}

/// Tasks that are runnable besides this one.
fn others() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    runnable(&text).saturating_sub(1) as f64
}

/// The fourth field of /proc/loadavg: runnable tasks, and all tasks (proc(5)).
fn runnable(loadavg: &str) -> u32 {
    let field = loadavg.split_whitespace().nth(3).and_then(|field| field.split('/').next());
    field.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Microseconds so far with a task that waited for a CPU; 0 without PSI.
fn pressure() -> f64 {
    let text = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let total = text.lines().next().and_then(|line| line.rsplit("total=").next());
    total.and_then(|total| total.parse().ok()).unwrap_or(0.0)
}

/// The samples that count, and the share left out. Where more than half are noisy, the quieter
/// half counts all the same.
pub fn keep(values: &[f64], noise: &[f64]) -> (Vec<f64>, f64) {
    let half = values.len().div_ceil(2);
    let mut limits = noise.to_vec();
    limits.sort_by(f64::total_cmp);
    let limit = limits.get(half.saturating_sub(1)).copied().unwrap_or(0.0).max(QUIET);
    let mut pairs: Vec<(f64, f64)> = values.iter().copied().zip(noise.iter().copied()).collect();
    pairs.retain(|(_, noise)| *noise <= limit);
    let left_out = 1.0 - pairs.len() as f64 / values.len().max(1) as f64;
    (pairs.into_iter().map(|(value, _)| value).collect(), left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_queue_is_read() {
        assert_eq!(runnable("0.19 0.20 0.09 3/84 6327\n"), 3);
        assert_eq!(runnable(""), 0);
    }

    #[test]
    fn noisy_samples_are_left_out() {
        assert_eq!(keep(&[1.0, 2.0, 3.0, 4.0], &[0.0, 0.05, 1.0, 0.0]), (vec![1.0, 2.0, 4.0], 0.25));
    }

    #[test]
    fn half_stays_however_noisy() {
        let (kept, left_out) = keep(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 3.0, 1.5]);
        assert_eq!(kept, [2.0, 4.0]);
        assert!((left_out - 0.5).abs() < 1e-9);
        assert_eq!(keep(&[], &[]).0.len(), 0);
    }
}
