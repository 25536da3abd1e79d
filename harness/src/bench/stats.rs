//! Order statistics, bootstrap intervals, and the test of Mann and Whitney.

use serde::{Deserialize, Serialize};

/// A figure and where it lies with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Small random numbers that are the same in every run (splitmix64).
pub struct Dice(u64);

impl Dice {
    /// Begins a sequence.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`, which must not be 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        ((u128::from(word) * limit as u128) >> 64) as usize
    }

    /// Puts a list into random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.below(end + 1));
        }
    }
}

/// The value below which a share of a sorted list lies; NaN for an empty one.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The list in ascending order.
pub fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut list = samples.to_vec();
    list.sort_by(f64::total_cmp);
    list
}

/// A median, with the medians of as many lists drawn from its samples.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    value: f64,
    draws: Vec<f64>,
}

impl Bootstrap {
    /// How many lists are drawn.
    const DRAWS: usize = 2000;

    /// Of the median of `samples`.
    pub fn median(samples: &[f64], dice: &mut Dice) -> Self {
        let value = quantile(&sorted(samples), 0.5);
        let mut list = samples.to_vec();
        let mut draw = || {
            for slot in &mut list {
                *slot = samples.get(dice.below(samples.len())).copied().unwrap_or(f64::NAN);
            }
            let middle = ((list.len() - 1) as f64 * 0.5).round() as usize;
            *list.select_nth_unstable_by(middle, f64::total_cmp).1
        };
        let draws = if samples.is_empty() { Vec::new() } else { (0..Self::DRAWS).map(|_| draw()).collect() };
        Self { value, draws }
    }

    /// The ratio of two independent figures.
    pub fn over(&self, other: &Self) -> Self {
        let draws = self.draws.iter().zip(&other.draws).map(|(ours, theirs)| ours / theirs).collect();
        Self { value: self.value / other.value, draws }
    }

    /// The figure, and the interval that holds 95 % of the draws.
    pub fn estimate(&self) -> Estimate {
        self.within(0.95)
    }

    /// The figure, and the interval that holds `share` of the draws.
    pub fn within(&self, share: f64) -> Estimate {
        let draws = sorted(&self.draws);
        let outside = (1.0 - share) / 2.0;
        Estimate { value: self.value, low: quantile(&draws, outside), high: quantile(&draws, 1.0 - outside) }
    }
}

/// The two-sided probability that two lists from one distribution differ in rank as much as these
/// (Mann and Whitney 1947; normal approximation with correction for ties).
pub fn mann_whitney(ours: &[f64], theirs: &[f64]) -> f64 {
    let (n, m) = (ours.len() as f64, theirs.len() as f64);
    if ours.is_empty() || theirs.is_empty() {
        return f64::NAN;
    }
    let mut all: Vec<(f64, bool)> =
        ours.iter().map(|one| (*one, true)).chain(theirs.iter().map(|one| (*one, false))).collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut ranks, mut ties, mut before) = (0.0, 0.0, 0.0);
    for group in all.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq()) {
        let size = group.len() as f64;
        let own = group.iter().filter(|(_, own)| *own).count() as f64;
        ranks += own * (before + f64::midpoint(size, 1.0));
        ties += size.powi(3) - size;
        before += size;
    }
    let u = ranks - n * (n + 1.0) / 2.0;
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    // Half a step towards the middle: U is a whole number, the normal distribution is not.
    let distance = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    complementary_error(distance / std::f64::consts::SQRT_2)
}

/// erfc(x) for x >= 0, within 1.2e-7 of its value (Numerical Recipes, "erfcc").
fn complementary_error(x: f64) -> f64 {
    const TERMS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x);
    let sum = TERMS.iter().rev().fold(0.0, |sum, term| sum * t + term);
    t * (-x * x + sum).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let list = sorted(&[3.0, 1.0, 2.0, 5.0, 4.0]);
        let found = [0.0, 0.5, 1.0].map(|share| quantile(&list, share));
        assert!(found.iter().zip([1.0, 3.0, 5.0]).all(|(one, other)| (one - other).abs() < 1e-9));
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn an_interval_holds_the_median_and_narrows() {
        let mut dice = Dice::new(1);
        let list = |count: usize, dice: &mut Dice| -> Vec<f64> {
            (0..count).map(|_| 1.0 + dice.below(1000) as f64 / 1000.0).collect()
        };
        let (few, many) = (list(20, &mut dice), list(2000, &mut dice));
        let few = Bootstrap::median(&few, &mut dice).estimate();
        let many = Bootstrap::median(&many, &mut dice).estimate();
        assert!(few.low < 1.5 && 1.5 < few.high, "{few:?}");
        assert!(many.high - many.low < (few.high - few.low) / 3.0, "{many:?}");
    }

    #[test]
    fn ratios_carry_both_uncertainties() {
        let mut dice = Dice::new(2);
        let ours = Bootstrap::median(&[1.0, 1.1, 1.2, 1.0, 1.1], &mut dice);
        let theirs = Bootstrap::median(&[4.0, 4.4, 4.8, 4.0, 4.4], &mut dice);
        let ratio = ours.over(&theirs).estimate();
        assert!((ratio.value - 0.25).abs() < 1e-9);
        assert!(ratio.low < 0.25 && ratio.high > 0.25, "{ratio:?}");
    }

    #[test]
    fn ranks_tell_shifts_from_noise() {
        let mut dice = Dice::new(3);
        let mut list =
            |shift: f64| -> Vec<f64> { (0..100).map(|_| shift + dice.below(1000) as f64 / 1000.0).collect() };
        let (one, same, shifted) = (list(0.0), list(0.0), list(0.3));
        assert!(mann_whitney(&one, &same) > 0.01);
        assert!(mann_whitney(&one, &shifted) < 1e-6);
        assert!((mann_whitney(&one, &one) - 1.0).abs() < 0.01);
        assert!((mann_whitney(&[1.0; 4], &[1.0; 4]) - 1.0).abs() < 1e-9);
    }

    /// By hand: U = 2, ties 12, variance 25 / 12 * (11 - 12 / 90), so z = 2.102.
    #[test]
    fn ties_are_counted() {
        let p = mann_whitney(&[1.0, 2.0, 3.0, 4.0, 5.0], &[4.0, 5.0, 6.0, 7.0, 8.0]);
        assert!((p - 0.035_579).abs() < 1e-5, "{p}");
    }
}
