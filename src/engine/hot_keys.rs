//! Hot keys: which accesses and commands `shared/hot_keys/` hears of.
//!
//! An access is a key that a client's command names, whether it is there or not; commands that only look at
//! how a key is kept ([`Flags::NO_ACCESS`]) make none, nor does what is repeated from files and primaries. A
//! script's accesses are those of the commands it calls. A session weighs whole commands instead, a script
//! as one.

use std::sync::Arc;

use parking_lot::RwLock;
use smallvec::SmallVec;

use super::Server;
use super::observe::Done;
use crate::command::keys::{KeySpec, PlannedKey, for_each_key};
use crate::command::spec::{Flags, Group};
use crate::command::table::Entry;
use crate::config::Directive;
use crate::keyspace::key_hash::key_slot;
use crate::keyspace::sizes::Recent;
use crate::shared::hot_keys::{Report, Sampler, Session, SessionOptions, Use, Windows};
use crate::shared::processor::processor_ms;

/// What is known of the keys that clients use.
#[derive(Debug)]
pub struct HotKeys {
    /// Chooses the accesses that are counted.
    pub sampler: Sampler,
    /// Sampled accesses by key, in windows of time.
    pub windows: Windows,
    /// The sampled accesses of the last seconds, where they are told by prefix (`key-sizes`).
    pub recent: Recent,
    /// The session that runs, or the last one.
    session: RwLock<Option<Arc<Session>>>,
}

impl HotKeys {
    /// Nothing yet, of a server with so many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            sampler: Sampler::new(workers),
            windows: Windows::new(workers),
            recent: Recent::new(workers),
            session: RwLock::default(),
        }
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.session.read().clone()
    }
}

impl Server {
    /// Reads the directives of sampled accesses anew.
    pub(super) fn apply_hot_keys(&self) {
        let top = self.config.int(Directive::HotkeysTopK).max(0) as usize;
        let share = self.config.int(Directive::HotkeysSamplingPercentage).clamp(1, 100) as f64 / 100.0;
        let length_ms = self.config.int(Directive::HotkeysWindowSeconds).max(1) as u64 * 1000;
        self.hot_keys.windows.set(top, length_ms, self.clock.now_ms());
        let wanted = (top > 0 || self.keyspace.sizes.is_wanted()).then_some(share);
        let sampler = &self.hot_keys.sampler;
        if sampler.is_on() != wanted.is_some() || sampler.least() != share {
            sampler.set(wanted);
        }
    }

    /// Closes a window and ends a session whose time is over, and adapts what is sampled to what there is to do.
    pub fn look_at_hot_keys(&self) {
        let now_ms = self.clock.now_ms();
        self.hot_keys.sampler.adapt(now_ms);
        self.hot_keys.windows.look(now_ms);
        if let Some(session) = self.hot_keys.session() {
            self.end_if_over(&session, now_ms);
        }
    }

    /// Forgets all accesses that were counted: the data they were about are gone.
    pub fn forget_hot_keys(&self) {
        if self.hot_keys.windows.are_on() {
            self.hot_keys.windows.forget(self.clock.now_ms());
        }
    }

    /// Passes by the accesses of a command that has run, and counts those that are sampled.
    #[cold]
    pub(super) fn note_accesses(&self, entry: &Entry, words: &[&[u8]], keys: &[PlannedKey], database: usize) {
        if entry.spec.flags.has(Flags::NO_ACCESS) || entry.spec.group == Group::Scripting {
            return;
        }
        let worker = crate::worker::current();
        self.hot_keys.sampler.pass(worker, keys.len(), |at, stands_for| {
            self.note_access(&keys[at], words, database, stands_for);
        });
    }

    /// Counts a sampled access, which stands for so many.
    pub(super) fn note_access(&self, key: &PlannedKey, words: &[&[u8]], database: usize, stands_for: f64) {
        if key.flags & KeySpec::NOT_KEY == 0
            && let Some(key) = words.get(key.argument as usize)
        {
            let worker = crate::worker::current();
            self.hot_keys.windows.note(worker, database, key, stands_for);
            if self.keyspace.sizes.is_on() {
                self.hot_keys.recent.note(worker, database, key, stands_for, self.clock.now_ms());
            }
        }
    }

