//! A snapshot: all data as they were at one instant, read while they go on changing, without a copy of them.
//!
//! [`Snapshot::begin`] is called while nobody else is in the keyspace; that is the instant. Then the caller
//! asks for one bounded piece after the other ([`Snapshot::next`]). The walk goes through the databases slot
//! by slot, within a slot in the order of the keys' fingerprints, and holds one slot's lock at a time. Its
//! place is the database's *position*.
//!
//! A change of a record that the walk has not passed first hands over the record as it was ([`handover`]) and
//! marks it. New records are marked too. The walk leaves marked records out and takes their marks away. So no
//! change waits for the snapshot, and each record of the instant is returned once: by the walk, or by whoever
//! changed it first.
//!
//! Large values are not copied: they are *frozen* ([`crate::types::packed::freeze`]), by the walk or by the
//! first change, and read in pieces from where they stand; a change copies the few members that it touches.
//! Where such a value is moved (RENAME, MOVE) or deleted meanwhile, the reading follows it. Sets, hashes,
//! sorted sets and lists are returned member by member; strings and streams as one record, which is put
//! together outside the locks.

pub mod handover;
mod walk;

use crate::keyspace::record::Record;

pub use handover::{Handover, Head, Kind};
pub(super) use walk::place_of;
pub use walk::{Failure, Snapshot};

/// Receives what a snapshot returns.
pub trait Sink {
    /// What follows is of the database with this number. Called before the first record of each, and again
    /// where the database changes. `keys` and `volatile` are how many keys it had at the instant.
    fn database(&mut self, number: usize, keys: usize, volatile: usize);

    /// A record with its whole value.
    fn record(&mut self, record: &Record);

    /// A large value: its members follow, and nothing else until there were as many as the head says.
    fn begin(&mut self, head: &Head);

    /// The next element of a list.
    fn element(&mut self, element: &[u8]);

    /// A member of a set, and when it ends, in milliseconds of Unix time.
    fn member(&mut self, member: &[u8], end_ms: Option<u64>);

    /// A member of a sorted set with its score.
    fn scored(&mut self, member: &[u8], score: f64);

    /// A field of a hash with its value, and when it ends, in milliseconds of Unix time.
    fn field(&mut self, field: &[u8], value: &[u8], end_ms: Option<u64>);
}
