//! FAILOVER: this server, a primary, lets nothing change any more, waits until a replica has everything, and
//! follows it; the replica takes over when it is told so by PSYNC. No write that was answered is lost.

use super::Server;
use super::following::Primary;
use crate::error::CommandError;
use crate::replication::failover::{Look, Place, Step, refusal_to_take_over};
use crate::replication::{Replica, Stage};
use crate::shared::pause::{FOR_EVER_MS, Purpose, Scope};

/// What FAILOVER asks for.
#[derive(Debug, Default)]
pub struct FailoverRequest {
    /// The replica that is to take over; `None` for any.
    pub target: Option<Place>,
    /// How long it is waited for, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Whether the target takes over after that time whatever it has.
    pub is_forced: bool,
}

impl Server {
    /// Begins a failover. The caller is alone in the keyspace: what ran has run to its end.
    ///
    /// # Errors
    /// It cannot be begun: nothing has happened.
    pub fn begin_failover(&self, request: FailoverRequest) -> Result<(), CommandError> {
        let mut failover = self.replication.failover.lock();
        let replicas = self.replication.replicas.all();
        let refusal = |text| Err(CommandError::text(text));
        if failover.step() != Step::None {
            return refusal("ERR FAILOVER already in progress.");
        }
        if self.following.is_replica() {
            return refusal("ERR FAILOVER is not valid when server is a replica.");
        }
        if replicas.is_empty() {
            return refusal("ERR FAILOVER requires connected replicas.");
        }
        if request.is_forced && (request.timeout_ms.is_none() || request.target.is_none()) {
            return refusal("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
        }
        if let Some(target) = &request.target {
            match replicas.iter().find(|replica| place(replica) == *target) {
                None => return refusal("ERR FAILOVER target HOST and PORT is not a replica."),
                Some(replica) if replica.stage() != Stage::Online => {
                    return refusal("ERR FAILOVER target replica is not online.");
                }
                Some(_) => {}
            }
        }
        match &request.target {
            Some((host, port)) => tracing::info!("FAILOVER requested to {host}:{port}."),
            None => tracing::info!("FAILOVER requested to any replica."),
        }
        let now_ms = self.clock.now_ms();
        let end_ms = request.timeout_ms.map(|timeout_ms| now_ms.saturating_add(timeout_ms));
        failover.begin(request.target, end_ms, request.is_forced);
        self.pause.start(Purpose::Failover, Scope::Write, FOR_EVER_MS, now_ms);
        self.replication.look.notify_one();
        Ok(())
    }

    /// Looks whether a replica can take over. May wait for commands that run.
    pub fn look_after_failover(&self) {
        if self.replication.failover.lock().releases(self.clock.now_ms()) {
            // The other server may never answer: nobody is to hang until it does. This one is a replica already.
            self.unblock_all();
            self.end_pause(Purpose::Failover);
        }
        if self.failover_step() != Step::WaitsForSync {
            return;
        }
        // A write that was judged before the pause began has run behind this, or is paused too.
        drop(self.be_alone());
        let offset = self.replication_offset();
        let replicas = self.replication.replicas.all();
        let online = replicas.iter().filter(|replica| replica.stage() == Stage::Online);
        let acknowledged = online.map(|replica| (place(replica), replica.acknowledged()));
        let now_ms = self.clock.now_ms();
        let (look, is_over) = {
            let mut failover = self.replication.failover.lock();
            (failover.look(now_ms, offset, acknowledged), failover.is_over(now_ms))
        };
        match look {
            Look::Wait => {
                if self.replication.failover.lock().asks(offset) {
                    let asked = self.ask_replicas();
                    let offsets = {
                        let history = self.replication.history.read();
                        history.offset(asked.start)..history.offset(asked.end)
                    };
                    self.replication.failover.lock().has_asked(offsets);
                }
            }
            Look::TooLate => {
                self.give_up_failover("Replica never caught up before timeout");
            }
            Look::Follow((host, port)) => {
                let _stream = self.following.hold_stream();
                let _alone = self.be_alone();
                // FAILOVER ABORT may have come in between, which is alone too.
                if self.failover_step() == Step::InProgress {
                    let why = if is_over { "time out exceeded" } else { "it has everything" };
                    tracing::info!("Failover target {host}:{port}: {why}, failing over.");
                    self.follow_primary(Some(Primary { host, port }));
                }
            }
        }
    }

    /// [`abort_failover`](Self::abort_failover) for a caller that is not alone and holds nothing.
    pub fn give_up_failover(&self, why: &str) {
        if self.failover_step() != Step::None {
            let _stream = self.following.hold_stream();
            let _alone = self.be_alone();
            self.abort_failover(why);
        }
    }

    /// Gives up a failover: this server is the primary again. Returns false where there is none. The caller
    /// is alone in the keyspace and [holds the stream](super::following::Following::hold_stream).
    pub fn abort_failover(&self, why: &str) -> bool {
        let mut failover = self.replication.failover.lock();
        let step = failover.step();
        if step == Step::None {
            return false;
        }
        match failover.target() {
            Some((host, port)) => tracing::warn!("FAILOVER to {host}:{port} aborted: {why}"),
            None => tracing::warn!("FAILOVER to any replica aborted: {why}"),
        }
        failover.end();
        drop(failover);
        if step == Step::InProgress {
            self.follow_primary(None);
        }
        self.end_pause(Purpose::Failover);
        true
    }

    /// The other server has taken over: this one is its replica, and those that wait are told so.
    pub fn failover_done(&self) {
        let mut failover = self.replication.failover.lock();
        if failover.step() == Step::InProgress {
            failover.end();
            drop(failover);
            self.unblock_all();
            self.end_pause(Purpose::Failover);
        }
    }

    /// How far a failover is.
    pub fn failover_step(&self) -> Step {
        self.replication.failover.lock().step()
    }

    /// Takes over from the primary, which asks for it by PSYNC with the id of its history. The caller is alone
    /// in the keyspace and [holds the stream](super::following::Following::hold_stream).
    ///
    /// # Errors
    /// This server is no replica, or one of another history.
    pub fn take_over(&self, id: &[u8]) -> Result<(), CommandError> {
        let is_replica = self.following.is_replica();
        let refusal = refusal_to_take_over(is_replica, id, self.replication.history.read().id());
        if let Some(refusal) = refusal {
            return Err(CommandError::text(refusal));
        }
        self.follow_primary(None);
        tracing::info!("PRIMARY MODE enabled (failover request)");
        Ok(())
    }
}

/// Where a replica is found.
fn place(replica: &Replica) -> Place {
    (replica.shown_ip().to_owned(), replica.announced.port)
}
