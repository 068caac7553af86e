//! What a replica is answered that asks for data.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::failover::Step;
use super::{Absent, Answer, History, Link, Replica, Replicas, Stage, Unfit};
use crate::journal::{Journal, Reader};

/// Why a server has no stream for replicas at present, in words for the replica; `None` where it has one. Its
/// own link being down, a replica may be given a copy any time, and would have to cut those that follow it.
pub fn refusal(failover: Step, is_replica: bool, is_connected: bool) -> Option<&'static str> {
    match () {
        () if failover != Step::None => Some("NOMASTERLINK Can't SYNC while failing over"),
        () if is_replica && !is_connected => {
            Some("NOMASTERLINK Can't SYNC while not connected with my master")
        }
        () => None,
    }
}

/// What a server has for replicas that ask.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Ids and offsets; a stream that somebody follows must not end.
    pub history: &'a History,
    /// The stream.
    pub journal: &'a Journal,
    /// Those that follow.
    pub replicas: &'a Replicas,
    /// Those that are expected back.
    pub absent: &'a Absent,
}

impl Asked<'_> {
    /// Enters a replica and makes its link. With `asked`, an id and the number of the next byte, it goes on
    /// there if it can; else it waits for a copy. `new` makes the replica; `wake` has its link look for
    /// something to send.
    pub fn follow(
        &self,
        asked: Option<(&[u8], i64)>,
        new: impl FnOnce(Stage) -> Arc<Replica>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Link {
        let link = match asked.and_then(|(id, next)| self.go_on(id, next, wake)) {
            Some(reader) => {
                let replica = new(Stage::Online);
                let (takes_id, id) = (replica.announced.takes_new_ids, self.history.id());
                let line = if takes_id { format!("+CONTINUE {id}\r\n") } else { "+CONTINUE\r\n".to_owned() };
                tracing::info!("Partial resynchronization request from {} accepted.", replica.name());
                Link::going_on(replica, reader, line.into())
            }
            None => {
                let replica = new(Stage::Waits);
                tracing::info!("Replica {} asks for synchronization", replica.name());
                Link::waiting(replica)
            }
        };
        // It goes on from here, or begins anew.
        let kept = self.absent.remove(&link.replica.name());
        kept.into_iter().for_each(|hold| self.journal.give_up(hold));
        self.replicas.add(Arc::clone(&link.replica));
        link
    }

    /// Lets a replica go on in the stream, where it may. Returns what reads the stream for it.
    fn go_on(&self, id: &[u8], next: i64, wake: impl Fn() + Send + Sync + 'static) -> Option<Reader> {
        let answer = self.history.answer(id, next, self.journal.first(), self.journal.end());
        let reader = match answer {
            Answer::Continue(position) => self.journal.listen_from(position, wake),
            Answer::Full(Unfit::Asked) => return None,
            Answer::Full(Unfit::Id) => {
                tracing::info!(
                    "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '{}', my replication IDs are '{}' and '{}')",
                    String::from_utf8_lossy(&id[..id.len().min(40)]),
                    self.history.id(),
                    self.history.second().map_or_else(|| "0".repeat(40), |(id, _)| id.to_owned()),
                );
                None
            }
            Answer::Full(Unfit::Offset) => {
                tracing::info!(
                    "Unable to partial resync with a replica for lack of backlog (Replica request was: {next})."
                );
                None
            }
        };
        let Replicas { continued, not_continued, .. } = self.replicas;
        let counter = if reader.is_some() { continued } else { not_continued };
        counter.fetch_add(1, Ordering::Relaxed);
        reader
    }
}
