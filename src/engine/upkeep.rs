//! What is done about clients once a second: those that were idle for too long are closed, and those that do
//! not read are cut.

use std::sync::atomic::Ordering::Relaxed;

use super::Server;
use crate::config::Directive;
use crate::shared::client::SharedClient;

impl Server {
    /// Does what background threads would do at the time that the clock was moved to: expires keys, closes idle
    /// clients, and wakes those that wait, as their time may be over. The keyspace's gate is open to the caller.
    pub fn clock_was_moved(&self) {
        if self.upkeep.active_expiry.load(Relaxed) {
            self.expire_due();
        }
        self.look_after_clients();
        self.look_at_hot_keys();
        for client in self.clients.all() {
            if client.waiter.lock().is_some() || client.blocked.load(Relaxed) {
                client.look();
            }
        }
    }

    /// Closes clients that have been idle for longer than `timeout`, and those over a limit of
    /// `client-output-buffer-limit`. The connection itself looks only when something comes from its client.
    pub fn look_after_clients(&self) {
        let timeout_ms = self.config.int(Directive::Timeout).max(0) as u64 * 1000;
        let now_ms = self.clock.now_ms();
        let last_look_ms = self.clients.looked_ms.swap(now_ms, Relaxed);
        for client in self.clients.all() {
            note_traffic(&client, last_look_ms, now_ms);
            if timeout_ms > 0 && idle_ms(&client, now_ms) > timeout_ms && !may_be_silent(&client) {
                tracing::debug!(client = client.id, "closing idle client");
                client.close();
                continue;
            }
            let waiting = client.reply_buffer[0].load(Relaxed) + client.outbox_size().0;
            let limit = self.settings.output_limit(&client);
            if client.exceeds(limit, waiting, now_ms) && !client.is_closing() {
                client.cut_over_limit();
            }
        }
    }
}

/// Notes whether bytes went to or fro since the last look without a command that ended since then. A long
/// request that arrives, or a long reply that is read, counts as activity, as in Redis; counting it here
/// costs the connection nothing.
fn note_traffic(client: &SharedClient, last_look_ms: u64, now_ms: u64) {
    let bytes = client.input_bytes.load(Relaxed) + client.output_bytes.load(Relaxed);
    let seen = client.traffic_seen.swap(bytes, Relaxed);
    if seen != bytes && client.active_ms.load(Relaxed) < last_look_ms {
        client.traffic_ms.store(now_ms, Relaxed);
    }
}

/// Milliseconds since the client's last command ended or bytes were seen to move; 0 while a command runs.
fn idle_ms(client: &SharedClient, now_ms: u64) -> u64 {
    now_ms.saturating_sub(client.active_ms.load(Relaxed).max(client.traffic_ms.load(Relaxed)))
}

/// Whether a client may say nothing for as long as it likes: one that waits (for keys, for the end of a pause
/// or of a sleep), a monitor or a subscriber.
fn may_be_silent(client: &SharedClient) -> bool {
    client.waiter.lock().is_some()
        || client.blocked.load(Relaxed)
        || client.monitor.load(Relaxed)
        || client.replica.load(Relaxed)
        || client.primary.load(Relaxed)
        || client.is_subscribed()
}
