//! The keyspace: databases of 16384 slots, the locks on them, expiry, and the walks over all keys.
//!
//! The only user of dashmap for keys. Commands reach keys through an [`access::Access`], which holds the
//! locks that the command's plan asked for.

pub(crate) mod access;
pub(crate) mod access_clock;
pub mod blessed;
pub(crate) mod change;
pub mod database;
pub(crate) mod evict;
pub(crate) mod expiry_index;
pub(crate) mod gate;
pub mod key_hash;
pub mod prefetch;
pub mod readers;
pub(crate) mod reaper;
pub mod record;
pub(crate) mod scan;
pub mod share;
pub mod sizes;
pub mod snapshot;
pub mod staged;
pub(crate) mod sweep;
pub mod table;
pub mod turns;
pub mod value;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use database::Database;
use gate::Gate;
use key_hash::KeyHasher;
use parking_lot::{RwLock, RwLockReadGuard};
use reaper::Reaper;
use sizes::Sizes;
use snapshot::Handover;
use table::SlotTable;
use turns::Turns;

/// Longest time that one try to make a database may hold up readers that hold its absence.
const TRY: Duration = Duration::from_millis(1);

/// One database, which may not be made yet.
#[derive(Debug, Default)]
struct Place {
    database: OnceLock<Database>,
    /// Held shared by commands that read while there is no database, exclusively while one is made. So what a
    /// command found missing, and what it entered for others to find (a client that waits, a tracked key),
    /// holds until the command has let go, as it does under a slot's lock.
    absence: RwLock<()>,
}

/// Guard that keeps a database from being made.
pub type Absence<'g> = RwLockReadGuard<'g, ()>;

/// A key and the number of its database, as SELECT counts.
pub type KeyId = (usize, Box<[u8]>);

/// All databases of a server.
#[derive(Debug)]
pub struct Keyspace {
    /// Those that SELECT's numbers mean, and as many to load others into (`staged.rs`).
    databases: Box<[Place]>,
    hasher: KeyHasher,
    /// An empty table: what reads find in every slot of a database that was not made.
    nothing: SlotTable,
    /// The reader lock that batches of commands pass; see [`gate`].
    pub gate: Gate,
    /// Those that have waited in vain for locks which others hold for long.
    pub turns: Turns,
    /// The thread that frees big values.
    pub reaper: Reaper,
    /// What a snapshot that runs is given by those who change data.
    pub handover: Arc<Handover>,
    /// Sizes of a sample of all keys, and of the big ones.
    pub sizes: Arc<Sizes>,
}

impl Keyspace {
    /// An empty keyspace. `workers` is how many threads run commands; `seed` makes the hashes unpredictable.
    pub fn new(databases: usize, workers: usize, seed: u64) -> Self {
        let handover = Arc::<Handover>::default();
        let keyspace = Self {
            databases: (0..2 * databases).map(|_| Place::default()).collect(),
            hasher: KeyHasher::with_seed(seed),
            nothing: SlotTable::new(),
            gate: Gate::new(workers, databases),
            turns: Turns::default(),
            reaper: Reaper::for_keyspace(Arc::clone(&handover)),
            handover,
            sizes: Arc::default(),
        };
        // Database 0 is made at once, before the first client waits for it.
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
        self.databases.len() / 2
    }

    /// All physical databases that were made, also those that no number means.
    pub fn all_made(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter().filter_map(|place| place.database.get())
    }

    /// The numbers of the physical databases that were made.
    pub fn numbers_made(&self) -> impl Iterator<Item = u16> {
        (0..self.databases.len() as u16).filter(|index| self.physical_if_used(*index).is_some())
    }

    /// Returns a physical database and makes it if need be: database 0 exists from the start, others from the
    /// first write to them, as each takes about five megabytes for its slots. Waits for guards of its
    /// [`Absence`].
    pub fn physical(&self, index: u16) -> &Database {
        let place = &self.databases[usize::from(index)];
        if let Some(database) = place.database.get() {
            return database;
        }
        let _alone = place.absence.write();
        place.database.get_or_init(|| self.new_database(index))
    }

    fn new_database(&self, index: u16) -> Database {
        let (handover, sizes) = (Arc::clone(&self.handover), Arc::clone(&self.sizes));
        Database::of_keyspace(self.hasher.clone(), index, handover, sizes)
    }

    /// A physical database if it was made.
    #[inline]
    pub fn physical_if_used(&self, index: u16) -> Option<&Database> {
        self.databases[usize::from(index)].database.get()
    }

    /// [`physical`](Self::physical), or `None` where guards of its [`Absence`] are held for longer than a
    /// millisecond.
    pub fn try_make(&self, index: u16) -> Option<&Database> {
        let place = &self.databases[usize::from(index)];
        let _alone = place.absence.try_write_for(TRY)?;
        Some(place.database.get_or_init(|| self.new_database(index)))
    }

    /// Guards a database's absence. `None` if it was made or is being made.
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
