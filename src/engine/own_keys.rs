//! [`OwnKeys`]: keys with a time to live that clients of a writable replica have written. The primary knows
//! nothing of them, so the replica ends them itself.

use std::collections::{BTreeSet, HashMap};

use super::Server;
use super::context::Context;
use crate::command::keys::for_each_key;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::keyspace::KeyId;
use crate::keyspace::record::Record;
use crate::keyspace::sweep;
use crate::shared::stats::Counter;

/// Most keys that are ended in one pass.
const BUDGET: usize = 256;

/// The keys, by when they are due, in milliseconds of Unix time.
#[derive(Debug, Default)]
pub struct OwnKeys {
    due: HashMap<KeyId, u64, foldhash::fast::RandomState>,
    order: BTreeSet<(u64, KeyId)>,
}

impl OwnKeys {
    fn remember(&mut self, key: KeyId, due_ms: u64) {
        if let Some(before_ms) = self.due.insert(key.clone(), due_ms) {
            self.order.remove(&(before_ms, key.clone()));
        }
        self.order.insert((due_ms, key));
    }

    /// Takes the first key if it is due.
    fn pop_due(&mut self, now_ms: u64) -> Option<KeyId> {
        self.order.first().filter(|(due_ms, _)| *due_ms <= now_ms)?;
        let (_, key) = self.order.pop_first()?;
        self.due.remove(&key);
        Some(key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.due.len()
    }
}

impl Context<'_> {
    /// Remembers the keys that a command has written which end some time, where this is a writable replica
    /// and the client is not the primary. The command's locks are held.
    #[inline]
    pub(super) fn note_own_keys(&self, entry: &Entry, arguments: &[&[u8]]) {
        let following = &self.server.following;
        if following.is_replica() && entry.spec.flags.has(Flags::WRITE) && !self.client.is_loader {
            self.remember_own_keys(entry, arguments);
        }
    }

    #[cold]
    fn remember_own_keys(&self, entry: &Entry, arguments: &[&[u8]]) {
        for_each_key(&entry.spec, arguments, |position| {
            let name = arguments[position.argument];
            let key = self.keys.keyspace.hasher().key(name);
            if let Some(due_ms) = self.keys.peek_even_ended(&key).and_then(Record::expire_at_ms) {
                let id = (self.keys.database, Box::from(name));
                self.server.following.own_keys.lock().remember(id, due_ms);
            }
        });
    }
}

impl Server {
    /// Removes the keys of a writable replica's own clients that are due. Returns how many.
    pub(super) fn expire_own_keys(&self, now_ms: u64) -> u64 {
        let due: Vec<KeyId> = {
            let mut own = self.following.own_keys.lock();
            std::iter::from_fn(|| own.pop_due(now_ms)).take(BUDGET).collect()
        };
        if due.is_empty() {
            return 0;
        }
        let mut batch = self.new_batch();
        let ended = |(database, key): &KeyId| {
            sweep::expire_key(&self.keyspace, &batch.changes, *database, key, now_ms)
        };
        let count = due.iter().filter(|key| ended(key)).count() as u64;
        if batch.changes.any_ready() {
            self.serve_waiting(&mut batch);
            self.account_batch(&mut batch);
        }
        self.stats.add(crate::worker::NONE, Counter::ExpiredKeys, count);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_when_they_are_due_and_once() {
        let mut own = OwnKeys::default();
        let key = |name: &str| (0, Box::from(name.as_bytes()));
        own.remember(key("a"), 100);
        own.remember(key("b"), 50);
        own.remember(key("a"), 70);
        assert_eq!(own.len(), 2);
        assert_eq!(own.pop_due(49), None);
        assert_eq!(own.pop_due(50), Some(key("b")));
        assert_eq!(own.pop_due(69), None);
        assert_eq!((own.pop_due(1000), own.pop_due(1000)), (Some(key("a")), None));
        assert_eq!((own.len(), own.order.len()), (0, 0));
    }
}
