//! Which accesses of keys are sampled.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// Accesses that each worker takes in a second as long as it has so many: of fewer all are taken.
const WANTED: f64 = 400.0;

/// After so many that were taken since the share was last set, it is halved: what begins all at once is not to cost
/// much until it is set again.
const ENOUGH: u32 = 800;

/// Time between two settings of the shares, in milliseconds.
const ADAPT_MS: u64 = 1000;

/// What [`Lane::stood_for`] counts in: parts of an access.
const PARTS: f64 = 256.0;

/// Chooses accesses at random, independently of each other: each worker takes a share of its own, so large that it
/// gets some [`WANTED`] a second, and no less than is asked for. What is taken stands for as many as its share says.
///
/// Instead of throwing the dice for each access, a worker throws them once for how many it passes over until
/// the next one, which is the same and costs a subtraction an access.
#[derive(Debug)]
pub struct Sampler {
    is_on: AtomicBool,
    /// The least share, as the bits of an `f64`.
    least: AtomicU64,
    /// When shares were last set, in milliseconds of Unix time.
    adapted_ms: AtomicU64,
    /// One for each worker, and one for all other threads together.
    lanes: Box<[CachePadded<Lane>]>,
}

/// What one worker takes.
#[derive(Debug)]
struct Lane {
    /// Its share as the bits of an `f32`, and below them how many accesses are passed over: a number of dice that were
    /// thrown with this share. They are changed together, so that what is taken stands for the right number.
    state: AtomicU64,
    /// Accesses that were taken since the share was last set or halved.
    taken: AtomicU32,
    /// How many accesses those stand for that were taken since shares were last set.
    stood_for: AtomicU64,
}

/// A share, with dice thrown for it.
fn state(share: f64) -> u64 {
    let share = share as f32;
    u64::from(share.to_bits()) << 32 | u64::from(gap(share))
}

/// The share in it.
fn share(state: u64) -> f32 {
    f32::from_bits((state >> 32) as u32)
}

/// How many accesses are passed over before the next one that is taken.
fn gap(share: f32) -> u32 {
    if share >= 1.0 {
        return 0;
    }
    // The number of failures before the first success. Neither logarithm is 0 here.
    let dice = 1.0 - fastrand::f64();
    (dice.ln() / (-f64::from(share)).ln_1p()) as u32
}

impl Sampler {
    /// Switched off, for so many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            is_on: AtomicBool::new(false),
            least: AtomicU64::new(1.0_f64.to_bits()),
            adapted_ms: AtomicU64::new(0),
            lanes: (0..=workers).map(|_| CachePadded::new(Lane::new())).collect(),
        }
    }

    /// Takes at least this share of all accesses from now on, more than 0 and at most 1; none where it is `None`.
    pub fn set(&self, least: Option<f64>) {
        if let Some(least) = least {
            self.least.store(least.to_bits(), Ordering::Relaxed);
            self.lanes.iter().for_each(|lane| lane.begin(1.0));
        }
        self.is_on.store(least.is_some(), Ordering::Relaxed);
    }

    /// Whether any are taken. One relaxed load.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// The share of all accesses that is taken at least.
    pub fn least(&self) -> f64 {
        f64::from_bits(self.least.load(Ordering::Relaxed))
    }

    /// Sets each worker's share by what it had to do in the last second, where that has passed.
    pub fn adapt(&self, now_ms: u64) {
        let before_ms = self.adapted_ms.load(Ordering::Relaxed);
        // A clock that was set back tells as little as one that was not looked at for long.
        let passed_ms = now_ms.abs_diff(before_ms);
        let set = |from| self.adapted_ms.compare_exchange(from, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        if !self.is_on() || passed_ms < ADAPT_MS || set(before_ms).is_err() {
            return;
        }
        for lane in &self.lanes {
            let accesses = lane.stood_for.swap(0, Ordering::Relaxed) as f64 / PARTS;
            let wanted = WANTED * passed_ms as f64 / 1000.0;
            // 1 where there were none.
            lane.begin((wanted / accesses).clamp(self.least(), 1.0));
        }
    }

    /// Passes by `count` accesses of this worker. Calls `take` with the index of each that is taken, and how many
    /// accesses it stands for.
    #[inline]
    pub fn pass(&self, worker: usize, count: usize, take: impl FnMut(usize, f64)) {
        let lane = &self.lanes[worker.min(self.lanes.len() - 1)];
        let state = lane.state.load(Ordering::Relaxed);
        let first = state as u32 as usize;
        if first >= count {
            lane.state.store(state - count as u64, Ordering::Relaxed);
        } else {
            self.pass_some(lane, state, count, take);
        }
    }

    #[cold]
    fn pass_some(&self, lane: &Lane, state: u64, count: usize, mut take: impl FnMut(usize, f64)) {
        let (mut at, mut share) = (state as u32 as usize, share(state));
        while at < count {
            let stands_for = 1.0 / f64::from(share);
            take(at, stands_for);
            lane.stood_for.fetch_add((stands_for * PARTS) as u64, Ordering::Relaxed);
            if lane.taken.fetch_add(1, Ordering::Relaxed) + 1 >= ENOUGH {
                lane.taken.store(0, Ordering::Relaxed);
                share = (share / 2.0).max(self.least() as f32);
            }
            at += 1 + gap(share) as usize;
        }
        let left = (at - count).min(u32::MAX as usize) as u64;
        lane.state.store(u64::from(share.to_bits()) << 32 | left, Ordering::Relaxed);
    }
}

