//! This server as a primary: who follows it, from where on, and what is told to whom.
//!
//! PSYNC leads to [`Server::follow`], which lets the replica go on in the stream or enters it among those
//! that wait for a copy. Its connection becomes a [`Link`](crate::replication::Link). Copies are made by
//! `persistence` ([`FullCopies`]), one at a time, for all that wait when it begins.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::Server;
use super::client::Client;
use crate::config::Directive;
use crate::journal::{Entries, Journal};
use crate::replication::failover::Failover;
use crate::replication::{
    Absent, Announced, Asked, Good, History, Replica, Replicas, Stage, Standing, StreamPlace,
};
use crate::shared::waiter::{AckWait, Waiter};

/// Full copies, as the engine asks for them.
pub trait FullCopies: Send + Sync {
    /// Begins a copy for the replicas that wait, unless one is being made: then they are looked at again when
    /// that one ends.
    fn begin(&self);
}

/// State of a server that replicas may follow.
#[derive(Default)]
pub struct Replication {
    /// Ids and offsets.
    pub history: RwLock<History>,
    /// Who follows, and how far each has come.
    pub replicas: Replicas,
    /// Those that were cut off and are expected back.
    pub absent: Absent,
    /// Added to the count of changes it gives the offset while no stream is written.
    idle_base: AtomicU64,
    /// Position behind the last GETACK.
    asked_to: AtomicU64,
    pinged_ms: AtomicU64,
    /// Whether a copy is being made.
    pub is_copying: AtomicBool,
    /// The failover that is asked for or under way.
    pub failover: Mutex<Failover>,
    /// Whether a replica that does not know expiries of fields was sent some in the stream: it has lost them,
    /// so none of its kind goes on in the stream any more.
    pub has_lost_field_ends: AtomicBool,
    /// Calls for a look after replicas at once.
    pub look: Notify,
    copies: std::sync::OnceLock<Arc<dyn FullCopies>>,
}

impl Server {
    /// Says how full copies are made; called once, at the start.
    pub fn set_full_copies(&self, copies: Arc<dyn FullCopies>) {
        // Whoever is there first stays.
        let _ = self.replication.copies.set(copies);
    }

    /// The replication offset that both ports tell: the stream's, or while none is written one more than the
    /// changes made. It is never 0, since clients (Lettuce) take a replica at offset 0 for one that has no
    /// data yet, and the read-only port always has all of it.
    pub fn replication_offset(&self) -> u64 {
        if self.following.is_replica() {
            return self.following.offset();
        }
        let history = self.replication.history.read();
        if history.is_kept() { history.offset(self.journal().end()) } else { self.idle_offset() }
    }

    fn idle_offset(&self) -> u64 {
        (1 + self.change_count()).wrapping_add(self.replication.idle_base.load(Ordering::Relaxed))
    }

    /// Has the stream written from here on, where it is not written yet, and its end kept for replicas that
    /// come back. The caller is alone in the keyspace.
    pub fn begin_stream(&self) {
        self.begin_stream_at(|history, journal, backlog_bytes| {
            Standing::begin_stream(history, journal, backlog_bytes, || self.idle_offset())
        });
    }

    pub(super) fn begin_stream_at(&self, begin: impl FnOnce(&mut History, &Journal, u64) -> bool) {
        let mut history = self.replication.history.write();
        if begin(&mut history, self.journal(), self.config.unsigned(Directive::ReplBacklogSize)) {
            self.effects.set_has_links(true);
            self.replication.pinged_ms.store(self.clock.now_ms(), Ordering::Relaxed);
            tracing::info!("Replication backlog created, my new replication ID is {}", history.id());
        }
    }

    /// The place of the stream's end; `None` while none is written.
    pub fn stream_place(&self) -> Option<StreamPlace> {
        let history = self.replication.history.read();
        history.is_kept().then(|| StreamPlace {
            id: history.id().to_owned(),
            offset: history.offset(self.journal().end()),
            database: self.journal().database().unwrap_or(0),
        })
    }

    /// Ends the stream where there has been no replica for `repl-backlog-ttl`. Waits until nobody else is in
    /// the keyspace.
    fn end_stream_if_due(&self, now_ms: u64) {
        let ttl_s = self.config.int(Directive::ReplBacklogTtl).max(0) as u64;
        let is_due = || {
            ttl_s > 0
                && !self.following.is_replica()
                && self.replication.history.read().is_kept()
                && self.replication.replicas.count() == 0
                && self.replication.replicas.alone_for_ms(now_ms) > ttl_s * 1000
        };
        if !is_due() {
            return;
        }
        let _alone = self.be_alone();
        let mut history = self.replication.history.write();
        if self.replication.replicas.count() > 0 || self.following.is_replica() {
            return;
        }
        let offset = history.offset(self.journal().end());
        let base = offset.wrapping_sub(1 + self.change_count());
        self.replication.idle_base.store(base, Ordering::Relaxed);
        history.end();
        self.replication.absent.clear();
        self.journal().keep(None);
        self.effects.set_has_links(false);
        tracing::info!("Replication backlog freed after {ttl_s} seconds without connected replicas.");
    }

