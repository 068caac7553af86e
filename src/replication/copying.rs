//! The beginning of a full copy: what the replicas that share it read, and from where on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Copy, Replica, Replicas, Stage, Start};
use crate::journal::{Journal, Reader};

/// A replica for which the stream is read from the copy's instant on.
#[derive(Debug)]
pub struct Follower {
    /// It waits for the copy, or takes it.
    pub replica: Arc<Replica>,
    reader: Option<Reader>,
}

impl Follower {
    /// Has the stream read for all that wait, from the present instant on. Returns them with the instant's
    /// position. The stream is written, and the caller is alone in the keyspace.
    pub fn all(replicas: &Replicas, journal: &Journal) -> (Vec<Self>, u64) {
        let position = journal.begin_part().position;
        let follow = |replica: Arc<Replica>| {
            let woken = Arc::clone(&replica);
            let wants = !replica.announced.rdb_only;
            let reader = if wants { journal.listen_from(position, move || woken.wake()) } else { None };
            Self { replica, reader }
        };
        (replicas.in_stage(Stage::Waits).into_iter().map(follow).collect(), position)
    }

    /// Begins the copy of this replica, which is of this id and offset.
    pub fn begin(self, replicas: &Replicas, journal: &Journal, copy: &Arc<Copy>, (id, offset): (&str, u64)) {
        let is_old = self.replica.announced.is_old;
        let line = if is_old { Vec::new() } else { format!("+FULLRESYNC {id} {offset}\r\n").into() };
        let start = Start { copy: Arc::clone(copy), reader: self.reader, line };
        replicas.full_copies.fetch_add(1, Ordering::Relaxed);
        if let Some(start) = self.replica.begin_copy(start) {
            // Its link has ended.
            copy.leave(&self.replica);
            start.reader.iter().for_each(|reader| journal.leave(reader));
        }
    }

    /// Has the stream read for it no longer.
    pub fn leave(&self, journal: &Journal) {
        self.reader.iter().for_each(|reader| journal.leave(reader));
    }
}
