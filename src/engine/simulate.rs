//! Faults that are rehearsed, as requests and connections meet them ([`Simulation`](crate::shared::simulation)).

use super::Server;
use super::batch::{BatchEnd, Scratch, Stop};
use super::client::Client;
use super::context::After;
use super::judge::{runs_while_loading, writes};
use crate::command::keys::PlannedKey;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::config::Directive;
use crate::error::CommandError;
use crate::keyspace::key_hash::slot_of_hash;
use crate::shared::client::Door;
use crate::shared::simulation::Effect;

impl Server {
    /// Begins the faults of the directive `simulate`.
    ///
    /// # Errors
    /// A fault that cannot be read, or that is not allowed.
    pub fn simulate_configured(&self) -> Result<(), String> {
        let text = self.config.text(Directive::Simulate);
        if text.is_empty() {
            return Ok(());
        }
        if self.config.word(Directive::EnableDebugCommand) == "no" {
            return Err("needs enable-debug-command yes or local".to_owned());
        }
        self.simulation.set_all(&text, self.clock.now_ms())?;
        self.warn_of_simulation();
        Ok(())
    }

    /// Begins a fault, or ends all, and does what follows at once. `asking` is the client that asked for it, which is
    /// spared. Returns false for words that name no fault.
    pub fn simulate(&self, words: &[&str], asking: u64) -> bool {
        let Some(effect) = self.simulation.set(words, self.clock.now_ms()) else { return false };
        self.warn_of_simulation();
        if self.simulation.stale_ms() == 0 {
            self.past.forget();
        }
        if effect == Effect::Failover {
            self.cluster.change_ids();
        }
        let is_cut = |door: Door| match effect {
            Effect::None => false,
            Effect::Failover => true,
            Effect::ReadOnlyPortDown => door == Door::ReadOnly,
        };
        use std::sync::atomic::Ordering::Relaxed;
        for client in self.clients.all() {
            let is_link = client.replica.load(Relaxed) || client.primary.load(Relaxed);
            if is_cut(client.door) && !is_link && client.id != asking {
                self.simulation.note();
                client.close();
            }
        }
        true
    }

    /// Forgets faults whose time is over, and says so.
    pub fn settle_simulation(&self) {
        if self.simulation.settle(self.clock.now_ms()) {
            self.warn_of_simulation();
        }
    }

    fn warn_of_simulation(&self) {
        let faults = self.simulation.faults(self.clock.now_ms()).join("; ");
        if faults.is_empty() {
            tracing::warn!("no fault is simulated any more");
        } else {
            tracing::warn!(
                faults,
                seed = self.simulation.seed(),
                "faults are SIMULATED: what clients meet is not real"
            );
        }
    }

    /// What a client is told of a request that meets a fault.
    #[cold]
    pub(super) fn refuse_by_simulation(
        &self,
        client: &Client,
        entry: &Entry,
        keys: &[PlannedKey],
        now_ms: u64,
    ) -> Option<CommandError> {
        let (simulation, flags) = (&self.simulation, entry.spec.flags);
        if simulation.is_loading(now_ms) && !runs_while_loading(client, flags) {
            simulation.note();
            return Some(CommandError::loading(self.config.flag(Directive::ExtendedRedisCompatibility)));
        }
        if writes(client, flags) && simulation.is_read_only(now_ms) {
            simulation.note();
            return Some(CommandError::ReadOnlyReplica);
        }
        if !self.cluster.is_enabled() || client.asking {
            return None;
        }
        // A slot may have moved between a request's being queued and the transaction's end, too.
        let queued = client.transaction.as_ref().filter(|_| flags.has(Flags::RUNS_QUEUE));
        let of_queue = queued.and_then(|transaction| transaction.slot());
        let slot = keys.first().map(|key| slot_of_hash(key.hash)).or(of_queue)?;
        if simulation.says_moved() {
            return Some(CommandError::Moved { slot, endpoint: self.redirect_endpoint(client) });
        }
        if of_queue.is_some() {
            return None;
        }
        if simulation.says_ask() {
            return Some(CommandError::new(format!("ASK {slot} {}", self.redirect_endpoint(client))));
        }
        None
    }

    /// Whether the client's reads find what keys were a while ago, for which they need their locks to themselves.
    #[inline]
    pub(super) fn reads_past(&self, client: &Client) -> bool {
        self.simulation.is_on() && client.door == Door::ReadOnly && self.simulation.stale_ms() > 0
    }

    /// Cuts a connection before its batch runs, if that is its fate.
    #[cold]
    pub(super) fn cut_by_simulation(&self, client: &Client, scratch: &Scratch) -> Option<BatchEnd> {
        let is_cut = self.meets_faults(client, scratch) && self.simulation.cuts();
        is_cut.then_some(BatchEnd { executed: 0, stop: Some(Stop::After(After::CloseNow)) })
    }

    /// Holds the replies of a batch back, if that is their fate.
    #[cold]
    pub(super) fn delay_by_simulation(&self, client: &Client, scratch: &Scratch) -> Option<Stop> {
        let delay_ms = if self.meets_faults(client, scratch) { self.simulation.delay_ms() } else { 0 };
        (delay_ms > 0).then_some(Stop::After(After::Sleep(delay_ms)))
    }

    /// Whether a batch is a client's, and no operator's, who may be about to end the simulation.
    fn meets_faults(&self, client: &Client, scratch: &Scratch) -> bool {
        let first = scratch.commands().next().flatten();
        let flags = first.map_or(Flags::NONE, |id| self.commands.entries()[id as usize].spec.flags);
        !client.is_loader && !client.is_inside && client.link.is_none() && !flags.has(Flags::ADMIN)
    }
}
