//! Reads that are a little old, as those of a replica are: rehearsed on the read-only port (KVARTS SIMULATE STALE).
//!
//! While that is rehearsed, the state of a key before each command that changes it is kept for as long as reads are to
//! be late. A read through the read-only port finds the state of that long ago: it is put in place under the key's
//! lock, as changes of a transaction are that can be undone, and taken back when the command has run.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::command::Handler;
use super::context::Context;
use crate::command::keys::{KeySpec, for_each_key};
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::error::CommandResult;
use crate::keyspace::access::SlotLock;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::{Record, RecordBox};
use crate::shared::client::Door;

/// Most bytes of states that are kept; beyond, the oldest are forgotten, and reads are less late.
const BYTES_MAX: usize = 256 << 20;

/// A database's number and a key's name.
type Name = (usize, Box<[u8]>);

/// A key's record; `None` where there was none.
type State = Option<RecordBox>;

/// What keys were before they changed.
#[derive(Default)]
pub struct Past(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// The states of each key, and until when it had them, in milliseconds of Unix time.
    states: HashMap<Name, VecDeque<(u64, State)>, foldhash::fast::RandomState>,
    /// Until when, and of which key, in the order in which they were kept.
    order: VecDeque<(u64, Name)>,
    bytes: usize,
}

impl Past {
    /// Forgets all.
    pub fn forget(&self) {
        *self.0.lock() = Table::default();
    }

    /// Keeps the states that keys had until now, and forgets those of more than `late_ms` ago.
    fn keep(&self, before: Vec<(Name, State)>, now_ms: u64, late_ms: u64) {
        let mut table = self.0.lock();
        for (name, state) in before {
            table.bytes += bytes_of(&name, &state);
            table.states.entry(name.clone()).or_default().push_back((now_ms, state));
            table.order.push_back((now_ms, name));
        }
        while table.bytes > BYTES_MAX
            || table.order.front().is_some_and(|(until_ms, _)| until_ms + late_ms <= now_ms)
        {
            table.forget_oldest();
        }
    }

    /// The state that a key had at a time; `None` where it has not changed since.
    fn state_at(&self, name: &Name, at_ms: u64) -> Option<State> {
        let table = self.0.lock();
        let (_, state) = table.states.get(name)?.iter().find(|(until_ms, _)| *until_ms > at_ms)?;
        Some(state.as_ref().map(|record| copy_of(record, &name.1)))
    }
}

impl Table {
    fn forget_oldest(&mut self) {
        let Some((_, name)) = self.order.pop_front() else {
            self.bytes = 0;
            return;
        };
        let Some(states) = self.states.get_mut(&name) else { return };
        if let Some((_, state)) = states.pop_front() {
            self.bytes = self.bytes.saturating_sub(bytes_of(&name, &state));
        }
        if states.is_empty() {
            self.states.remove(&name);
        }
    }
}

fn bytes_of(name: &Name, state: &State) -> usize {
    const PLACES: usize = 128;
    PLACES + 2 * name.1.len() + state.as_ref().map_or(0, |record| record.memory_bytes())
}

fn copy_of(record: &Record, key: &[u8]) -> RecordBox {
    let copy = record.duplicate(key);
    copy.set_access(record.access());
    copy
}

impl Context<'_> {
    /// Does what [`call`](Self::call) does, while faults are simulated: keeps what a command changes, or has it find
    /// what keys were a while ago.
    #[cold]
    pub(super) fn call_in_simulation(
        &mut self,
        entry: &Entry,
        run: Handler,
        arguments: &[&[u8]],
    ) -> CommandResult {
        let late_ms = self.server.simulation.stale_ms();
        if late_ms == 0 {
            return self.call(entry, run, arguments);
        }
        let (flags, now_ms) = (entry.spec.flags, self.keys.now_ms);
        if flags.has(Flags::WRITE) {
            let dirty = self.dirty;
            let before = self.states_of(entry, arguments);
            let result = self.call(entry, run, arguments);
            if self.dirty != dirty {
                self.server.past.keep(before, now_ms, late_ms);
            }
            return result;
        }
        // A client that waits would not be woken again when what it waits for is there.
        let is_late =
            self.client.door == Door::ReadOnly && flags.has(Flags::READONLY) && !flags.has(Flags::BLOCKING);
        if !is_late || self.keys.can_undo() {
            return self.call(entry, run, arguments);
        }
        let mut states: Vec<(Name, State)> = Vec::new();
        for name in self.names_of(entry, arguments) {
            let state = self.server.past.state_at(&name, now_ms.saturating_sub(late_ms));
            states.extend(state.map(|state| (name, state)));
        }
        let lock_of = |database: usize, key: &HashedKey<'_>| SlotLock {
            database: database as u16,
            slot: key.slot() as u16,
            write: true,
        };
        let hasher = self.keys.keyspace.hasher();
        states.retain(|(name, _)| self.keys.covers(lock_of(name.0, &hasher.key(&name.1))));
        if states.is_empty() {
            return self.call(entry, run, arguments);
        }
        self.server.simulation.note();
        self.begin_undoable();
        for ((_, key), state) in states {
            let key = hasher.key(&key);
            let present = match state {
                Some(record) => self.keys.put(&key, record),
                None => self.keys.remove(&key),
            };
            self.keys.discard(present);
        }
        let result = self.call(entry, run, arguments);
        self.undo();
        result
    }

    /// The keys of a request, each once.
    fn names_of(&self, entry: &Entry, arguments: &[&[u8]]) -> SmallVec<[Name; 4]> {
        let mut names: SmallVec<[Name; 4]> = SmallVec::new();
        let mut seen = std::collections::HashSet::new();
        for_each_key(&entry.spec, arguments, |position| {
            let key = arguments[position.argument];
            if position.flags & KeySpec::NOT_KEY == 0 && seen.insert(key) {
                names.push((self.keys.database, key.into()));
            }
        });
        names
    }

    /// What the keys of a request are now.
    fn states_of(&self, entry: &Entry, arguments: &[&[u8]]) -> Vec<(Name, State)> {
        let hasher = self.keys.keyspace.hasher();
        let state = |name: &Name| self.keys.peek(&hasher.key(&name.1)).map(|record| copy_of(record, &name.1));
        let with_state = |name: Name| {
            let state = state(&name);
            (name, state)
        };
        self.names_of(entry, arguments).into_iter().map(with_state).collect()
    }
}
