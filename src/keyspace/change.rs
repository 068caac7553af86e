//! How the keyspace tells of changes: the class of an event, and the trait of the room that hears of it.

use super::key_hash::HashedKey;
use crate::config::KeyspaceEvents;

/// The class of a keyspace event: a bit of the directive `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventClass(pub KeyspaceEvents);

impl EventClass {
    /// `g`: commands for any type.
    pub const GENERIC: EventClass = EventClass(KeyspaceEvents::GENERIC);
    /// `$`: strings.
    pub const STRING: EventClass = EventClass(KeyspaceEvents::STRING);
    /// `l`: lists.
    pub const LIST: EventClass = EventClass(KeyspaceEvents::LIST);
    /// `s`: sets.
    pub const SET: EventClass = EventClass(KeyspaceEvents::SET);
    /// `h`: hashes.
    pub const HASH: EventClass = EventClass(KeyspaceEvents::HASH);
    /// `z`: sorted sets.
    pub const ZSET: EventClass = EventClass(KeyspaceEvents::ZSET);
    /// `x`: a key expired.
    pub const EXPIRED: EventClass = EventClass(KeyspaceEvents::EXPIRED);
    /// `e`: a key was evicted.
    pub const EVICTED: EventClass = EventClass(KeyspaceEvents::EVICTED);
    /// `t`: streams.
    pub const STREAM: EventClass = EventClass(KeyspaceEvents::STREAM);
    /// `m`: a key that was asked for is not there.
    pub const KEY_MISS: EventClass = EventClass(KeyspaceEvents::MISS);
    /// `o`: a value that took the place of another one.
    pub const OVERWRITTEN: EventClass = EventClass(KeyspaceEvents::OVERWRITTEN);
    /// `c`: a value of another type than the one whose place it took.
    pub const TYPE_CHANGED: EventClass = EventClass(KeyspaceEvents::TYPE_CHANGED);
    /// `n`: a new key.
    pub const NEW: EventClass = EventClass(KeyspaceEvents::NEW);
}

/// Listener to changes that the keyspace makes by itself, such as expiries. Called under the slot's lock.
pub trait ChangeSink {
    /// `event` happened to `key` of the database with this number.
    fn changed(&self, database: usize, key: &HashedKey<'_>, class: EventClass, event: &'static str);

    /// `key` of the database with this number ended or was evicted. `lazily` says whether a big value is freed
    /// in the background for this reason.
    fn removed(&self, database: usize, key: &HashedKey<'_>, lazily: bool);

    /// `key` changed without an event of its own: its database was flushed or swapped.
    fn touched(&self, database: usize, key: &HashedKey<'_>);

    /// Fields of the hash under `key` ended and were removed, which is an event of its own.
    fn fields_ended(&self, database: usize, key: &HashedKey<'_>, fields: &[Box<[u8]>]);

    /// Members of the set under `key` ended and were removed, which is an event of its own.
    fn members_ended(&self, database: usize, key: &HashedKey<'_>, members: &[Box<[u8]>]);

    /// The database with this number was flushed, or, for a client of that database, `all` of them. Nothing
    /// else is in the keyspace.
    fn flushed(&self, database: usize, all: bool);

    /// Two databases were exchanged. Nothing else is in the keyspace.
    fn swapped(&self, first: usize, second: usize);

    /// Keys of a database that abort a transaction when they change.
    fn watched(&self, database: usize) -> Vec<Box<[u8]>>;

    /// Keys of a database that a listener has to hear of when it is flushed or swapped.
    fn of_interest(&self, database: usize) -> Vec<Box<[u8]>>;
}
