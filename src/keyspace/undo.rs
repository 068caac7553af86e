//! What was before: kept while a transaction runs that can be undone, so that it can be put back.

use std::collections::HashSet;

use super::key_hash::HashedKey;
use super::reaper::{FreeReason, Reaper};
use super::record::{Record, RecordBox};
use super::table::SlotTable;

/// One thing to put back.
pub enum UndoStep {
    /// A key as it was before it was first changed.
    Key {
        /// The database's number.
        database: usize,
        /// Its name.
        key: Box<[u8]>,
        /// Its hash.
        hash: u64,
        /// Its record; `None` if it was not there.
        before: Option<RecordBox>,
    },
    /// The table of a slot whose database was emptied.
    Flushed {
        /// The physical database.
        physical: u16,
        /// Which slot.
        slot: usize,
        /// What was in it.
        table: SlotTable,
    },
    /// Two databases that were exchanged.
    Swapped(usize, usize),
}

/// The steps of one transaction in the order in which they were taken.
#[derive(Default)]
pub struct UndoLog {
    steps: Vec<UndoStep>,
    /// Keys noted since the last flush or swap: a key's first state is the one to go back to.
    noted: HashSet<(usize, Box<[u8]>)>,
}

impl UndoLog {
    /// Keeps a key as it is before a change, if it is not kept yet.
    pub fn note<'r>(
        &mut self,
        database: usize,
        key: &HashedKey<'_>,
        record: impl FnOnce() -> Option<&'r Record>,
    ) {
        let name: Box<[u8]> = key.bytes.into();
        if self.noted.insert((database, name.clone())) {
            let before = record().map(|record| {
                let copy = record.duplicate(key.bytes);
                copy.set_access(record.access());
                copy
            });
            self.steps.push(UndoStep::Key { database, key: name, hash: key.hash, before });
        }
    }

    /// Keeps an emptied slot.
    pub fn flushed(&mut self, physical: u16, slot: usize, table: SlotTable) {
        self.noted.clear();
        self.steps.push(UndoStep::Flushed { physical, slot, table });
    }

    /// Notes that two databases were exchanged.
    pub fn swapped(&mut self, first: usize, second: usize) {
        self.noted.clear();
        self.steps.push(UndoStep::Swapped(first, second));
    }

    /// What has to be put back, the last change first.
    pub fn into_steps(self) -> impl Iterator<Item = UndoStep> {
        self.steps.into_iter().rev()
    }

    /// Nothing is put back: frees what was kept.
    pub fn discard(self, reaper: &Reaper) {
        for step in self.steps {
            match step {
                UndoStep::Key { before: Some(record), .. } => reaper.discard(record, FreeReason::Unlinked),
                UndoStep::Flushed { table, .. } => reaper.discard_table(table),
                UndoStep::Key { before: None, .. } | UndoStep::Swapped(..) => {}
            }
        }
    }
}
