//! Changes of collections whose elements may end: hashes and sets. Here the earliest expiry of the elements is
//! compared before and after a change, which keeps the expiry index and the counts of such collections right.

use super::{Access, OtherType};
use crate::keyspace::change::EventClass;
use crate::keyspace::database::Holder;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::reaper::FreeReason;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::table;
use crate::keyspace::value::Object;
use crate::types::hash::Hash;
use crate::types::set::Set;

/// Most members that are told as ended together, as on the peers.
const TOLD_MAX: usize = 1024;

impl<'g> Access<'g, '_> {
    /// Changes the hash of a live key in place. Returns `None` if there is no such key. The caller has to
    /// remove a hash that became empty.
    ///
    /// This is the only way to change a hash in the keyspace.
    ///
    /// # Errors
    /// The key holds another type.
    #[inline]
    pub fn change_hash<T>(
        &mut self,
        key: &HashedKey<'_>,
        change: impl FnOnce(&mut Hash) -> T,
    ) -> Result<Option<T>, OtherType> {
        let Some(record) = self.write(key) else { return Ok(None) };
        let Some(Object::Hash(hash)) = record.object_mut() else { return Err(OtherType) };
        let before = hash.next_expiry_ms();
        let result = change(hash);
        let after = hash.next_expiry_ms();
        if before.is_some() || after.is_some() {
            self.note_ends(Holder::Hash, key, before, after);
        }
        Ok(Some(result))
    }

    /// Changes the set of a live key in place. Returns `None` if there is no such key. The caller has to
    /// remove a set that became empty. Members that have ended are removed and told before, so `change` finds
    /// none; where nothing is left then, there is no such key.
    ///
    /// This is the only way to change a set in the keyspace.
    ///
    /// # Errors
    /// The key holds another type.
    #[inline]
    pub fn change_set<T>(
        &mut self,
        key: &HashedKey<'_>,
        change: impl FnOnce(&mut Set) -> T,
    ) -> Result<Option<T>, OtherType> {
        let ended_ms = self.ended_ms;
        let Some(mut record) = self.write(key) else { return Ok(None) };
        if let Some(Object::Set(set)) = record.object_mut()
            && set.has_ended(ended_ms)
        {
            if self.remove_ended_members(key) {
                return Ok(None);
            }
            let Some(left) = self.write(key) else { return Ok(None) };
            record = left;
        }
        let Some(Object::Set(set)) = record.object_mut() else { return Err(OtherType) };
        let before = set.next_expiry_ms();
        let result = change(set);
        let after = set.next_expiry_ms();
        if before.is_some() || after.is_some() {
            self.note_ends(Holder::Set, key, before, after);
        }
        Ok(Some(result))
    }

    #[cold]
    fn note_ends(&mut self, holder: Holder, key: &HashedKey<'_>, before: Option<u64>, after: Option<u64>) {
        let (database, table) = self.table_mut(self.database, key);
        let of_holder = |at_ms: Option<u64>| at_ms.map(|at_ms| (holder, at_ms));
        database.note_element_ends(table, key, of_holder(before), of_holder(after));
    }

    /// Removes the members that have ended from a set, which was found to be written, and the set if none is
    /// left. Returns whether the set was removed.
    #[cold]
    fn remove_ended_members(&mut self, key: &HashedKey<'_>) -> bool {
        let (number, ended_ms, settings, keyspace) =
            (self.database, self.ended_ms, self.settings, self.keyspace);
        loop {
            let (database, table) = self.table_mut(number, key);
            let Some(at) = table::locate(table, key) else { return true };
            let Some(Object::Set(set)) = table::at_mut(table, at).object_mut() else { return false };
            let before = set.next_expiry_ms().map(|at_ms| (Holder::Set, at_ms));
            let members = set.take_expired(ended_ms, TOLD_MAX);
            if members.is_empty() {
                return false;
            }
            let (after, is_empty) = (set.next_expiry_ms().map(|at_ms| (Holder::Set, at_ms)), set.is_empty());
            database.note_element_ends(table, key, before, after);
            let emptied = is_empty.then(|| database.remove_at(table, key, at));
            settings.counts.expired_members.update(|count| count + members.len() as u64);
            settings.sink.members_ended(number, key, &members);
            if let Some(record) = emptied {
                settings.sink.changed(number, key, EventClass::GENERIC, "del");
                keyspace.reaper.discard(record, FreeReason::Expired);
                return true;
            }
        }
    }

    /// Notes that a command, which may change something else with what it has read, has left out members of a
    /// set that have ended and are still there: where the command is repeated they have to be absent too.
    #[inline]
    pub fn note_left_out(&self, database: usize, key: &HashedKey<'_>, set: &Set) {
        if set.has_ended(self.ended_ms) {
            self.settings.counts.left_out.borrow_mut().push((database, key.bytes.into()));
        }
    }

    /// Number of sets of which members were left out in the batch so far.
    #[inline]
    pub fn left_out(&self) -> usize {
        self.settings.counts.left_out.borrow().len()
    }

    /// Calls `visit` with the database's number, the key and the members that have ended of each set that was
    /// noted since [`left_out`](Self::left_out) returned `from`, at most 1,024 at once.
    pub fn for_each_left_out(&self, from: usize, mut visit: impl FnMut(usize, &[u8], &[&[u8]])) {
        for (number, key) in &self.settings.counts.left_out.borrow()[from..] {
            let hashed = self.keyspace.hasher().key(key);
            let Some(index) = self.position(*number, hashed.slot()) else { continue };
            let record = table::find(self.table_of(&self.locks[index]), &hashed);
            let Some(ValueRef::Object(Object::Set(set))) = record.map(Record::value) else { continue };
            let members: Vec<&[u8]> = set.ended(self.ended_ms).collect();
            members.chunks(TOLD_MAX).for_each(|members| visit(*number, key, members));
        }
    }

    /// Forgets sets that were noted since [`left_out`](Self::left_out) returned `from`.
    #[inline]
    pub fn forget_left_out(&self, from: usize) {
        self.settings.counts.left_out.borrow_mut().truncate(from);
    }
}
