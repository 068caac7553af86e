//! The former states of changed keys: kept while an undoable transaction runs, to put them back.

use std::collections::HashSet;

use super::{Access, SlotLock};
use crate::keyspace::Keyspace;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::reaper::FreeReason;
use crate::keyspace::record::{Record, RecordBox};
use crate::keyspace::table::{self, SlotTable};

/// One thing to put back.
pub enum UndoStep {
    /// A key's state before its first change.
    Key {
        /// The database's number.
        database: usize,
        /// The key's bytes.
        key: Box<[u8]>,
        /// Its hash.
        hash: u64,
        /// The key's record; `None` if there was none.
        before: Option<RecordBox>,
    },
    /// The table of a slot whose database was emptied.
    Flushed {
        /// The physical database.
        physical: u16,
        /// Which slot.
        slot: usize,
        /// The table that FLUSHDB or FLUSHALL took.
        table: SlotTable,
    },
    /// The numbers of two databases that SWAPDB exchanged.
    Swapped(usize, usize),
}

/// The steps of one transaction in the order in which they were taken.
#[derive(Default)]
pub struct UndoLog {
    steps: Vec<UndoStep>,
    /// Keys noted since the last flush or swap. Only a key's first state is kept.
    noted: HashSet<(usize, Box<[u8]>)>,
}

impl UndoLog {
    /// Keeps a copy of a key's record before its first change.
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

    /// Keeps the table of a flushed slot.
    pub fn flushed(&mut self, physical: u16, slot: usize, table: SlotTable) {
        self.noted.clear();
        self.steps.push(UndoStep::Flushed { physical, slot, table });
    }

    /// Notes that two databases were exchanged.
    pub fn swapped(&mut self, first: usize, second: usize) {
        self.noted.clear();
        self.steps.push(UndoStep::Swapped(first, second));
    }

    /// The steps to put back, the last change first.
    pub fn into_steps(self) -> impl Iterator<Item = UndoStep> {
        self.steps.into_iter().rev()
    }

    /// Frees what was kept, when the changes stay.
    pub fn discard(self, keyspace: &Keyspace) {
        let reaper = &keyspace.reaper;
        for step in self.steps {
            match step {
                UndoStep::Key { before: Some(record), .. } => reaper.discard(record, FreeReason::Unlinked),
                UndoStep::Flushed { physical, slot, table } => {
                    keyspace.physical(physical).discard_table(slot, table, reaper);
                }
                UndoStep::Key { before: None, .. } | UndoStep::Swapped(..) => {}
            }
        }
    }
}

impl Access<'_, '_> {
    /// Whether an undoable transaction is running.
    pub fn can_undo(&self) -> bool {
        self.undo.is_some()
    }

    /// Begins an undoable transaction. Changes from here on are recorded until
    /// [`keep_changes`](Self::keep_changes) or [`undo_changes`](Self::undo_changes).
    pub fn begin_undo(&mut self) {
        debug_assert!(self.undo.is_none(), "transactions that can be undone do not nest");
        self.undo = Some(Box::default());
    }

    /// Ends the transaction; its changes stay.
    pub fn keep_changes(&mut self) {
        if let Some(undo) = self.undo.take() {
            undo.discard(self.keyspace);
        }
    }

    /// Ends the transaction and puts everything back as it was at [`begin_undo`](Self::begin_undo): values,
    /// expiries and access clocks.
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
                    self.let_go();
                    self.keyspace.physical(physical).restore_slot(slot, table);
                }
                UndoStep::Swapped(first, second) => {
                    self.let_go();
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
