//! Windows of time in which sampled accesses are counted by key and database.

use std::sync::Arc;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::{add, counters_for};
use crate::primitives::space_saving::{SpaceSaving, heaviest};

/// What sketches count in: parts of an access, as what is sampled stands for a broken number of them.
const PARTS: f64 = 256.0;

/// A key that was used much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotKey {
    /// Its bytes.
    pub key: Box<[u8]>,
    /// Number of its database.
    pub database: usize,
    /// Accesses a second.
    pub per_second: u64,
}

/// The last window that was closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastWindow {
    /// The hottest keys, hottest first.
    pub keys: Vec<HotKey>,
    /// Accesses that were sampled.
    pub samples: u64,
    /// How long it was in milliseconds; 0 where there is none.
    pub duration_ms: u64,
}

/// What the windows are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape {
    /// Keys that are shown; 0 for no windows.
    top: usize,
    length_ms: u64,
}

/// What was counted in the open window.
#[derive(Debug)]
struct Open {
    /// Weights in parts of an access ([`PARTS`]).
    sketch: SpaceSaving,
    samples: u64,
}

impl Open {
    fn new(top: usize) -> Self {
        Self { sketch: SpaceSaving::new(counters_for(top)), samples: 0 }
    }
}

#[derive(Debug, Default)]
struct State {
    shape: Shape,
    began_ms: u64,
    last: Arc<LastWindow>,
}

/// The window that is open, and the last one that was closed.
#[derive(Debug)]
pub struct Windows {
    /// For each worker, and for all other threads together: the open window; `None` without windows.
    open: Box<[CachePadded<Mutex<Option<Open>>>]>,
    state: Mutex<State>,
}

impl Windows {
    /// None, for so many workers.
    pub fn new(workers: usize) -> Self {
        Self { open: (0..=workers).map(|_| CachePadded::default()).collect(), state: Mutex::default() }
    }

    /// Sets what the windows are like. A change drops the open one, which has other counters; the last one stays as
    /// long as there are windows.
    pub fn set(&self, top: usize, length_ms: u64, now_ms: u64) {
        let shape = Shape { top, length_ms: length_ms.max(1) };
        let mut state = self.state.lock();
        if state.shape == shape {
            return;
        }
        state.shape = shape;
        if top == 0 {
            state.last = Arc::default();
        }
        self.begin(&mut state, now_ms);
    }

    fn begin(&self, state: &mut State, now_ms: u64) {
        state.began_ms = now_ms;
        let top = state.shape.top;
        for open in &self.open {
            *open.lock() = (top > 0).then(|| Open::new(top));
        }
    }

    /// Whether there are windows.
    pub fn are_on(&self) -> bool {
        self.state.lock().shape.top > 0
    }

    /// Counts a sampled access, which stands for so many.
    pub fn note(&self, worker: usize, database: usize, key: &[u8], stands_for: f64) {
        if let Some(open) = &mut *self.open[worker.min(self.open.len() - 1)].lock() {
            let mut named = Vec::with_capacity(2 + key.len());
            named.extend_from_slice(&(database as u16).to_be_bytes());
            named.extend_from_slice(key);
            add(&mut open.sketch, &named, (stands_for * PARTS).round() as u64);
            open.samples += 1;
        }
    }

    /// Closes the open window if its time is over. One that is twice as long as it should be, or longer, is
    /// dropped: its rates would be those of another time.
    pub fn look(&self, now_ms: u64) {
        let mut state = self.state.lock();
        let Shape { top, length_ms } = state.shape;
        let duration_ms = now_ms.saturating_sub(state.began_ms);
        if top == 0 || duration_ms < length_ms {
            return;
        }
        let mut closed = Vec::with_capacity(self.open.len());
        for open in &self.open {
            closed.extend(open.lock().replace(Open::new(top)));
        }
        state.began_ms = now_ms;
        if duration_ms > 2 * length_ms {
            state.last = Arc::default();
            return;
        }
        let accesses = 1000.0 / (duration_ms as f64 * PARTS);
        let keys = heaviest(closed.iter().map(|open| &open.sketch), top).into_iter().filter_map(|heavy| {
            let (database, key) = heavy.key.split_first_chunk()?;
            // The true count is as likely above the middle of what is possible as below.
            let count = heavy.count as f64 - heavy.error as f64 / 2.0;
            Some(HotKey {
                key: key.into(),
                database: u16::from_be_bytes(*database).into(),
                per_second: (count * accesses).round() as u64,
            })
        });
        let mut keys: Vec<HotKey> = keys.collect();
        keys.sort_by_key(|hot| std::cmp::Reverse(hot.per_second));
        let samples = closed.iter().map(|open| open.samples).sum();
        state.last = Arc::new(LastWindow { keys, samples, duration_ms });
    }

