//! [`Standing`]: whether a server is a primary or a replica, how far it has come as one, and what becomes of
//! its history when that changes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::{History, StreamPlace};
use crate::journal::Journal;

/// The role of a server, and its place in the stream that it follows. Changes are made while nothing else
/// changes the data.
#[derive(Debug, Default)]
pub struct Standing {
    is_replica: AtomicBool,
    /// Offset in the primary's history up to which its changes are made here: that of the journal's end.
    offset: AtomicU64,
    /// Offset up to which the primary's stream has come.
    received: AtomicU64,
    /// Whether the data are of the history at that offset, so that the stream may go on there.
    can_go_on: AtomicBool,
}

impl Standing {
    /// Whether the server is a replica.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.is_replica.load(Relaxed)
    }

    /// Offset in the primary's history up to which its changes are made here.
    pub fn offset(&self) -> u64 {
        self.offset.load(Relaxed)
    }

    /// Offset up to which the primary's stream has come.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed).max(self.offset())
    }

    /// Notes up to which offset the primary's stream has come.
    pub fn set_received(&self, offset: u64) {
        self.received.store(offset, Relaxed);
    }

    /// Notes up to which offset the primary's changes are made here, and relayed.
    pub fn set_offset(&self, offset: u64) {
        self.offset.store(offset, Relaxed);
    }

    /// Has the next link begin with a copy: the data are not known to be what the stream says.
    pub fn need_copy(&self) {
        self.can_go_on.store(false, Relaxed);
    }

    /// Whether it is a replica whose data are not known to be what the stream says.
    pub fn is_in_doubt(&self) -> bool {
        self.is_replica() && !self.can_go_on.load(Relaxed)
    }

    /// Has the stream written from here on, where it is not yet, and the last bytes of it kept: its end has
    /// this offset. Returns whether it was not. Nothing else happens in the keyspace meanwhile.
    pub fn begin_stream(
        history: &mut History,
        journal: &Journal,
        backlog_bytes: u64,
        offset: impl FnOnce() -> u64,
    ) -> bool {
        let begins = !history.is_kept();
        if begins {
            journal.keep(Some(backlog_bytes));
            history.begin(journal.end(), offset());
        }
        begins
    }

    /// Goes on with the stream of an earlier run of a primary, whose data were loaded and which was written as
    /// far as this. Replicas that have as much of it follow without a copy.
    pub fn resume_stream(history: &mut History, journal: &Journal, backlog_bytes: u64, place: StreamPlace) {
        Self::begin_stream(history, journal, backlog_bytes, || place.offset);
        history.take_over(place.id, place.offset);
    }

    /// What changes from here on is a primary's. The history that there is may be one that the primary knows:
    /// it may have been a replica of this server, if that `was_followed`. The stream is written.
    pub fn become_replica(&self, history: &History, journal: &Journal, was_followed: bool) {
        journal.set_relays(true);
        self.offset.store(history.offset(journal.end()), Relaxed);
        self.received.store(0, Relaxed);
        self.can_go_on.store(was_followed, Relaxed);
        self.is_replica.store(true, Relaxed);
    }

    /// What changes from here on is of a history of its own, which begins where the primary's was left.
    pub fn become_primary(&self, history: &mut History, journal: &Journal) {
        history.part_from_primary(self.offset());
        journal.set_relays(false);
        self.is_replica.store(false, Relaxed);
    }

    /// The data are a copy of a primary's at this place of its history. Nothing is kept any more for those that
    /// were cut off: what they have may be of another history.
    pub fn take_copy(&self, history: &mut History, journal: &Journal, place: StreamPlace) {
        let StreamPlace { id, offset, database } = place;
        journal.set_database(Some(database));
        history.adopt(id, journal.end(), offset);
        journal.forget_holds();
        self.offset.store(offset, Relaxed);
        self.received.store(offset, Relaxed);
        self.can_go_on.store(true, Relaxed);
    }

    /// The primary lets the stream go on, perhaps under a new id. Returns whether it is a new one, which
    /// replicas of this server have to hear of.
    pub fn go_on(&self, history: &mut History, id: Option<&str>) -> bool {
        let Some(id) = id.filter(|id| *id != history.id()) else { return false };
        history.change_id(id.to_owned(), self.offset());
        true
    }

    /// The place that the data are of, as a replica that asks for the stream names it: `None` before the first
    /// copy.
    pub fn place(&self, history: &History) -> Option<(String, u64)> {
        self.can_go_on.load(Relaxed).then(|| (history.id().to_owned(), self.offset()))
    }
}
