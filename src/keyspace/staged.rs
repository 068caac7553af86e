//! [`Staged`]: databases that are filled beside those that clients see, and then take their place.

use super::Keyspace;
use super::change::ChangeSink;
use super::database::Database;
use super::gate::Exclusive;
use super::key_hash::HashedKey;
use super::table;

/// A database for each of SELECT's numbers, which nobody sees yet. There is one of these at a time, which is
/// for its owner to see to. What is in it goes when it is dropped.
#[derive(Debug)]
pub struct Staged<'k> {
    keyspace: &'k Keyspace,
    physical: Box<[u16]>,
}

impl Keyspace {
    /// Empty databases beside those that clients see.
    pub fn stage(&self) -> Staged<'_> {
        let mapping = self.gate.shared(0);
        let spare = (0..self.databases.len() as u16).filter(|index| !mapping.contains(index));
        Staged { keyspace: self, physical: spare.collect() }
    }
}

impl Staged<'_> {
    /// The database that is to have a number.
    pub fn database(&self, number: usize) -> &Database {
        self.keyspace.physical(self.physical[number])
    }

    /// Puts the databases in the place of those that clients see. Those are emptied in the background. Tells
    /// of keys that listeners wait for or watch, and that were or are there. Returns the number of keys that
    /// are gone.
    pub fn take_over(mut self, exclusive: &mut Exclusive<'_>, sink: &dyn ChangeSink) -> usize {
        sink.flushed(0, true);
        for (number, physical) in self.physical.iter_mut().enumerate() {
            let names = sink.of_interest(number);
            let keys: Vec<HashedKey<'_>> =
                names.iter().map(|name| self.keyspace.hasher().key(name)).collect();
            let held = |physical, key: &HashedKey<'_>| {
                self.keyspace
                    .physical_if_used(physical)
                    .is_some_and(|database| table::find(&database.read_slot(key.slot()), key).is_some())
            };
            let next = *physical;
            *physical = exclusive.replace(number, next);
            for key in &keys {
                if held(*physical, key) || held(next, key) {
                    sink.touched(number, key);
                }
            }
        }
        let removed = self.clear();
        self.physical = Box::default();
        removed
    }

    /// Removes what is in the databases that nobody sees. The caller is alone in the keyspace: a snapshot that
    /// runs may have begun when clients saw them.
    fn clear(&self) -> usize {
        let reaper = &self.keyspace.reaper;
        let made = self.physical.iter().filter_map(|index| self.keyspace.physical_if_used(*index));
        made.map(|database| database.clear(|slot, table| database.discard_table(slot, table, reaper))).sum()
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.physical.is_empty() {
            let _alone = self.keyspace.gate.exclusive(|| ());
            self.clear();
        }
    }
}
