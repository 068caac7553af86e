//! What this server does for the links of its replicas, which are a machine of `replication`.

use super::Server;
use crate::config::Directive;
use crate::replication::{Limits, Link, Patience, Step};
use crate::shared::client::OutputLimit;

impl Server {
    /// What a link is to send next.
    pub fn next_of_link(&self, link: &mut Link) -> Step {
        loop {
            match link.next(self.journal(), self.clock.now_ms()) {
                Step::Online => {
                    tracing::info!("Synchronization with replica {} succeeded", link.replica.name());
                    self.replica_acknowledged();
                }
                step => return step,
            }
        }
    }

    /// Looks after a link from time to time. Returns a sign of life that is to be sent.
    ///
    /// # Errors
    /// The link has to end, with what is to be logged.
    pub fn look_after_link(&self, link: &mut Link) -> Result<Option<&'static [u8]>, &'static str> {
        let OutputLimit { hard_bytes, soft_bytes, soft_seconds } = self.settings.replica_limit();
        let limits = Limits {
            hard_bytes: hard_bytes as u64,
            soft_bytes: soft_bytes as u64,
            soft_ms: soft_seconds.saturating_mul(1000),
        };
        let timeout_ms = self.config.int(Directive::ReplTimeout).max(1) as u64 * 1000;
        link.look(self.journal(), Patience { timeout_ms, limits }, self.clock.now_ms())
    }

    /// Bytes of the stream that wait for a link in memory.
    pub fn unread_by_link(&self, link: &Link) -> u64 {
        link.waiting_for_it(self.journal()).memory_bytes
    }

    /// Ends a link: its replica is gone. What it has not acknowledged may be kept for it.
    pub fn end_link(&self, mut link: Link) {
        let hold = link.end(self.journal());
        let now_ms = self.clock.now_ms();
        self.replication.replicas.remove(&link.replica, now_ms);
        let name = link.replica.name();
        tracing::info!("Connection with replica {name} lost.");
        let given_up = hold.and_then(|hold| self.replication.absent.add(name, hold, now_ms));
        given_up.into_iter().for_each(|hold| self.journal().give_up(hold));
    }

    /// Keeps nothing any more for replicas that have been gone for longer than `repl-backlog-ttl`.
    pub(super) fn forget_absent_replicas(&self, now_ms: u64) {
        let ttl_ms = self.config.int(Directive::ReplBacklogTtl).max(0) as u64 * 1000;
        while ttl_ms > 0
            && let Some(hold) = self.replication.absent.remove_old(now_ms, ttl_ms)
        {
            self.journal().give_up(hold);
        }
    }
}
