//! TTLs of keys: renewed, given and taken. The time itself is kept in the key's record, and found when it is
//! due by the index of the database.

use super::Access;
use crate::keyspace::key_hash::HashedKey;

impl Access<'_, '_> {
    /// See [`AccessSettings::past_ms`].
    pub fn past_ms(&self) -> u64 {
        self.settings.past_ms
    }

    /// Sets the expiry of a live key (milliseconds of Unix time) or removes it. Returns whether there was
    /// such a key.
    pub fn set_expire_at_ms(&mut self, key: &HashedKey<'_>, at_ms: Option<u64>) -> bool {
        let Some(at) = self.locate_to_change(self.database, key) else { return false };
        let (database, table) = self.table_mut(self.database, key);
        database.set_expire_at_ms(table, key, at, at_ms);
        true
    }
}