    /// [`note_accesses`](Self::note_accesses) of a command within another one, whose keys nobody has planned.
    #[cold]
    pub(super) fn note_nested_accesses(&self, entry: &Entry, words: &[&[u8]], database: usize) {
        let mut keys: SmallVec<[PlannedKey; 4]> = SmallVec::new();
        for_each_key(&entry.spec, words, |position| {
            keys.push(PlannedKey { argument: position.argument as u32, flags: position.flags, hash: 0 });
        });
        self.note_accesses(entry, words, &keys, database);
    }

    /// Has the session that runs, if one does, count a command.
    #[cold]
    pub(super) fn note_use(&self, done: &Done<'_>, took_ns: u64) {
        let Some(session) = self.hot_keys.session() else { return };
        let mut keys: SmallVec<[&[u8]; 4]> = SmallVec::new();
        for_each_key(&done.entry.spec, done.arguments, |position| {
            if position.flags & KeySpec::NOT_KEY == 0 {
                keys.extend(done.arguments.get(position.argument).copied());
            }
        });
        let Some(first) = keys.first() else { return };
        if !session.is_active() || self.end_if_over(&session, self.clock.now_ms()) {
            return;
        }
        let slot = key_slot(first) as u16;
        let bytes = done.request_bytes + done.reply_bytes;
        session.note(crate::worker::current(), &Use { keys: &keys, slot, ns: took_ns, bytes });
    }

    /// Begins a session. Returns false where one runs.
    pub fn begin_session(&self, options: SessionOptions) -> bool {
        let now_ms = self.clock.now_ms();
        let mut session = self.hot_keys.session.write();
        if session.as_ref().is_some_and(|session| session.is_active() && !self.end_if_over(session, now_ms)) {
            return false;
        }
        let begun = Session::begin(options, self.identity.workers, now_ms, processor_ms());
        *session = Some(Arc::new(begun));
        self.logs.observation.set_by_key(true);
        true
    }

    /// Ends the session that runs. Returns false where none does.
    pub fn end_session(&self) -> bool {
        let Some(session) = self.hot_keys.session() else { return false };
        if self.end_if_over(&session, self.clock.now_ms()) {
            return false;
        }
        self.end_session_at(&session, self.clock.now_ms())
    }

    /// Whether a session runs.
    pub fn has_session(&self) -> bool {
        let session = self.hot_keys.session();
        session.is_some_and(|session| session.is_active() && !self.end_if_over(&session, self.clock.now_ms()))
    }

    /// Forgets the last session. Returns false, and does nothing, where it still runs.
    pub fn forget_session(&self) -> bool {
        let now_ms = self.clock.now_ms();
        let mut session = self.hot_keys.session.write();
        if session.as_ref().is_some_and(|session| session.is_active() && !self.end_if_over(session, now_ms)) {
            return false;
        }
        *session = None;
        true
    }

    /// What the session that runs, or the last one, has found.
    pub fn session_report(&self) -> Option<Report> {
        let (session, now_ms) = (self.hot_keys.session()?, self.clock.now_ms());
        self.end_if_over(&session, now_ms);
        Some(session.report(now_ms, processor_ms()))
    }

    /// Ends a session whose time is over. Returns whether it has ended.
    fn end_if_over(&self, session: &Session, now_ms: u64) -> bool {
        match session.ends_ms() {
            Some(ends_ms) if ends_ms <= now_ms => {
                self.end_session_at(session, ends_ms);
                true
            }
            _ => false,
        }
    }

    fn end_session_at(&self, session: &Session, at_ms: u64) -> bool {
        let has_ended = session.end(at_ms, processor_ms());
        if has_ended {
            self.logs.observation.set_by_key(false);
        }
        has_ended
    }
}
