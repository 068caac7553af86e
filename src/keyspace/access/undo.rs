//! What was before: kept while a transaction runs that can be undone, so that it can be put back.

use std::collections::HashSet;

use super::{Access, SlotLock};
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::reaper::{FreeReason, Reaper};
use crate::keyspace::record::{Record, RecordBox};
use crate::keyspace::table::{self, SlotTable};

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

impl Access<'_, '_> {
    /// Whether changes can be put back at this moment.
    pub fn can_undo(&self) -> bool {
        self.undo.is_some()
    }

    /// From here on what changes can be put back, until [`keep_changes`](Self::keep_changes) or
    /// [`undo_changes`](Self::undo_changes).
    pub fn begin_undo(&mut self) {
        debug_assert!(self.undo.is_none(), "transactions that can be undone do not nest");
        self.undo = Some(Box::default());
    }

    /// The changes stay.
    pub fn keep_changes(&mut self) {
        if let Some(undo) = self.undo.take() {
            undo.discard(&self.keyspace.reaper);
        }
    }

    /// Puts everything back as it was at [`begin_undo`](Self::begin_undo): values, expiries and access times.
    pub fn undo_changes(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        for step in undo.into_steps() {
            match step {
                UndoStep::Key { database, key, hash, before } => {
                    let key = HashedKey { bytes: &key, hash };
                    if self.is_alone() {
                        self.relock(&[SlotLock {
                            database: database as u16,
                            slot: key.slot() as u16,
                            write: true,
                        }]);
                    }
                    let (database, table) = self.table_mut(database, &key);
                    let after = database.remove(table, &key);
                    if let Some(before) = before {
                        database.insert(table, &key, before);
                    }
                    self.discard(after);
                }
                UndoStep::Flushed { physical, slot, table } => {
                    self.locks.clear();
                    self.keyspace.physical(physical).restore_slot(slot, table);
                }
                UndoStep::Swapped(first, second) => {
                    self.locks.clear();
                    self.swap_alone(first, second);
                }
            }
        }
    }

    #[cold]
    pub(super) fn note_for_undo(&mut self, number: usize, key: &HashedKey<'_>) {
        let Some(mut undo) = self.undo.take() else { return };
        undo.note(number, key, || table::find(self.table(number, key), key));
        self.undo = Some(undo);
    }
}
