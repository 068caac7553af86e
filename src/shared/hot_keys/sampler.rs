//! Which accesses of keys are sampled.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// Chooses accesses at random, each with the same probability and independently of the others.
///
/// Instead of throwing the dice for each access, a worker throws them once for how many it passes over until
/// the next one, which is the same and costs a subtraction an access.
#[derive(Debug)]
pub struct Sampler {
    is_on: AtomicBool,
    /// The probability, as the bits of an `f64`.
    probability: AtomicU64,
    /// For each worker, and for all other threads together: accesses to pass over.
    left: Box<[CachePadded<AtomicU32>]>,
}

impl Sampler {
    /// Switched off, for so many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            is_on: AtomicBool::new(false),
            probability: AtomicU64::new(1.0_f64.to_bits()),
            left: (0..=workers).map(|_| CachePadded::default()).collect(),
        }
    }

    /// Takes this share of all accesses from now on, more than 0 and at most 1; none where it is `None`.
    pub fn set(&self, probability: Option<f64>) {
        if let Some(probability) = probability {
            self.probability.store(probability.to_bits(), Ordering::Relaxed);
            for left in &self.left {
                left.store(self.gap(), Ordering::Relaxed);
            }
        }
        self.is_on.store(probability.is_some(), Ordering::Relaxed);
    }

    /// Whether any are taken. One relaxed load.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// The share of all accesses that is taken.
    pub fn probability(&self) -> f64 {
        f64::from_bits(self.probability.load(Ordering::Relaxed))
    }

    /// Passes by `count` accesses of this worker. Calls `take` with the index of each that is taken.
    #[inline]
    pub fn pass(&self, worker: usize, count: usize, take: impl FnMut(usize)) {
        let left = &self.left[worker.min(self.left.len() - 1)];
        let first = left.load(Ordering::Relaxed) as usize;
        if first >= count {
            left.store((first - count) as u32, Ordering::Relaxed);
        } else {
            self.pass_some(left, first, count, take);
        }
    }

    #[cold]
    fn pass_some(&self, left: &AtomicU32, first: usize, count: usize, mut take: impl FnMut(usize)) {
        let mut at = first;
        while at < count {
            take(at);
            at += 1 + self.gap() as usize;
        }
        left.store((at - count) as u32, Ordering::Relaxed);
    }

    /// How many accesses are passed over before the next one that is taken.
    fn gap(&self) -> u32 {
        let probability = self.probability();
        if probability >= 1.0 {
            return 0;
        }
        // The number of failures before the first success. Neither logarithm is 0 here.
        let dice = 1.0 - fastrand::f64();
        (dice.ln() / (1.0 - probability).ln()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_access_is_taken_as_often_as_it_should_be() {
        fastrand::seed(3);
        let sampler = Sampler::new(1);
        assert!(!sampler.is_on());
        for probability in [1.0, 0.5, 0.01] {
            sampler.set(Some(probability));
            assert!(sampler.is_on());
            let (mut taken, mut passed) = ([0_u32; 7], 0);
            while passed < 700_000 {
                for count in [7, 0, 1] {
                    sampler.pass(0, count, |at| taken[at] += 1);
                    passed += count;
                }
            }
            let expected = probability * passed as f64;
            let total = f64::from(taken.iter().sum::<u32>());
            assert!((total - expected).abs() < 5.0 * expected.sqrt(), "{total} of {expected}");
            // Of places that come as often, none is preferred.
            let each = taken[1..].iter().map(|count| f64::from(*count));
            let mean = each.clone().sum::<f64>() / 6.0;
            assert!(each.clone().all(|count| (count - mean).abs() <= 5.0 * mean.sqrt()), "{taken:?}");
        }
        sampler.set(None);
        assert!(!sampler.is_on());
        // A thread without a number has a count down too.
        sampler.set(Some(1.0));
        let mut taken = 0;
        sampler.pass(usize::MAX, 3, |_| taken += 1);
        assert_eq!(taken, 3);
    }
}
