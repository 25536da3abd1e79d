//! Which samples are to be believed: those taken while nobody else wanted the processors.

use super::stats::{quantile, sorted};

/// Signs of others around a sample.
pub struct Watch {
    runnable: f64,
    stalled: f64,
}

/// Noise is quiet up to here: nobody else runnable before, and no more of the time than this,
/// beyond what the subject does to itself, with a task waiting for a CPU.
const QUIET: f64 = 0.1;

impl Watch {
    /// Looks before the sample.
    pub fn start() -> Self {
        Self { runnable: others(), stalled: pressure() }
    }

    /// Looks after it: the tasks that were runnable before, and as a fraction the share of the time
    /// in which some task waited for a CPU. The run queue afterwards says nothing: the container
    /// that was just started may be in it.
    pub fn noise(self, milliseconds: f64) -> f64 {
        let stalled = (pressure() - self.stalled).max(0.0) / 1e3;
        self.runnable + if milliseconds > 0.0 { (stalled / milliseconds).min(0.99) } else { 0.0 }
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

/// What is left of a list of samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    /// The samples that count.
    pub values: Vec<f64>,
    /// Share of all that was left out.
    pub left_out: f64,
    /// Share of those that count which is noisy all the same.
    pub noisy: f64,
}

/// Leaves noisy samples out, but never more than half: of more, the quieter ones count.
pub fn keep(values: &[f64], noise: &[f64]) -> Kept {
    let half = values.len().div_ceil(2);
    // Processes of one runtime wait for each other's CPU, too: a quarter of the samples has no more
    // than that.
    let own: Vec<f64> = noise.iter().map(|noise| noise.fract()).collect();
    let quiet = QUIET + quantile(&sorted(&own), 0.25);
    let loudest = quantile(sorted(noise).get(..half).unwrap_or_default(), 1.0);
    let limit = loudest.max(quiet);
    let mut pairs: Vec<(f64, f64)> = values.iter().copied().zip(noise.iter().copied()).collect();
    pairs.retain(|(_, noise)| *noise <= limit);
    let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
    let noisy = pairs.iter().filter(|(_, noise)| *noise > quiet).count();
    Kept {
        left_out: 1.0 - share(pairs.len(), values.len()),
        noisy: share(noisy, pairs.len()),
        values: pairs.into_iter().map(|(value, _)| value).collect(),
    }
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
        let expected = Kept { values: vec![1.0, 2.0, 4.0], left_out: 0.25, noisy: 0.0 };
        assert_eq!(keep(&[1.0, 2.0, 3.0, 4.0], &[0.0, 0.05, 1.0, 0.0]), expected);
    }

    #[test]
    fn half_stays_however_noisy() {
        let expected = Kept { values: vec![2.0, 4.0], left_out: 0.5, noisy: 1.0 };
        assert_eq!(keep(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 3.0, 1.5]), expected);
        assert!(keep(&[], &[]).values.is_empty());
    }

    #[test]
    fn what_a_runtime_does_to_itself_is_not_noise() {
        let kept = keep(&[1.0, 2.0, 3.0, 4.0], &[0.3, 0.35, 0.32, 1.3]);
        assert_eq!(kept, Kept { values: vec![1.0, 2.0, 3.0], left_out: 0.25, noisy: 0.0 });
    }
}
