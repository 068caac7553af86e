//! The keyspace: databases of 16384 slots, the locks on them, expiry, and the walks over all keys.
//!
//! The only user of dashmap for keys. Commands reach keys through an [`access::Access`], which holds the locks that
//! the command's plan asked for.

pub mod access;
pub mod database;
pub mod evict;
pub mod expiry;
pub mod gate;
pub mod hash;
pub mod prefetch;
pub mod reaper;
pub mod record;
pub mod scan;
pub mod sweep;
pub mod table;
pub mod undo;
pub mod value;

use std::sync::OnceLock;

use database::Database;
use gate::Gate;
use hash::KeyHasher;
use reaper::Reaper;

/// A key by the number of its database.
pub type KeyId = (usize, Box<[u8]>);

/// All databases of a server.
#[derive(Debug)]
pub struct Keyspace {
    databases: Box<[OnceLock<Database>]>,
    hasher: KeyHasher,
    /// Who may enter, see [`gate`].
    pub gate: Gate,
    /// Where big values go to be freed.
    pub reaper: Reaper,
}

impl Keyspace {
    /// An empty keyspace. `workers` is how many threads run commands; `seed` makes the hashes unpredictable.
    pub fn new(databases: usize, workers: usize, seed: u64) -> Self {
        let keyspace = Self {
            databases: (0..databases).map(|_| OnceLock::new()).collect(),
            hasher: KeyHasher::with_seed(seed),
            gate: Gate::new(workers, databases),
            reaper: Reaper::start(),
        };
        // The one everybody uses is there before the first client waits for it.
        if databases > 0 {
            keyspace.physical(0);
        }
        keyspace
    }

    /// How keys are hashed.
    #[inline]
    pub fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// How many databases there are (directive `databases`).
    pub fn database_count(&self) -> usize {
        self.databases.len()
    }

    /// A physical database, the first made at the start and others when first used: each takes about five megabytes for its slots.
    #[inline]
    pub fn physical(&self, index: u16) -> &Database {
        self.databases[usize::from(index)].get_or_init(|| Database::new(self.hasher.clone()))
    }

    /// A physical database if it was ever used.
    pub fn physical_if_used(&self, index: u16) -> Option<&Database> {
        self.databases[usize::from(index)].get()
    }
}
