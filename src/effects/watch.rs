//! WATCH: the keys that clients watch, and what tells their transactions of a change.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::keyspace::KeyId;

/// Set when a key that a client watches has changed: its next EXEC then does nothing.
#[derive(Debug, Default)]
pub struct Tripwire(AtomicBool);

impl Tripwire {
    /// Whether a watched key has changed.
    pub fn is_tripped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn trip(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The watched keys of all clients. A key is added under its slot's lock, and so are its changes told: none
/// is missed.
#[derive(Debug, Default)]
pub struct Watches {
    /// By the addresses of the tripwires: a key may be watched by very many, and each leaves by itself.
    keys: DashMap<KeyId, HashMap<usize, Arc<Tripwire>, foldhash::fast::RandomState>>,
    /// Keys watched, each once for each client: with none a change costs one load.
    count: AtomicUsize,
}

impl Watches {
    /// Whether no key is watched.
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

    /// Tells all who watch this key that it has changed.
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

/// What a tripwire is told apart by.
fn address(wire: &Arc<Tripwire>) -> usize {
    Arc::as_ptr(wire).addr()
}
