//! Changes of the server's role: from primary to replica, from one primary to another, and back. Also what
//! becomes of the history on the way.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Server;
use super::following::{LinkFacts, Primary};
use super::own_keys::OwnKeys;
use crate::config::Directive;
use crate::effects::ChangeBuffer;
use crate::keyspace::gate::Exclusive;
use crate::replication::failover::Step;
use crate::replication::{Standing, StreamPlace};

impl Server {
    /// Takes what directives say of a replica.
    pub(super) fn load_following(&self) {
        self.following.is_read_only.store(self.config.flag(Directive::ReplicaReadOnly), Relaxed);
        self.following.answers_stale.store(self.config.flag(Directive::ReplicaServeStaleData), Relaxed);
    }

    /// Follows a primary from now on, or none. Clients that wait for keys are sent away, as what they wait
    /// for will not come here. Returns false where that was so before. The caller is alone in the keyspace
    /// and [holds the stream](super::following::Following::hold_stream).
    pub fn follow_primary(&self, primary: Option<Primary>) -> bool {
        let following = &self.following;
        if following.primary().as_deref() == primary.as_ref() {
            return false;
        }
        match &primary {
            Some(Primary { host, port }) => {
                tracing::info!("Connecting to PRIMARY {host}:{port}");
                if !following.is_replica() {
                    self.become_replica();
                }
            }
            None => self.become_primary(),
        }
        following.note(|link| *link = LinkFacts::default());
        *following.own_keys.lock() = OwnKeys::default();
        // For CONFIG REWRITE, whoever has changed the role.
        self.config.note_primary(primary.as_ref().map(|primary| (&*primary.host, primary.port)));
        let is_replica = primary.is_some();
        following.wanted.send_replace(primary.map(Arc::new));
        self.tell_oom_score_of_role();
        // While a failover is under way it may still be given up: they wait for its end.
        if is_replica && self.failover_step() != Step::InProgress {
            self.unblock_all();
        }
        true
    }

    /// [`follow_primary`](Self::follow_primary) for a caller that is not alone and holds nothing.
    pub fn change_primary(&self, primary: Option<Primary>) -> bool {
        let _stream = self.following.hold_stream();
        let _alone = self.be_alone();
        self.follow_primary(primary)
    }

    /// Follows the primary that `replicaof` names; called once, at the start.
    pub fn follow_configured_primary(&self) {
        let named = self.config.text(Directive::Replicaof).to_string();
        let primary = named
            .rsplit_once(' ')
            .and_then(|(host, port)| Some(Primary { host: host.to_owned(), port: port.parse().ok()? }));
        if primary.is_some() && !self.cluster.is_enabled() {
            self.change_primary(primary);
        }
    }

    /// What changes from here on is the primary's. The history that there is may be one that the primary
    /// knows: it may have been a replica of this server.
    fn become_replica(&self) {
        let was_followed = self.replication.history.read().is_kept();
        self.begin_stream();
        self.effects.set_has_links(false);
        let history = self.replication.history.read();
        self.following.standing.become_replica(&history, self.journal(), was_followed);
    }

    /// What changes from here on is of a history of its own, which begins where the primary's was left.
    fn become_primary(&self) {
        tracing::info!("Discarding previously cached primary state. PRIMARY MODE enabled");
        let last = self.following.offset();
        {
            let mut history = self.replication.history.write();
            let before = history.id().to_owned();
            self.following.standing.become_primary(&mut history, self.journal());
            tracing::info!(
                "Setting secondary replication ID to {before}, valid up to offset: {}. New replication ID is {}",
                last + 1,
                history.id()
            );
        }
        self.effects.set_has_links(true);
        self.replication.replicas.expect(self.clock.now_ms());
        self.cut_replicas();
    }

    /// Closes the links of all replicas: they ask again, and hear how the history goes on.
    fn cut_replicas(&self) {
        for replica in self.replication.replicas.all() {
            if let Some(client) = self.clients.by_id(replica.client) {
                client.close();
            }
        }
    }

    /// Runs `work`, which exchanges all data, alone in the keyspace, and serves clients that waited for what
    /// has come.
    pub fn exchange_data<T>(&self, work: impl FnOnce(&mut Exclusive<'_>, &ChangeBuffer<'_>) -> T) -> T {
        let mut batch = self.new_batch();
        let done = {
            let mut exclusive = self.be_alone();
            work(&mut exclusive, &batch.changes)
        };
        if batch.changes.any_ready() {
            self.serve_waiting(&mut batch);
            self.account_batch(&mut batch);
        }
        done
    }

    /// Notes that the data are a copy of a primary's at this place of its history. The caller is alone in the
    /// keyspace and holds the stream.
    pub fn took_copy(&self, place: StreamPlace) {
        let mut history = self.replication.history.write();
        self.following.standing.take_copy(&mut history, self.journal(), place);
        drop(history);
        *self.following.own_keys.lock() = OwnKeys::default();
        // What they have may be of another history.
        self.replication.absent.clear();
        self.cut_replicas();
    }

    /// Notes that the primary lets the stream go on, perhaps under a new id. Returns whether the links of
    /// replicas were cut, which have to hear of it.
    pub fn goes_on(&self, id: Option<&str>) -> bool {
        let _stream = self.following.hold_stream();
        let mut history = self.replication.history.write();
        if !self.following.standing.go_on(&mut history, id) {
            return false;
        }
        tracing::info!("Primary replication ID changed to {}", history.id());
        drop(history);
        self.cut_replicas();
        true
    }

    /// Goes on with the stream of an earlier run, whose data were loaded: replicas that have as much of it
    /// follow without a copy, and so does this server where it is one.
    pub fn resume_stream(&self, place: Option<StreamPlace>) {
        let Some(place) = place else { return };
        let _stream = self.following.hold_stream();
        let _alone = self.be_alone();
        if self.following.is_replica() {
            return self.took_copy(place);
        }
        self.begin_stream_at(|history, journal, backlog_bytes| {
            let begins = !history.is_kept();
            Standing::resume_stream(history, journal, backlog_bytes, place);
            begins
        });
        self.replication.replicas.expect(self.clock.now_ms());
    }

    /// Offset up to which the primary's stream is applied, and where an append-only file is kept, that up to
    /// which it is on disk.
    pub fn applied_offsets(&self) -> (u64, Option<u64>) {
        let offset = self.following.offset();
        if !self.config.flag(Directive::Appendonly) {
            return (offset, None);
        }
        let on_disk = self.offset_of_changes(self.durability.synced());
        (offset, Some(on_disk.min(offset)))
    }

    /// The place that the data are of, as a replica that asks for the stream names it: `None` before the
    /// first copy.
    pub fn place_in_stream(&self) -> Option<(String, u64)> {
        let _stream = self.following.hold_stream();
        self.following.standing.place(&self.replication.history.read())
    }
}
