//! Walks through the keyspace for the sake of sizes: [`Fill`] in the background, when sizes are switched on and once
//! keys have gone and more of the others can be known, and [`Keyspace::measure_stale`] for whoever asks.

use std::sync::atomic::Ordering;

use super::Sizes;
use crate::keyspace::Keyspace;
use crate::keyspace::key_hash::{SLOT_COUNT, slot_of_hash};
use crate::keyspace::record::Record;
use crate::keyspace::table;

/// Work of one round: each slot is one unit, and each key some.
const UNITS: usize = SLOT_COUNT;
const UNITS_A_KEY: usize = 4;

/// Buckets of a slot that are looked at in one go under its lock. A slot has more where very many keys have one hash
/// tag.
const BUCKETS: usize = 1 << 10;

/// How often a slot of several goes is begun again as its table has become another one meanwhile, in which records
/// stand elsewhere. After that it grows so fast that a few of its keys may be missing until they change.
const AGAIN_MAX: u32 = 5;

/// Rounds of rest for each round of a walk: walks take a small share of one processor, also where the number of
/// keys goes up and down. Where few keys are left the rest is as short as a walk through them is.
const RESTS: usize = 4;

/// Rounds of rest after which it is looked whether few keys are left.
const LOOKS: usize = 16;

/// A walk that notes what a larger sample holds, a round at a time.
#[derive(Debug, Default)]
pub struct Fill {
    /// What comes next; `None` without a walk.
    next: Option<Place>,
    /// How many rounds the walk has taken.
    rounds: usize,
    /// Rounds of rest that are left.
    rest: usize,
}

/// How far a walk has come.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The physical database.
    database: u16,
    slot: usize,
    /// The bucket in the slot's table, and how many buckets that had.
    bucket: usize,
    buckets: usize,
    /// How often the slot has been begun again.
    again: u32,
}

impl Sizes {
    /// Has the next round begin a walk that has sizes known of all keys, of which none is known.
    fn begin_anew(&self, fill: &mut Fill) {
        self.forget_all();
        self.is_whole.store(false, Ordering::Relaxed);
        self.is_on.store(true, Ordering::Relaxed);
        *fill = Fill { next: Some(Place::default()), ..Fill::default() };
    }

    /// Keeps sizes no more.
    fn end(&self, fill: &mut Fill) {
        self.is_on.store(false, Ordering::Relaxed);
        self.is_whole.store(false, Ordering::Relaxed);
        *fill = Fill::default();
        self.forget_all();
    }

    pub(super) fn begin_fill(&self) {
        for (shard, shift) in self.shards.iter().zip(self.shifts.iter()) {
            let mut shard = shard.lock();
            shard.begin_fill();
            shift.store(shard.noted_shift() as u8, Ordering::Relaxed);
        }
    }

    pub(super) fn end_fill(&self) {
        self.shards.iter().for_each(|shard| shard.lock().end_fill());
        self.is_whole.store(true, Ordering::Relaxed);
    }
}

impl Keyspace {
    /// Switches the keeping of sizes on or off where that is wanted, begins a walk that fills the sample where it is
    /// thin, or goes on with it for a part of a millisecond. Waits for no lock, but to switch for three milliseconds.
    /// The sweeper's thread calls it every few milliseconds.
    pub fn fill_sizes(&self) {
        let sizes = &self.sizes;
        let is_wanted = sizes.is_wanted();
        if !sizes.is_on() && !is_wanted {
            return;
        }
        let Some(mut fill) = sizes.fill.try_lock() else { return };
        if sizes.is_on() != is_wanted {
            // Alone, so that nobody goes by what was before.
            let Some(_alone) = self.gate.exclusive_unless(|| true) else { return };
            if is_wanted {
                sizes.begin_anew(&mut fill)
            } else {
                sizes.end(&mut fill)
            }
            return;
        }
        if fill.rest > 0 {
            fill.rest -= 1;
            if fill.rest.is_multiple_of(LOOKS) && sizes.is_thin.load(Ordering::Relaxed) {
                fill.rest = fill.rest.min(RESTS * self.rounds_of_walk());
            }
            return;
        }
        let next = match fill.next {
            Some(next) => next,
            None => {
                if !sizes.is_thin.swap(false, Ordering::Relaxed)
                    || !sizes.shards.iter().any(|shard| shard.lock().is_thin())
                {
                    return;
                }
                sizes.begin_fill();
                fill.rounds = 0;
                Place::default()
            }
        };
        fill.rounds += 1;
        fill.next = self.fill_round(next);
        if fill.next.is_none() {
            sizes.end_fill();
            fill.rest = fill.rounds.saturating_mul(RESTS);
        }
    }

    /// How many rounds a walk through all keys takes.
    fn rounds_of_walk(&self) -> usize {
        let units = self.all_made().map(|database| SLOT_COUNT + UNITS_A_KEY * database.len());
        units.sum::<usize>().div_ceil(UNITS)
    }

    /// Goes on with a walk. Returns what comes next; `None` at its end.
    fn fill_round(&self, mut place: Place) -> Option<Place> {
        let Some(_gate) = self.gate.try_shared(0) else { return Some(place) };
        let mut left = UNITS;
        while usize::from(place.database) < self.databases.len() {
            let number = place.database;
            let Some(database) = self.physical_if_used(number).filter(|_| place.slot < SLOT_COUNT) else {
                place = Place { database: number + 1, ..Place::default() };
                continue;
            };
            let Some(table) = database.try_read_slot(place.slot) else { return Some(place) };
            let count = table.bucket_count();
            if place.bucket > 0 && count != place.buckets && place.again < AGAIN_MAX {
                (place.bucket, place.again) = (0, place.again + 1);
            }
            let end = count.min(place.bucket + BUCKETS);
            let mut keys = 0;
            for record in table::iter_buckets(&table, place.bucket..end) {
                self.note_size(number, record);
                keys += 1;
            }
            place = if end < count {
                Place { bucket: end, buckets: count, ..place }
            } else {
                Place { database: number, slot: place.slot + 1, ..Place::default() }
            };
            left = left.saturating_sub(1 + UNITS_A_KEY * keys);
            if left == 0 {
                return Some(place);
            }
        }
        None
    }

    fn note_size(&self, physical: u16, record: &Record) {
        let hash = self.hasher().hash(record.key());
        if self.sizes.wants(hash, record) {
            self.sizes.note(physical, hash, record);
        }
    }

    /// Measures the keys whose bytes were not measured at their last change. Waits for no lock: a key that is
    /// being changed meanwhile is known as it was measured before.
    pub fn measure_stale(&self) {
        for (physical, hash) in self.sizes.stale() {
            // Those who are alone in the keyspace let go of it for nobody.
            let Some(_gate) = self.gate.try_shared(0) else { return };
            self.measure_one(physical, hash);
        }
    }

    /// Measures a key of a slot that the caller has not locked.
    pub fn measure_one(&self, physical: u16, hash: u64) {
        if let Some(database) = self.physical_if_used(physical)
            && let Some(table) = database.try_read_slot(slot_of_hash(hash))
            && let Some(record) =
                table::find_where(&table, hash, |record| self.hasher().hash(record.key()) == hash)
        {
            self.sizes.measure_if_short(physical, hash, record);
        }
    }
}
