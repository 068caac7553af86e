//! [`Watches`]: the keys that clients WATCH, and the [`Tripwire`] by which a change aborts their next EXEC.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::keyspace::KeyId;

/// Set when a key that a client watches has changed: its next EXEC then does nothing.
#[derive(Debug, Default)]
pub struct Tripwire(AtomicBool);

impl Tripwire {
    /// Returns whether a watched key has changed.
    pub fn is_tripped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn trip(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Watched keys of all clients. Keys are added, and changes reported, under the key's slot lock, so no change
/// is missed. Where something slow has that lock keys are added without it: what changes then was not finished when
/// WATCH was answered, so it may count or not.
#[derive(Debug, Default)]
pub struct Watches {
    /// Tripwires of each key, by their addresses: a key may be watched by very many clients, and each is
    /// removed by itself.
    keys: DashMap<KeyId, HashMap<usize, Arc<Tripwire>, foldhash::fast::RandomState>>,
    /// Keys watched, each once for each client: with none a change costs one load.
    count: AtomicUsize,
}

impl Watches {
    /// Returns whether no key is watched; one relaxed load.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// How many different keys are watched.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Adds a key that this client does not watch yet.
    pub fn add(&self, key: KeyId, wire: &Arc<Tripwire>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.keys.entry(key).or_default().insert(address(wire), Arc::clone(wire));
    }

    /// Takes away a key that the client watches.
    pub fn remove(&self, key: &KeyId, wire: &Arc<Tripwire>) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        if let Some(mut wires) = self.keys.get_mut(key) {
            wires.remove(&address(wire));
        }
        self.keys.remove_if(key, |_, wires| wires.is_empty());
    }

    /// Trips the tripwires of all clients that watch `key`.
    pub fn touch(&self, key: &KeyId) {
        if let Some(wires) = self.keys.get(key) {
            wires.values().for_each(|wire| wire.trip());
        }
    }

    /// The watched keys of a database.
    pub fn of_database(&self, database: usize) -> Vec<Box<[u8]>> {
        if self.is_empty() {
            return Vec::new();
        }
        let of_it = self.keys.iter().filter(|entry| entry.key().0 == database);
        of_it.map(|entry| entry.key().1.clone()).collect()
    }
}

/// Address of a tripwire, which tells it apart from others.
fn address(wire: &Arc<Tripwire>) -> usize {
    Arc::as_ptr(wire).addr()
}
