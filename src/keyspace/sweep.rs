//! Active expiry: removes keys, fields and members that are due, a bounded share at a time.

use super::Keyspace;
use super::change::{ChangeSink, EventClass};
use super::database::{Database, Ended, Holder};
use super::key_hash::HashedKey;
use super::reaper::FreeReason;
use super::record::{RecordBox, is_expired};
use super::table::{self, SlotTable};

/// What one pass of the sweeper did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Keys removed because their own expiry was due.
    pub expired: u64,
    /// Fields removed from hashes.
    pub expired_fields: u64,
    /// Members removed from sets.
    pub expired_members: u64,
    /// Longest time between an expiry and its removal, in milliseconds.
    pub lag_max_ms: u64,
    /// Whether something due was left when the share was used up.
    pub more: bool,
    /// Whether somebody was alone in the keyspace for longer than a moment, so that nothing was looked at.
    pub is_shut_out: bool,
    /// Where something due was left as somebody held its slot for longer than a moment: the first physical database and
    /// slot.
    pub held_up_at: Option<(u16, usize)>,
    /// How long it waited for locks that others had, in nanoseconds.
    pub waited_ns: u64,
}

impl Swept {
    /// Number of keys, fields and members removed.
    pub fn removed(&self) -> u64 {
        self.expired + self.expired_fields + self.expired_members
    }
}

/// Removes up to about `budget` keys, fields and members that ended at or before `now_ms` (milliseconds of Unix time),
/// and tells `changes` of each under its slot's lock. What others hold for longer than a moment is left for the next
/// pass. `clock_ns` is the monotonic clock, which is read where it waits.
pub fn expire_due(
    keyspace: &Keyspace,
    changes: &dyn ChangeSink,
    now_ms: u64,
    budget: u64,
    clock_ns: &dyn Fn() -> u64,
) -> Swept {
    let mut swept = Swept::default();
    let gate = keyspace.gate.try_shared(0).or_else(|| {
        // A script may be alone in the keyspace for seconds.
        timed(&mut swept, clock_ns, || keyspace.gate.shared_unless(0, || true))
    });
    let Some(gate) = gate else {
        swept.is_shut_out = true;
        return swept;
    };
    for (number, &physical) in gate.iter().enumerate() {
        let Some(database) = keyspace.physical_if_used(physical) else { continue };
        if database.expiry.next_ms() > now_ms {
            continue;
        }
        database.expiry.for_each_due(now_ms, |slot| {
            // A script may hold the slot for seconds: the slot is left for the next pass then.
            let table = database
                .try_write_slot(slot)
                .or_else(|| timed(&mut swept, clock_ns, || database.write_slot_unless(slot, || true)));
            let Some(mut table) = table else {
                swept.held_up_at.get_or_insert((physical, slot));
                return true;
            };
            while let left @ 1.. = budget.saturating_sub(swept.removed()) {
                let Some(ended) = database.pop_due(&mut table, slot, now_ms, left as usize) else {
                    return true;
                };
                let due_ms = match ended {
                    Ended::Key(record) => {
                        swept.expired += 1;
                        let due_ms = record.expire_at_ms().unwrap_or(now_ms);
                        note_expired(keyspace, number, &record, now_ms);
                        tell_and_free(keyspace, database, number, changes, record);
                        due_ms
                    }
                    Ended::Elements { holder, key, due_ms, elements, emptied } => {
                        let key = database.hasher().key(&key);
                        match holder {
                            Holder::Hash => {
                                swept.expired_fields += elements.len() as u64;
                                changes.fields_ended(number, &key, &elements);
                            }
                            Holder::Set => {
                                swept.expired_members += elements.len() as u64;
                                changes.members_ended(number, &key, &elements);
                            }
                        }
                        if let Some(record) = emptied {
                            changes.changed(number, &key, EventClass::GENERIC, "del");
                            keyspace.reaper.discard(record, FreeReason::Expired);
                        }
                        due_ms
                    }
                };
                swept.lag_max_ms = swept.lag_max_ms.max(now_ms.saturating_sub(due_ms));
            }
            database.expiry.publish(slot);
            swept.more = true;
            false
        });
    }
    swept
}

