//! What requests hear while a slow script or a heavy command is in their way.

use super::Server;
use super::client::Client;
use super::execute::Outcome;
use crate::command::keys::LockPlan;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::config::Directive;
use crate::error::CommandError;

impl Server {
    /// Whether a slow script or a heavy command runs, so that a request has to look whether it is in its way.
    /// Two relaxed loads.
    #[inline]
    pub(super) fn is_slow(&self) -> bool {
        self.scripting.slow.any() || self.heavy.any()
    }

    /// Whether a slow script or a heavy command keeps a request from running. It then waits without a thread;
    /// for a script it is refused after `busy-reply-threshold`. `alone`: the request has to be alone in the
    /// keyspace; `wide`: it is, or it works on the whole keyspace beside others. A primary's stream waits however
    /// long that takes: what was refused of it would be missing in the data.
    #[cold]
    pub(super) fn busy(
        &self,
        client: &Client,
        entry: &Entry,
        plan: &LockPlan,
        alone: bool,
        wide: bool,
    ) -> Option<Outcome> {
        let flags = entry.spec.flags;
        let touches_keys = wide || !plan.is_empty();
        for running in self.scripting.slow.all() {
            let locks_all = wide && !flags.has(Flags::LOCKS_NO_SLOT);
            let waits = touches_keys && (running.stands_in_the_way_of(plan) || locks_all);
            let is_told = waits || running.start.declares_none && !flags.has(Flags::ALLOW_BUSY);
            let threshold_ms = self.config.int(Directive::BusyReplyThreshold);
            let too_long = threshold_ms > 0 && running.elapsed_ms() >= threshold_ms as u64;
            if is_told && too_long && !client.is_primary {
                return Some(Outcome::Refused(CommandError::busy(running.start.function.is_some())));
            }
            if waits {
                let holder = self.heavy.of_client(running.start.runs_for);
                return Some(Outcome::Busy(holder));
            }
        }
        let heavy = if self.heavy.any() { self.heavy.in_the_way_of(plan, alone) } else { None };
        heavy.map(|holder| Outcome::Busy(Some(holder)))
    }
}
