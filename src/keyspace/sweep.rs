//! Active expiry: takes out what is due, a bounded share at a time.

use super::Keyspace;
use super::access::{ChangeSink, EventClass, is_expired};
use super::hash::HashedKey;
use super::table;

/// What one pass of the sweeper did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Keys removed.
    pub expired: u64,
    /// How late the latest of them was, in milliseconds.
    pub lag_max_ms: u64,
    /// Whether more was due when the share was used up.
    pub more: bool,
}

/// Removes up to about `budget` keys that ended at or before `now_ms` and tells `changes` of each, under its slot's lock.
pub fn expire_due(keyspace: &Keyspace, changes: &dyn ChangeSink, now_ms: u64, budget: u64) -> Swept {
    let mut swept = Swept::default();
    let gate = keyspace.gate.shared(0);
    for (number, &physical) in gate.iter().enumerate() {
        let Some(database) = keyspace.physical_if_used(physical) else { continue };
        if database.expiry.next_ms() > now_ms {
            continue;
        }
        database.expiry.for_each_due(now_ms, |slot| {
            let mut table = database.write_slot(slot);
            while swept.expired < budget {
                let Some(record) = database.pop_expired(&mut table, slot, now_ms) else { return true };
                swept.expired += 1;
                let due_ms = record.expire_at_ms().unwrap_or(now_ms);
                swept.lag_max_ms = swept.lag_max_ms.max(now_ms.saturating_sub(due_ms));
                let key = HashedKey { bytes: record.key(), hash: database.hasher().hash(record.key()) };
                changes.changed(number, &key, EventClass::EXPIRED, "expired");
                keyspace.reaper.discard(record);
            }
            database.expiry.publish(slot);
            swept.more = true;
            false
        });
    }
    swept
}

/// Removes a key that a read found ended, unless that has changed since. Whether it was removed.
pub fn expire_key(
    keyspace: &Keyspace,
    changes: &dyn ChangeSink,
    number: usize,
    key: &[u8],
    now_ms: u64,
) -> bool {
    let gate = keyspace.gate.shared(crate::worker::current());
    let database = keyspace.physical(gate[number]);
    let key = database.hasher().key(key);
    let mut table = database.write_slot(key.slot());
    if !table::find(&table, &key).is_some_and(|record| is_expired(record, now_ms)) {
        return false;
    }
    let Some(record) = database.remove(&mut table, &key) else { return false };
    changes.changed(number, &key, EventClass::EXPIRED, "expired");
    keyspace.reaper.discard(record);
    true
}

/// When the next key ends, in milliseconds of Unix time; `u64::MAX` when none does.
pub fn next_due_ms(keyspace: &Keyspace) -> u64 {
    (0..keyspace.database_count())
        .filter_map(|index| keyspace.physical_if_used(index as u16))
        .map(|database| database.expiry.next_ms())
        .min()
        .unwrap_or(u64::MAX)
}