/// Runs `wait`, which waits for a lock, and adds how long that took.
#[cold]
fn timed<T>(swept: &mut Swept, clock_ns: &dyn Fn() -> u64, wait: impl FnOnce() -> T) -> T {
    let began_ns = clock_ns();
    let result = wait();
    swept.waited_ns += clock_ns().saturating_sub(began_ns);
    result
}

/// Removes `key` of the database with number `number` if it ended at or before `now_ms`, and tells `changes`
/// of it. `table` is the key's slot in `database`, locked exclusively. Whether the key was removed.
pub fn expire(
    keyspace: &Keyspace,
    database: &Database,
    table: &mut SlotTable,
    (number, key): (usize, &HashedKey<'_>),
    now_ms: u64,
    changes: &dyn ChangeSink,
) -> bool {
    let Some(at) = table::locate(table, key) else { return false };
    if !is_expired(table::at(table, at), now_ms) {
        return false;
    }
    let record = database.remove_at(table, key, at);
    note_expired(keyspace, number, &record, now_ms);
    tell_and_free(keyspace, database, number, changes, record);
    true
}

/// Notes that a key has expired, where expiries are counted by prefix.
fn note_expired(keyspace: &Keyspace, number: usize, record: &RecordBox, now_ms: u64) {
    if !keyspace.sizes.is_on() {
        return;
    }
    if let Some(stands_for) = keyspace.sizes.sampled_for(keyspace.hasher().hash(record.key())) {
        let expired = &keyspace.sizes.expired;
        expired.note(crate::worker::NONE, number, record.key(), stands_for as f64, now_ms);
    }
}

/// Tells `changes` that the key of a record expired, and frees the record, which was taken out of its table
/// before.
fn tell_and_free(
    keyspace: &Keyspace,
    database: &Database,
    number: usize,
    changes: &dyn ChangeSink,
    record: RecordBox,
) {
    let key = database.hasher().key(record.key());
    changes.removed(number, &key, keyspace.reaper.is_lazy(FreeReason::Expired));
    changes.changed(number, &key, EventClass::EXPIRED, "expired");
    keyspace.reaper.discard(record, FreeReason::Expired);
}

/// Removes a key that a read found expired, unless it has changed since. Takes the gate and the slot's lock.
/// Returns whether the key was removed.
pub fn expire_key(
    keyspace: &Keyspace,
    changes: &dyn ChangeSink,
    number: usize,
    key: &[u8],
    now_ms: u64,
) -> bool {
    // What is held for long is left to the sweeper: the key reads as absent until then.
    let gate = keyspace.gate.shared_unless(crate::worker::current(), || true);
    let Some(gate) = gate else { return false };
    let Some(database) = keyspace.physical_if_used(gate[number]) else { return false };
    let key = database.hasher().key(key);
    let Some(mut table) = database.write_slot_unless(key.slot(), || true) else { return false };
    expire(keyspace, database, &mut table, (number, &key), now_ms, changes)
}

/// Time of the next expiry, in milliseconds of Unix time; `u64::MAX` when nothing is volatile.
pub fn next_due_ms(keyspace: &Keyspace) -> u64 {
    keyspace.all_made().map(|database| database.expiry.next_ms()).min().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::keyspace::evict::tests::Told;
    use crate::keyspace::record::Record;

    #[test]
    fn waits_are_told_apart() {
        let keyspace = Keyspace::new(1, 1, 5);
        let clock_ns = Cell::new(0);
        let read = || {
            clock_ns.set(clock_ns.get() + 1000);
            clock_ns.get()
        };
        let told = Told::default();
        let sweep = || expire_due(&keyspace, &told, 100, 10, &read);
        assert_eq!(sweep(), Swept::default());
        assert_eq!(clock_ns.get(), 0, "the clock is read where it waits alone");
        let alone = keyspace.gate.exclusive(|| {});
        assert_eq!(sweep(), Swept { is_shut_out: true, waited_ns: 1000, ..Swept::default() });
        drop(alone);
        let database = keyspace.physical(0);
        let key = database.hasher().key(b"k");
        let mut slot = database.write_slot(key.slot());
        database.insert(&mut slot, &key, Record::new_string(key.bytes, b"v", Some(50), false));
        assert_eq!(
            sweep(),
            Swept { held_up_at: Some((0, key.slot())), waited_ns: 1000, ..Swept::default() },
            "its slot is left for the next pass"
        );
    }
}