    /// The last window that was closed.
    pub fn last(&self) -> Arc<LastWindow> {
        Arc::clone(&self.state.lock().last)
    }

    /// Forgets all that was counted.
    pub fn forget(&self, now_ms: u64) {
        let mut state = self.state.lock();
        state.last = Arc::default();
        self.begin(&mut state, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sampler;
    use super::*;

    fn hot(key: &str, database: usize, per_second: u64) -> HotKey {
        HotKey { key: key.as_bytes().into(), database, per_second }
    }

    #[test]
    fn a_window_is_shown_once_it_is_closed() {
        let windows = Windows::new(2);
        windows.note(0, 0, b"early", 10.0);
        windows.set(2, 1000, 5000);
        for (worker, database, key, times) in [(0, 0, "a", 3), (1, 0, "a", 4), (9, 3, "a", 2), (0, 0, "b", 1)]
        {
            (0..times).for_each(|_| windows.note(worker, database, key.as_bytes(), 10.0));
        }
        windows.look(5999);
        assert_eq!(*windows.last(), LastWindow::default());
        windows.look(6250);
        let expected = [hot("a", 0, 56), hot("a", 3, 16)];
        assert_eq!(*windows.last(), LastWindow { keys: expected.into(), samples: 10, duration_ms: 1250 });
        windows.note(0, 0, b"c", 10.0);
        // A change drops the open window and leaves the last one.
        windows.set(3, 1000, 6300);
        assert_eq!(windows.last().samples, 10);
        windows.look(7300);
        assert_eq!(*windows.last(), LastWindow { keys: Vec::new(), samples: 0, duration_ms: 1000 });
        windows.note(0, 0, b"d", 10.0);
        windows.look(9301);
        assert_eq!(*windows.last(), LastWindow::default(), "too long");
        windows.note(0, 0, b"e", 10.0);
        windows.forget(9500);
        windows.look(10_500);
        assert_eq!(windows.last().samples, 0);
        windows.set(0, 1000, 10_600);
        assert_eq!(*windows.last(), LastWindow::default());
        assert!(!windows.are_on());
    }

    /// Rates of traces of which all is known, sampled as a server's are, with few accesses a second, some and many:
    /// none is off by more than the bound of the sketches and five times what chance explains. Of few none is chance.
    #[test]
    fn rates_are_within_their_error() {
        fastrand::seed(11);
        let mut rng = fastrand::Rng::with_seed(11);
        for (keys, a_second) in [(10, 20), (5_000, 500), (100, 400), (10_000, 5_000), (10_000, 400_000)] {
            let (windows, sampler) = (Windows::new(4), Sampler::new(4));
            windows.set(16, 10_000, 0);
            sampler.set(Some(0.01));
            let mut exact = vec![0.0; keys + 1];
            let (mut total, mut samples, mut variance) = (0.0, 0, 0.0_f64);
            for second in 1..=10 {
                for _ in 0..a_second {
                    let key = (keys as f64).powf(rng.f64()) as u32;
                    let worker = rng.usize(..4);
                    exact[key as usize] += 0.1;
                    total += 0.1;
                    sampler.pass(worker, 1, |_, stands_for| {
                        windows.note(worker, 0, &key.to_be_bytes(), stands_for);
                        samples += 1;
                        variance = variance.max(stands_for - 1.0);
                    });
                }
                sampler.adapt(second * 1000);
            }
            windows.look(10_000);
            let last = windows.last();
            assert_eq!((last.samples, last.keys.len()), (samples, 16.min(keys - 1)));
            assert!(samples >= 10 * a_second.min(1_200), "{samples} of {a_second} a second");
            let bound = if keys > counters_for(16) { total / counters_for(16) as f64 } else { 0.0 };
            for hot in &last.keys {
                let key = u32::from_be_bytes((*hot.key).try_into().expect("four bytes"));
                let exact: f64 = exact[key as usize];
                let chance = 5.0 * (exact * variance / 10.0).sqrt();
                let off = (hot.per_second as f64 - exact).abs();
                assert!(off <= bound + chance + 1.0, "{a_second} a second, {key}: {off} of {exact}");
            }
            assert!((1..=8_u32).all(|key| last.keys.iter().any(|hot| *hot.key == key.to_be_bytes())));
        }
    }
}
