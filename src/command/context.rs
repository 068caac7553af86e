//! What a command's function is given.

use crate::command::keys::PlannedKey;
use crate::error::CommandError;
use crate::keyspace::access::{Access, ChangeSink, EventClass};
use crate::keyspace::hash::HashedKey;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::value::Object;
use crate::resp::encode::Reply;
use crate::server::Server;
use crate::server::client::Client;

/// The surroundings of one command while it runs: it is alone with its keys, which are locked.
pub struct Context<'a> {
    /// The server: configuration, clients, pub/sub, statistics.
    pub server: &'a Server,
    /// Who asked.
    pub client: &'a mut Client,
    /// The keys, under their locks.
    pub keys: Access<'a, 'a>,
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// The keys' hashes.
    pub planned: &'a [PlannedKey],
    /// What is to happen when the command has run.
    pub after: Option<After>,
    /// Changes made, counted as Redis counts them (`rdb_changes_since_last_save`).
    pub dirty: u64,
    /// Which command this is, for error texts and statistics.
    pub command: &'a crate::command::table::Entry,
}

/// What a connection does when a command has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Send what was written, then close.
    Close,
    /// Close without sending.
    CloseNow,
    /// Do nothing more for this client for so many milliseconds (DEBUG SLEEP).
    Sleep(u64),
    /// End the server.
    Shutdown,
}

impl<'a> Context<'a> {
    /// The key at argument `index`, hashed when the batch was planned.
    #[inline]
    pub fn key<'k>(&self, arguments: &[&'k [u8]], index: usize) -> HashedKey<'k> {
        let planned = match self.planned.first() {
            Some(first) if first.argument as usize == index => Some(first),
            _ => self
                .planned
                .binary_search_by_key(&index, |key| key.argument as usize)
                .ok()
                .map(|at| &self.planned[at])
                .or_else(|| self.planned.iter().find(|key| key.argument as usize == index)),
        };
        match planned {
            Some(key) => HashedKey { bytes: arguments[index], hash: key.hash },
            None => self.keys.keyspace.hasher().key(arguments[index]),
        }
    }

    /// Tells that a command changed `key` of the selected database: counts it, publishes the event.
    #[inline]
    pub fn changed(&mut self, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
        self.changed_in(self.keys.database, key, class, event);
    }

    /// [`changed`](Self::changed) for another database.
    #[inline]
    pub fn changed_in(
        &mut self,
        database: usize,
        key: &HashedKey<'_>,
        class: EventClass,
        event: &'static str,
    ) {
        self.dirty += 1;
        self.server.effects.changed(database, key, class, event);
    }

    /// Deletes a key that a command emptied, with the `del` event; the change itself was told already.
    pub fn delete_emptied(&mut self, key: &HashedKey<'_>) {
        self.keys.delete(key);
        self.server.effects.changed(self.keys.database, key, EventClass::GENERIC, "del");
    }

    /// Tells that a read asked for a key that is not there (event class `m`).
    #[inline]
    pub fn missed(&self, key: &HashedKey<'_>) {
        self.server.effects.event(self.keys.database, key, EventClass::KEY_MISS, "keymiss");
    }

    /// The record of a key for a reading command, with hit, miss and access dated; tells of a miss.
    #[inline]
    pub fn read(&self, key: &HashedKey<'_>) -> Option<&Record> {
        let record = self.keys.read(key);
        if record.is_none() {
            self.missed(key);
        }
        record
    }

    /// The bytes of a string key: `None` if there is none.
    ///
    /// # Errors
    /// Another type.
    #[inline]
    pub fn read_string<'s>(
        &'s self,
        key: &HashedKey<'_>,
        number: &'s mut itoa::Buffer,
    ) -> Result<Option<&'s [u8]>, CommandError> {
        self.read(key).map(|record| string_bytes(record, number)).transpose()
    }
}

/// A string record's bytes; `number` is where a number's text is made.
///
/// # Errors
/// Another type.
#[inline]
pub fn string_bytes<'s>(record: &'s Record, number: &'s mut itoa::Buffer) -> Result<&'s [u8], CommandError> {
    match record.value() {
        ValueRef::Bytes(bytes) => Ok(bytes),
        ValueRef::Int(value) => Ok(number.format(value).as_bytes()),
        ValueRef::Object(Object::Text(bytes)) => Ok(bytes),
        ValueRef::Object(_) => Err(CommandError::WrongType),
    }
}
