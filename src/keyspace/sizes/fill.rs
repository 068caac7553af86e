//! Walks through the keyspace for the sake of sizes: [`Fill`] in the background, once keys have gone and more of
//! the others can be known, and [`Keyspace::measure_stale`] for whoever asks.

use std::sync::atomic::Ordering;

use super::Sizes;
use crate::keyspace::Keyspace;
use crate::keyspace::key_hash::{SLOT_COUNT, slot_of_hash};
use crate::keyspace::record::Record;
use crate::keyspace::table;

/// Work of one round: each slot is one unit, and each key some.
const UNITS: usize = SLOT_COUNT;
const UNITS_A_KEY: usize = 4;

/// Keys of a slot that are looked at under its lock. Where one has more (very many keys under one hash tag),
/// a sample stays as thin as it is.
const SLOT_MAX: usize = 1 << 14;

/// Rounds of rest for each round of a walk: walks take a small share of one processor, also where the number of
/// keys goes up and down. Where few keys are left the rest is as short as a walk through them is.
const RESTS: usize = 4;

/// Rounds of rest after which it is looked whether few keys are left.
const LOOKS: usize = 16;

/// A walk that notes what a larger sample holds, a round at a time.
#[derive(Debug, Default)]
pub struct Fill {
    /// The physical database and slot that come next; `None` without a walk.
    next: Option<(u16, usize)>,
    /// How many rounds the walk has taken.
    rounds: usize,
    /// Rounds of rest that are left.
    rest: usize,
}

/// What became of a round.
enum Round {
    Goes(u16, usize),
    Done,
    Abandoned,
}

impl Sizes {
    pub(super) fn begin_fill(&self) {
        for (shard, shift) in self.shards.iter().zip(self.shifts.iter()) {
            let mut shard = shard.lock();
            shard.begin_fill();
            shift.store(shard.noted_shift() as u8, Ordering::Relaxed);
        }
    }

    pub(super) fn end_fill(&self, is_whole: bool) {
        for (shard, shift) in self.shards.iter().zip(self.shifts.iter()) {
            let mut shard = shard.lock();
            if !is_whole {
                shard.abandon_fill();
                shift.store(shard.noted_shift() as u8, Ordering::Relaxed);
            }
            shard.end_fill();
        }
    }
}

impl Keyspace {
    /// Begins a walk that fills the sample of sizes where it is thin, or goes on with it for a part of a
    /// millisecond. Waits for no lock. The sweeper's thread calls it every few milliseconds.
    pub fn fill_sizes(&self) {
        let sizes = &self.sizes;
        if !sizes.is_on() {
            return;
        }
        let Some(mut fill) = sizes.fill.try_lock() else { return };
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
                (0, 0)
            }
        };
        fill.rounds += 1;
        fill.next = match self.fill_round(next) {
            Round::Goes(database, slot) => Some((database, slot)),
            ends => {
                sizes.end_fill(matches!(ends, Round::Done));
                fill.rest = fill.rounds.saturating_mul(RESTS);
                None
            }
        };
    }

    /// How many rounds a walk through all keys takes.
    fn rounds_of_walk(&self) -> usize {
        let units = self.all_made().map(|database| SLOT_COUNT + UNITS_A_KEY * database.len());
        units.sum::<usize>().div_ceil(UNITS)
    }

    fn fill_round(&self, (mut number, mut slot): (u16, usize)) -> Round {
        let Some(_gate) = self.gate.try_shared(0) else { return Round::Goes(number, slot) };
        let mut left = UNITS;
        while usize::from(number) < self.databases.len() {
            let Some(database) = self.physical_if_used(number) else {
                (number, slot) = (number + 1, 0);
                continue;
            };
            while slot < SLOT_COUNT {
                let Some(table) = database.try_read_slot(slot) else { return Round::Goes(number, slot) };
                if table.len() > SLOT_MAX {
                    return Round::Abandoned;
                }
                for record in table::iter(&table) {
                    self.note_size(number, record);
                }
                slot += 1;
                left = left.saturating_sub(1 + UNITS_A_KEY * table.len());
                if left == 0 {
                    return Round::Goes(number, slot);
                }
            }
            (number, slot) = (number + 1, 0);
        }
        Round::Done
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