impl Lane {
    fn new() -> Self {
        Self { state: AtomicU64::new(state(1.0)), taken: AtomicU32::new(0), stood_for: AtomicU64::new(0) }
    }

    /// Takes this share from now on. Where its worker passes accesses by at this instant, the share may stay as it was.
    fn begin(&self, share: f64) {
        self.taken.store(0, Ordering::Relaxed);
        self.state.store(state(share), Ordering::Relaxed);
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
        for least in [1.0, 0.5, 0.01] {
            sampler.set(Some(least));
            assert!(sampler.is_on());
            // Until no more than the least share is taken.
            sampler.pass(0, 1_000_000, |_, _| {});
            let (mut taken, mut passed) = ([0_u32; 7], 0);
            while passed < 700_000 {
                for count in [7, 0, 1] {
                    sampler.pass(0, count, |at, stands_for| {
                        assert!((stands_for - 1.0 / least).abs() < 1e-3);
                        taken[at] += 1;
                    });
                    passed += count;
                }
            }
            let expected = least * passed as f64;
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
        sampler.pass(usize::MAX, 3, |_, _| taken += 1);
        assert_eq!(taken, 3);
    }

    /// A worker takes some hundred accesses a second, however many it has: all of few, no less than the least share of
    /// very many. All together stand for what there was, within what chance explains, also where rates change.
    #[test]
    fn as_many_are_taken_as_are_wanted() {
        fastrand::seed(5);
        let sampler = Sampler::new(1);
        sampler.set(Some(0.01));
        let mut now_ms = 5_000;
        let mut second = |accesses: usize| {
            let (mut taken, mut sum, mut variance) = (0_u32, 0.0, 0.0);
            (0..accesses).for_each(|_| {
                sampler.pass(0, 1, |_, stands_for| {
                    taken += 1;
                    sum += stands_for;
                    variance += stands_for * (stands_for - 1.0);
                });
            });
            now_ms += 1000;
            sampler.adapt(now_ms);
            let off = (sum - accesses as f64).abs();
            assert!(off <= 5.0 * f64::max(variance, 1.0).sqrt() + 200.0, "{sum} for {accesses}, {variance}");
            taken
        };
        for accesses in [20, 300, 20] {
            assert_eq!(second(accesses), accesses as u32, "all of few");
        }
        // What begins at once costs a few thousand at most beside the least share.
        let taken = second(1_000_000);
        assert!((10_000..17_000).contains(&taken), "{taken}");
        let taken = second(1_000_000);
        assert!((9_500..10_500).contains(&taken), "{taken}");
        for accesses in [4_000, 30_000] {
            (0..2).for_each(|_| _ = second(accesses));
            for _ in 0..5 {
                let taken = second(accesses);
                assert!((280..=560).contains(&taken), "{taken} of {accesses}");
            }
        }
        second(20);
        assert_eq!(second(20), 20);
        // In no time shares only fall.
        sampler.adapt(now_ms + ADAPT_MS - 1);
        let mut taken = 0;
        sampler.pass(0, 2_000, |_, _| taken += 1);
        assert!((800..2_000).contains(&taken), "{taken}");
    }
}