    /// Makes the client's connection a link. With `asked`, an id and the number of the next byte, it goes on
    /// there if it can; without, it gets a copy (SYNC).
    pub fn follow(&self, client: &mut Client, asked: Option<(&[u8], i64)>) {
        let now_ms = self.clock.now_ms();
        let mut announced = client.announced.take().map_or_else(Default::default, |announced| *announced);
        announced.is_old = asked.is_none();
        let asked = asked.filter(|_| self.holds_all(&announced));
        let ip = client.address().map_or_else(|| "127.0.0.1".to_owned(), |address| address.to_string());
        let shared = Arc::clone(&client.shared);
        let replica = |stage| {
            let shared = Arc::clone(&shared);
            Arc::new(Replica::new(shared.id, ip, announced, stage, now_ms, move || shared.look()))
        };
        // Behind the lock until the replica is entered: a stream that somebody follows must not end.
        let history = self.replication.history.read();
        let Replication { replicas, absent, .. } = &self.replication;
        let has = Asked { history: &history, journal: self.journal(), replicas, absent };
        let woken = Arc::clone(&shared);
        let link = has.follow(asked, replica, move || woken.look());
        client.shared.replica.store(true, Ordering::Relaxed);
        drop(history);
        let waits = link.replica.stage() == Stage::Waits;
        client.link = Some(Box::new(link));
        if waits {
            self.begin_copy_if_due(now_ms);
        }
    }

    /// The replicas that wait for a copy.
    pub fn waiting_replicas(&self) -> Vec<Arc<Replica>> {
        self.replication.replicas.in_stage(Stage::Waits)
    }

    /// Begins a copy for those that wait, once the first has waited as long as others are waited for
    /// (`repl-diskless-sync-delay`), or there are as many as are waited for.
    pub fn begin_copy_if_due(&self, now_ms: u64) {
        let waiting = self.waiting_replicas();
        let Some(first) = waiting.first() else { return };
        let shares = self.config.flag(Directive::ReplDisklessSync);
        let delay_ms = self.config.int(Directive::ReplDisklessSyncDelay).max(0) as u64 * 1000;
        let enough = self.config.int(Directive::ReplDisklessSyncMaxReplicas).max(0) as usize;
        let has_waited = now_ms.saturating_sub(first.asked_ms) >= delay_ms;
        if (!shares || has_waited || enough > 0 && waiting.len() >= enough)
            && !self.replication.is_copying.load(Ordering::Acquire)
            && let Some(copies) = self.replication.copies.get()
        {
            copies.begin();
        }
    }

    /// Does what is due for replicas, once a second: pings them, begins copies, ends a stream that nobody
    /// follows. May wait for commands that run.
    pub fn look_after_replicas(&self) {
        self.look_after_failover();
        let now_ms = self.clock.now_ms();
        let replication = &self.replication;
        if replication.replicas.count() > 0 {
            let period_ms = self.config.int(Directive::ReplPingReplicaPeriod).max(1) as u64 * 1000;
            let pinged_ms = replication.pinged_ms.load(Ordering::Relaxed);
            // Once nothing changes any more, before the end or a change of roles, nothing is to follow.
            // 0 before the stream begins, which may be now, by another thread.
            let is_due = pinged_ms > 0 && now_ms.saturating_sub(pinged_ms) >= period_ms;
            if is_due && self.pause.in_force(now_ms).is_none() {
                replication.pinged_ms.store(now_ms, Ordering::Relaxed);
                self.tell_replicas(&[b"PING"]);
            }
            self.part_with_replicas_that_lack_data();
            self.begin_copy_if_due(now_ms);
        }
        self.forget_absent_replicas(now_ms);
        self.end_stream_if_due(now_ms);
    }

    /// Whether a replica that went on in the stream would have everything: it knows expiries of fields, or
    /// there were none.
    fn holds_all(&self, announced: &Announced) -> bool {
        announced.knows_field_ends()
            || announced.version == 0 && self.config.word(Directive::RdbVersion) == "80"
            || !(self.replication.has_lost_field_ends.load(Ordering::Relaxed) || self.has_field_ends())
    }

    fn has_field_ends(&self) -> bool {
        self.keyspace.all_made().any(|database| database.field_ends_len() > 0)
    }

    /// Ends the links of replicas that do not know expiries of fields, once there are some: the requests that
    /// set them were errors there. They ask again, and are told with a key why they get no copy.
    fn part_with_replicas_that_lack_data(&self) {
        for replica in self.replication.replicas.all() {
            if replica.stage() == Stage::Online && !self.holds_all(&replica.announced) {
                self.replication.has_lost_field_ends.store(true, Ordering::Relaxed);
                let name = replica.name();
                tracing::warn!("closing the link of replica {name}: it does not know expiries of fields");
                if let Some(client) = self.clients.by_id(replica.client) {
                    client.close();
                }
            }
        }
    }

