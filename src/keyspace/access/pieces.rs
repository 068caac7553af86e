//! Reading a big value in pieces, between which other commands get at its slot.

use super::{Access, HeldLock, Hold, LONG, SlotGuard, SlotLock};
use crate::keyspace::database::Database;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::Record;

/// A value that changes so often while it is read is then read under its lock.
const VAIN_MAX: u32 = 3;

impl<'g> Access<'g, '_> {
    /// Whether so much work, in the units of [`work`](Self::work), is to be announced.
    #[inline]
    pub fn is_long(units: usize) -> bool {
        units >= LONG
    }

    /// Whether the command may let its lock go and take it again: it only reads, from one slot, beside
    /// others.
    pub fn can_read_in_pieces(&self) -> bool {
        matches!(self.hold, Hold::Shared(_)) && self.only_shared_lock().is_some()
    }

    fn only_shared_lock(&self) -> Option<(&'g Database, SlotLock)> {
        match &*self.locks {
            [held] if matches!(held.guard, SlotGuard::Read(_)) => Some((held.database?, held.lock)),
            _ => None,
        }
    }

    /// Reads a value in pieces, each under the slot's lock, which is free in between. `piece` is called with
    /// the record, if the key is there, and with what the call before returned, 0 at first; it returns `None`
    /// at the end. When the value has changed between two pieces it begins again, with 0. All of what was
    /// read since the last 0 is the value of one instant.
    ///
    /// The command counts as heavy, holding no slot; its thread's other work is handed on. The lock is held
    /// again afterwards.
    ///
    /// # Errors
    /// Those of `piece`.
    pub fn read_in_pieces<E>(
        &mut self,
        key: &HashedKey<'_>,
        mut piece: impl FnMut(Option<&Record>, usize) -> Result<Option<usize>, E>,
    ) -> Result<(), E> {
        let Some((database, lock)) = self.only_shared_lock() else {
            unreachable!("asked can_read_in_pieces before")
        };
        self.locks.clear();
        self.settings.pulse.long(self);
        self.retake(database, lock);
        for vain in 0.. {
            let holds = vain == VAIN_MAX;
            if holds {
                // Now with the slot.
                self.settings.pulse.long(self);
            }
            let reader = database.readers.enter(key);
            let mut at = 0;
            while let Some(next) = piece(self.peek(key), at)? {
                at = next;
                if holds {
                    continue;
                }
                self.locks.clear();
                database.readers.make_way();
                self.retake(database, lock);
                if reader.is_outdated() {
                    break;
                }
            }
            if !reader.is_outdated() {
                break;
            }
        }
        Ok(())
    }

    /// Takes the lock back, however long that takes: the thread has no other work.
    fn retake(&mut self, database: &'g Database, lock: SlotLock) {
        if !self.lock_in(database, lock) {
            let guard = SlotGuard::Read(database.read_slot(usize::from(lock.slot)));
            self.locks.push(HeldLock { lock, database: Some(database), guard });
        }
    }
}
