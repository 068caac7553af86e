//! What a batch enters into the journal.

use std::cell::{Cell, RefCell};

use super::ChangeBuffer;
use crate::journal::{self, Entries};
use crate::keyspace::KeyId;
use crate::keyspace::record::Record;

/// Memory that a thread keeps for the entries of its next batch, in bytes at most.
const KEEP: usize = 64 << 10;

/// The request that removes a key where the journal is repeated, as Redis writes it: how the value is freed
/// there follows from how it is freed here.
pub fn word_of_removal(lazily: bool) -> &'static [u8] {
    if lazily { b"UNLINK" } else { b"DEL" }
}

thread_local! {
    /// The memory of the last batch's entries.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A request that is entered behind its command, transaction or script, as one of its own. It says what values
/// elsewhere do not show (which entry a producer's id stands for, when members of a set end), by a command that
/// replicas may not know: such a replica loses what it says, and no more, where an unknown request in a
/// transaction would cost it the whole transaction.
#[derive(Clone, Debug)]
pub struct Note {
    /// The key that it is about.
    pub key: KeyId,
    /// The command's name, the key, and what else belongs to it.
    pub words: Vec<Box<[u8]>>,
    /// What has become of it when the transaction or script is over, by the record of its key and the time in
    /// milliseconds.
    pub standing: fn(&Note, &Record, u64) -> Standing,
}

/// What has become of a [`Note`] at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is so, and is entered.
    Holds,
    /// It was so for a while. It is entered where a later one of the same command for the same key holds.
    Passed,
    /// It is about something that is gone.
    Gone,
    /// It is another way now: these requests are entered in its place.
    As(Vec<Vec<Box<[u8]>>>),
}

/// Entries of the command that runs, or of the transaction or script, until its end.
#[derive(Debug, Default)]
pub(super) struct Told {
    entries: RefCell<Option<Entries>>,
    /// What is entered behind them.
    notes: RefCell<Vec<Note>>,
    /// Whether a transaction or script runs: its entries are appended together at its end.
    is_group: Cell<bool>,
    /// Number of entries that commands have made.
    by_commands: Cell<u64>,
    /// Position behind what was appended last; 0 where the batch has changed nothing.
    position: Cell<u64>,
}

/// A place among what was told, to come back to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    entries: journal::Mark,
    notes: usize,
}

impl Told {
    fn push(&self, database: impl Into<Option<usize>>, words: &[&[u8]]) {
        let mut entries = self.entries.borrow_mut();
        entries.get_or_insert_with(|| Entries::with_buffer(SPARE.take())).push(database, words);
    }
}

impl ChangeBuffer<'_> {
    /// Whether anybody reads the journal. Stays the same while a command runs.
    #[inline]
    pub fn is_journaled(&self) -> bool {
        self.effects.journal.is_heard() && !self.is_silent()
    }

    /// Enters what a command has changed as a request that does it again, whenever and wherever it is
    /// repeated, in this database or, with `None`, in any. It is appended with the command's other entries
    /// when the command has run, in a transaction or script when that has run; the locks are held until then.
    pub fn enter(&self, database: impl Into<Option<usize>>, words: &[&[u8]]) {
        self.told.by_commands.set(self.told.by_commands.get() + 1);
        self.told.push(database, words);
    }

    /// Enters a note. To be called in place of [`enter`](Self::enter), or beside it.
    pub fn enter_note(&self, note: Note) {
        self.told.by_commands.set(self.told.by_commands.get() + 1);
        self.told.notes.borrow_mut().push(note);
    }

    /// Enters for a key what was noted of another one, whose value it has got.
    pub fn note_for_another(&self, from: (usize, &[u8]), to: (usize, &[u8])) {
        let mut notes = self.told.notes.borrow_mut();
        for index in 0..notes.len() {
            let note = &notes[index];
            if (note.key.0, &*note.key.1) == from {
                let mut note = note.clone();
                note.key = (to.0, to.1.into());
                note.words[1] = to.1.into();
                notes.push(note);
            }
        }
    }

    /// Two databases were exchanged: what was noted of their keys is of the keys of the other one.
    pub(super) fn swap_notes(&self, first: usize, second: usize) {
        for note in &mut *self.told.notes.borrow_mut() {
            note.key.0 = match note.key.0 {
                database if database == first => second,
                database if database == second => first,
                database => database,
            };
        }
    }

    /// Takes the notes, which are judged before they are [appended](Self::append_note).
    pub fn take_notes(&self) -> Vec<Note> {
        self.told.notes.take()
    }

    /// Appends a note as a request of its own; the locks of what it is about are held.
    pub fn append_note(&self, database: usize, words: &[Box<[u8]>]) {
        let words: Vec<&[u8]> = words.iter().map(|word| &**word).collect();
        let mut entries = Entries::default();
        entries.push(database, &words);
        self.told.position.set(self.effects.journal.append(&entries));
    }

    /// [`enter`](Self::enter)s a change that cannot wait for the command's end, since what keeps others from
    /// the same thing ends before.
    pub fn enter_now(&self, database: impl Into<Option<usize>>, words: &[&[u8]]) {
        self.enter(database, words);
        self.append_unless_group();
    }

    /// Enters a change that no command made: a key ended, or was evicted. Does nothing where nobody reads.
    #[inline]
    pub(super) fn enter_own(&self, database: usize, words: &[&[u8]]) {
        if !self.is_journaled() {
            return;
        }
        if self.told.is_group.get() {
            return self.told.push(database, words);
        }
        let mut entries = Entries::default();
        entries.push(database, words);
        self.told.position.set(self.effects.journal.append(&entries));
    }

    /// Lets the request that runs be entered nowhere, though it counts as a change.
    pub fn enter_nothing(&self) {
        self.told.by_commands.set(self.told.by_commands.get() + 1);
    }

    /// Number of entries that commands of this batch have made so far.
    #[inline]
    pub fn entered(&self) -> u64 {
        self.told.by_commands.get()
    }

    /// Keeps all entries from here on until [`append_entries`](Self::append_entries): a transaction or script
    /// begins.
    pub fn begin_group(&self) {
        self.told.is_group.set(true);
    }

    /// Appends the entries of a command that has run; its locks are still held.
    pub fn append_entries(&self) {
        self.told.is_group.set(false);
        self.append_unless_group();
    }

    fn append_unless_group(&self) {
        if self.told.is_group.get() {
            return;
        }
        if let Some(entries) = &mut *self.told.entries.borrow_mut()
            && !entries.is_empty()
        {
            self.told.position.set(self.effects.journal.append(entries));
            entries.clear();
        }
    }

    /// The position in the journal behind this batch's last change; 0 where it has made none.
    pub fn position(&self) -> u64 {
        self.told.position.get()
    }

    /// The present end of the entries, to [forget](Self::forget_entries) what comes behind it.
    pub(super) fn mark(&self) -> Mark {
        let entries = self.told.entries.borrow().as_ref().map_or_else(journal::Mark::default, Entries::mark);
        Mark { entries, notes: self.told.notes.borrow().len() }
    }

    /// Forgets entries of what was undone.
    pub(super) fn forget_entries(&self, mark: Mark) {
        if let Some(entries) = &mut *self.told.entries.borrow_mut() {
            entries.forget_since(mark.entries);
        }
        self.told.notes.borrow_mut().truncate(mark.notes);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(entries) = self.entries.take() {
            let buffer = entries.into_buffer();
            if buffer.capacity() <= KEEP {
                SPARE.set(buffer);
            }
        }
    }
}
