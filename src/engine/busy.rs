//! What requests hear while a slow script is in their way.

use super::Server;
use super::execute::Outcome;
use crate::command::keys::LockPlan;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::config::Directive;
use crate::error::CommandError;

impl Server {
    /// Whether a slow script keeps a request from running: it then waits, and after `busy-reply-threshold` it
    /// is refused. `wide`: the request touches the whole keyspace.
    #[cold]
    pub(super) fn busy(&self, entry: &Entry, plan: &LockPlan, wide: bool) -> Option<Outcome> {
        let flags = entry.spec.flags;
        let touches_keys = wide || !plan.is_empty();
        for running in self.scripting.slow.all() {
            let in_the_way = if touches_keys {
                running.stands_in_the_way_of(plan) || wide
            } else {
                running.start.locks.is_none() && !flags.has(Flags::ALLOW_BUSY)
            };
            let threshold_ms = self.config.int(Directive::BusyReplyThreshold);
            let too_long = threshold_ms > 0 && running.elapsed_ms() >= threshold_ms as u64;
            if in_the_way && too_long {
                return Some(Outcome::Refused(CommandError::busy(running.start.function.is_some())));
            }
            if in_the_way && touches_keys {
                return Some(Outcome::Busy);
            }
        }
        None
    }
}