    /// Asks replicas for what they have. Returns the positions before and behind the question.
    pub(super) fn ask_replicas(&self) -> Range<u64> {
        self.tell_replicas(&[b"REPLCONF", b"GETACK", b"*"])
    }

    /// Puts a request into the stream that replicas get and no file. Returns the positions between which it
    /// stands there; both are 0 where there is no stream of this server's own.
    fn tell_replicas(&self, words: &[&[u8]]) -> Range<u64> {
        let mut entries = Entries::default();
        entries.push(None, words);
        // Behind the lock, since a stream that ends meanwhile must not be written into.
        let history = self.replication.history.read();
        let is_own = history.is_kept() && !self.journal().relays();
        if !is_own {
            return 0..0;
        }
        let end = self.journal().append_for_links(&entries);
        end - entries.bytes().len() as u64..end
    }

    /// Bytes of the stream that are kept for replicas that come back, and those beyond them that wait for
    /// replicas or files.
    pub fn replication_memory(&self) -> (u64, u64) {
        let history = self.replication.history.read();
        if !history.is_kept() {
            return (0, 0);
        }
        let all = self.journal().memory_bytes() as u64;
        let backlog = all.min(self.config.unsigned(Directive::ReplBacklogSize));
        (backlog, all - backlog)
    }

    /// Takes a changed `repl-backlog-size`, `repl-spill-size` or `client-output-buffer-limit`: what waits in
    /// memory for the file is no more than may wait for a replica.
    pub(super) fn resize_backlog(&self) {
        let room = self.settings.replica_limit().hard_bytes as u64;
        self.journal().set_room(if room > 0 { room } else { u64::MAX });
        self.journal().set_spill(self.config.unsigned(Directive::ReplSpillSize));
        let history = self.replication.history.read();
        if history.is_kept() {
            self.journal().keep(Some(self.config.unsigned(Directive::ReplBacklogSize)));
        }
    }
}

impl Server {
    /// Number of replicas in good state for `min-replicas-to-write`. Where no replica has ever followed, the
    /// read-only port is one, as it is never behind.
    pub fn good_replicas(&self) -> usize {
        let replicas = &self.replication.replicas;
        if !replicas.had_any() {
            return self.own_replicas();
        }
        let max_lag_s = self.config.int(Directive::MinReplicasMaxLag).max(0) as u64;
        replicas.good(Good { max_lag_s, now_ms: self.clock.now_ms() })
    }

    /// 1 where the read-only port counts as a replica: it is open, and no other has ever followed. An
    /// acknowledged write must not depend on a port of the same process.
    pub fn own_replicas(&self) -> usize {
        let counts = self.identity.ports.read().read_only != 0
            && !self.replication.replicas.had_any()
            && !self.following.is_replica();
        usize::from(counts)
    }

    /// The offset that replicas have to have for the changes before a position.
    pub fn offset_of_changes(&self, position: u64) -> u64 {
        self.replication.history.read().offset_of_changes(position)
    }

    /// Replicas that have acknowledged what a wait is for.
    pub fn acknowledged_by(&self, wait: &AckWait) -> usize {
        let replicas = &self.replication.replicas;
        if wait.of_disks {
            return replicas.on_disk(wait.offset);
        }
        self.own_replicas() + replicas.acknowledged(wait.offset)
    }

    /// Whether the file of this server has what a wait is for.
    pub fn has_synced(&self, wait: &AckWait) -> bool {
        self.config.flag(Directive::Appendonly) && self.durability.is_synced(wait.position)
    }

    /// Whether all is acknowledged that a wait is for.
    pub fn is_acknowledged(&self, wait: &AckWait) -> bool {
        (!wait.local || self.has_synced(wait)) && self.acknowledged_by(wait) >= wait.replicas
    }

    /// Has a wait end when everything is acknowledged that it is for.
    #[cold]
    pub(super) fn wait_for_acks(&self, wait: &AckWait, waiter: &Arc<Waiter>) {
        self.durability.add_waiter(waiter);
        if wait.replicas > 0 && self.replication.asked_to.load(Ordering::Relaxed) <= wait.position {
            let asked_to = self.ask_replicas().end;
            self.replication.asked_to.fetch_max(asked_to, Ordering::Relaxed);
        }
        self.end_if_acknowledged(waiter);
    }

    /// A replica has acknowledged more: ends the waits that it was missing for.
    pub fn replica_acknowledged(&self) {
        if !self.durability.has_replica_waiters() {
            return;
        }
        let replicas = &self.replication.replicas;
        let (offsets, on_disk) = (replicas.acknowledged_offsets(), replicas.on_disk_offsets());
        for waiter in self.durability.take_acknowledged(&offsets, &on_disk) {
            self.end_if_acknowledged(&waiter);
        }
    }
}
