//! The keyspace: databases of 16384 slots, the locks on them, expiry, and the walks over all keys.
//!
//! The only user of dashmap for keys. Commands reach keys through an [`access::Access`], which holds the locks that
//! the command's plan asked for.

pub mod access;
pub mod access_clock;
pub mod change;
pub mod database;
pub mod evict;
pub mod expiry;
pub mod gate;
pub mod key_hash;
pub mod prefetch;
pub mod reaper;
pub mod record;
pub mod scan;
pub mod sweep;
pub mod table;
pub mod value;

use std::sync::OnceLock;
use std::time::Duration;

use database::Database;
use gate::Gate;
use key_hash::KeyHasher;
use parking_lot::{RwLock, RwLockReadGuard};
use reaper::Reaper;
use table::SlotTable;

/// How long one try to make a database may keep others from reading that there is none.
const TRY: Duration = Duration::from_millis(1);

/// Where a database is, or will be.
#[derive(Debug, Default)]
struct Place {
    database: OnceLock<Database>,
    /// Held shared by those who read that there is no database, exclusively by who makes it. So what a command finds, and enters for
    /// others to find (a client that waits, a key that is tracked), holds until it has let go, as under a slot's lock.
    absence: RwLock<()>,
}

/// As long as it is held the database is not made.
pub type Absence<'g> = RwLockReadGuard<'g, ()>;

/// A key by the number of its database.
pub type KeyId = (usize, Box<[u8]>);

/// All databases of a server.
#[derive(Debug)]
pub struct Keyspace {
    databases: Box<[Place]>,
    hasher: KeyHasher,
    /// What is found in every slot of a database that was not made yet.
    nothing: SlotTable,
    /// Who may enter, see [`gate`].
    pub gate: Gate,
    /// Where big values go to be freed.
    pub reaper: Reaper,
}

impl Keyspace {
    /// An empty keyspace. `workers` is how many threads run commands; `seed` makes the hashes unpredictable.
    pub fn new(databases: usize, workers: usize, seed: u64) -> Self {
        let keyspace = Self {
            databases: (0..databases).map(|_| Place::default()).collect(),
            hasher: KeyHasher::with_seed(seed),
            nothing: SlotTable::new(),
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

    /// A physical database, the first made at the start and others when something is first written to them: each takes about five
    /// megabytes for its slots. Waits for those who read that it is not there.
    pub fn physical(&self, index: u16) -> &Database {
        let place = &self.databases[usize::from(index)];
        if let Some(database) = place.database.get() {
            return database;
        }
        let _alone = place.absence.write();
        place.database.get_or_init(|| Database::new(self.hasher.clone()))
    }

    /// A physical database if it was made.
    #[inline]
    pub fn physical_if_used(&self, index: u16) -> Option<&Database> {
        self.databases[usize::from(index)].database.get()
    }

    /// [`physical`](Self::physical), if that does not mean to wait for long.
    pub fn try_make(&self, index: u16) -> Option<&Database> {
        let place = &self.databases[usize::from(index)];
        let _alone = place.absence.try_write_for(TRY)?;
        Some(place.database.get_or_init(|| Database::new(self.hasher.clone())))
    }

    /// Holds a database's absence, if it was not made and is not being made.
    pub fn try_absence(&self, index: u16) -> Option<Absence<'_>> {
        let place = &self.databases[usize::from(index)];
        let absence = place.absence.try_read()?;
        place.database.get().is_none().then_some(absence)
    }

    /// The table of every slot of a database that was not made.
    pub fn nothing(&self) -> &SlotTable {
        &self.nothing
    }
}
