//! [`Clients`]: the connected clients, and the places that `maxclients` allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::client::SharedClient;

/// Bytes of replies below which a client is not counted among those for which many wait.
const UNREAD_MIN: usize = 64 << 10;

/// The connected clients by id.
#[derive(Debug, Default)]
pub struct Clients {
    by_id: RwLock<BTreeMap<u64, Arc<SharedClient>>>,
    last_id: AtomicU64,
    count: AtomicUsize,
    /// Bytes of replies that clients have not read, of those where that is much.
    unread: AtomicUsize,
    /// How many of these there may be before each client may have only few.
    pub unread_max: AtomicUsize,
    /// Time of the last look at all clients (idle ones, soft limits), in milliseconds of Unix time.
    pub looked_ms: AtomicU64,
}

impl Clients {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the id of the next client. Ids only grow.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes that so many bytes of replies now wait for a client.
    #[inline]
    pub fn note_unread(&self, client: &SharedClient, bytes: usize) {
        let bytes = if bytes < UNREAD_MIN { 0 } else { bytes };
        let before = client.unread.load(Ordering::Relaxed);
        if bytes != before {
            client.unread.store(bytes, Ordering::Relaxed);
            self.unread.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Whether so many bytes of replies wait that each client may have only few.
    #[inline]
    pub fn has_too_many_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed) >= self.unread_max.load(Ordering::Relaxed)
    }

    /// Takes a place for a client. Returns false where `max` clients are connected.
    pub fn take_place(&self, max: usize) -> bool {
        self.count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1))
            .is_ok()
    }

    /// Adds a client whose place was taken.
    pub fn add(&self, client: Arc<SharedClient>) {
        self.by_id.write().insert(client.id, client);
    }

    /// Removes a client and gives its place free.
    pub fn remove(&self, id: u64) {
        self.remove_without_place(id);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Removes a client that was added without a place.
    pub fn remove_without_place(&self, id: u64) {
        if let Some(client) = self.by_id.write().remove(&id) {
            self.note_unread(&client, 0);
        }
    }

    /// Number of connected clients.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The client with this id.
    pub fn by_id(&self, id: u64) -> Option<Arc<SharedClient>> {
        self.by_id.read().get(&id).cloned()
    }

    /// All clients in the order in which they came.
    pub fn all(&self) -> Vec<Arc<SharedClient>> {
        self.by_id.read().values().cloned().collect()
    }
}
