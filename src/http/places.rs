//! [`Places`]: the connections that are open. There are few, so that a crowd that opens connections and says
//! nothing costs little, and so that a scrape gets through it: the one that has waited longest for its request
//! makes room for the next.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::shared::http::HttpCounts;

/// Most connections at once.
pub(super) const PLACES_MAX: usize = 32;

/// How long a connection may take until its request's head is there, in milliseconds.
const REQUEST_MAX_MS: u64 = 10_000;

/// How long it may take from there until the client has the whole answer, in milliseconds.
const ANSWER_MAX_MS: u64 = 30_000;

/// Instead of a time, where none runs.
const NOT_TIMED: u64 = u64::MAX;

/// How long a command of the console may take, in milliseconds.
const COMMAND_MAX_MS: u64 = 10_000;

/// All places. The few that are taken are looked at one by one.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Vec<Arc<Place>>>);

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its request's head is waited for.
    Waits,
    /// It is being answered.
    Answers,
    /// All of the answer was sent; its client is to close.
    Answered,
}

/// A connection's place.
#[derive(Debug)]
pub(super) struct Place {
    /// How far it is, and since when its request has been waited for or been answered; [`NOT_TIMED`] while
    /// there is nothing to send.
    state: Mutex<(Phase, u64)>,
    /// Tells the connection to end.
    pub cut: CancellationToken,
    /// Tells that its command has had the time that it may have.
    pub late: CancellationToken,
}

impl Place {
    /// The request's head is there.
    pub fn answers(&self, now_ms: u64) {
        *self.state.lock() = (Phase::Answers, now_ms);
    }

    /// Its client has its answer or can read it: whether it closes is no reason to keep others out.
    pub fn has_answered(&self, now_ms: u64) {
        let mut state = self.state.lock();
        *state = (Phase::Answered, state.1.min(now_ms));
    }

    /// There is nothing to send at present: its client need not read anything.
    pub fn has_sent_all(&self) {
        *self.state.lock() = (Phase::Answers, NOT_TIMED);
    }

    /// Since when its request has been waited for; `None` where it is being answered.
    fn waits_since_ms(&self) -> Option<u64> {
        let (phase, since_ms) = *self.state.lock();
        (phase != Phase::Answers).then_some(since_ms)
    }

    /// Whether it has taken too long; tells its command where that has.
    fn is_too_slow(&self, now_ms: u64) -> bool {
        let (phase, since_ms) = *self.state.lock();
        if phase == Phase::Answers && now_ms.saturating_sub(since_ms) >= COMMAND_MAX_MS {
            self.late.cancel();
        }
        now_ms.saturating_sub(since_ms) >= if phase == Phase::Waits { REQUEST_MAX_MS } else { ANSWER_MAX_MS }
    }
}

impl Places {
    /// Takes a place for a new connection. Where none is free, the connection that has waited longest for its
    /// request loses its own; `None` where all are being answered.
    pub fn take(&self, now_ms: u64, counts: &HttpCounts) -> Option<Arc<Place>> {
        let mut places = self.0.lock();
        if places.len() >= PLACES_MAX {
            let waiting = places.iter().enumerate();
            let waiting = waiting.filter_map(|(at, place)| Some((place.waits_since_ms()?, at)));
            let Some((_, oldest)) = waiting.min() else {
                counts.rejected.fetch_add(1, Relaxed);
                return None;
            };
            places.remove(oldest).cut.cancel();
            counts.displaced.fetch_add(1, Relaxed);
        }
        let place = Arc::new(Place {
            state: Mutex::new((Phase::Waits, now_ms)),
            cut: CancellationToken::new(),
            late: CancellationToken::new(),
        });
        places.push(Arc::clone(&place));
        counts.accepted.fetch_add(1, Relaxed);
        counts.open.store(places.len() as u64, Relaxed);
        Some(place)
    }

    /// The connection has ended.
    pub fn leave(&self, place: &Arc<Place>, counts: &HttpCounts) {
        let mut places = self.0.lock();
        places.retain(|other| !Arc::ptr_eq(other, place));
        counts.open.store(places.len() as u64, Relaxed);
    }

    /// Ends connections that have taken too long.
    pub fn cut_slow(&self, now_ms: u64, counts: &HttpCounts) {
        let mut places = self.0.lock();
        for place in places.extract_if(.., |place| place.is_too_slow(now_ms)) {
            place.cut.cancel();
            counts.timed_out.fetch_add(1, Relaxed);
        }
        counts.open.store(places.len() as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_longest_makes_room() {
        let (places, counts) = (Places::default(), HttpCounts::default());
        let all: Vec<_> =
            (0..PLACES_MAX as u64).map(|at_ms| places.take(at_ms, &counts).expect("room")).collect();
        all[0].answers(40);
        let new = places.take(50, &counts).expect("room that was made");
        assert!(!all[0].cut.is_cancelled() && all[1].cut.is_cancelled() && !all[2].cut.is_cancelled());
        // One that was displaced leaves a second time.
        places.leave(&all[1], &counts);
        new.answers(51);
        all[2..].iter().for_each(|place| place.answers(51));
        assert!(places.take(60, &counts).is_none());
        let of = |count: &std::sync::atomic::AtomicU64| count.load(Relaxed);
        assert_eq!(
            (of(&counts.open), of(&counts.displaced), of(&counts.rejected)),
            (PLACES_MAX as u64, 1, 1)
        );
        places.cut_slow(40 + ANSWER_MAX_MS, &counts);
        assert!(all[0].cut.is_cancelled() && !new.cut.is_cancelled());
        assert_eq!((of(&counts.open), of(&counts.timed_out)), (PLACES_MAX as u64 - 1, 1));
        let waits = places.take(100, &counts).expect("room");
        places.cut_slow(99 + REQUEST_MAX_MS, &counts);
        assert!(!waits.cut.is_cancelled());
        places.cut_slow(100 + REQUEST_MAX_MS, &counts);
        assert!(waits.cut.is_cancelled());
    }
}
