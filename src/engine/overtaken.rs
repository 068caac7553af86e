//! Requests that heavy commands have overtaken, and what lets them by ([`Turns`](crate::keyspace::turns::Turns)).
//!
//! A request that something heavy is in the way of looks again and again whether its locks are free (`busy.rs`).
//! Where heavy readers of one key follow each other so that one of them always has its lock, or a pipeline of heavy
//! writes leaves it free for a microsecond at a time, no look would find it so. A request that sees something in its
//! way that began after it had come therefore has a turn from then on until it has run. What comes later and conflicts
//! with it lets it by:
//!
//! - what may be broken off and turns out to be heavy waits without locks until the older request has run, and so does
//!   a script or a transaction, before it begins, that would share the lock with those that are in the way;
//! - anything else that needs for itself what the older request waits for waits for one look.
//!
//! Light requests that share a lock with what is in the way, and requests for other slots, wait for nobody. Work of
//! the server's own has turns as well: what has to be alone for an instant, a snapshot, the sweeper, and the requests
//! of clients that wait for keys.

use std::cell::Cell;

use super::Server;
use super::client::Client;
use super::delays::Held;
use super::execute::Outcome;
use super::heavy::Needs;
use super::holders::Holder;
use crate::command::keys::LockPlan;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::keyspace::gate::Exclusive;
use crate::keyspace::turns::{Came, Meeting, Turn};

/// What whoever has to be alone in the keyspace needs.
const ALONE: Needs<'_> = Needs { plan: &[], alone: true, gate: true };

impl Server {
    /// Gives a request that waits its turn where what is in its way began after it had come. Whatever began before it
    /// is the first that is found.
    pub(super) fn look_behind(&self, holder: Option<&Holder>, needs: Needs<'_>, held: Option<&mut Held>) {
        let (Some(holder), Some(held)) = (holder, held) else { return };
        if held.turn.is_none() && holder.since_ns() > held.came_ns {
            held.turn = Some(self.keyspace.turns.enter(held.came(), needs.plan, needs.alone));
        }
    }

    /// Whether a request of a client of its own lets an older one by that was overtaken, before it asks for its locks:
    /// one that is known to take long until that has run, as does a script or a transaction that would share locks
    /// with what is in the older one's way; any other one that needs for itself what the older one waits for at its
    /// first look. `alone` where it is alone in the keyspace.
    #[cold]
    pub(super) fn lets_by(
        &self,
        client: &Client,
        entry: &Entry,
        plan: &LockPlan,
        alone: bool,
        held: Option<&Held>,
    ) -> Option<Outcome> {
        if !self.keyspace.turns.any() {
            return None;
        }
        let came = held.map_or(Came { at_ns: u64::MAX, client: client.shared.id }, Held::came);
        let meeting = self.keyspace.turns.meets(came, if alone { None } else { Some(plan) })?;
        let runs_others =
            || entry.spec.flags.has(Flags::RUNS_QUEUE) || self.commands.functions(entry).program.is_some();
        let waits = match meeting {
            Meeting::Shares => runs_others() || held.is_some_and(|held| held.is_heavy),
            Meeting::Excludes => held.is_none_or(|held| held.is_heavy),
        };
        waits.then(|| Outcome::Busy(self.heavy.oldest()))
    }

    /// Waits until nobody else is in the keyspace, for work of the server's own.
    pub fn be_alone(&self) -> Exclusive<'_> {
        loop {
            if let Some(exclusive) = self.be_alone_unless(&|| false) {
                return exclusive;
            }
        }
    }

    /// As [`be_alone`](Self::be_alone), but gives up when `give_up` says so.
    pub fn be_alone_unless(&self, give_up: &dyn Fn() -> bool) -> Option<Exclusive<'_>> {
        let gate = &self.keyspace.gate;
        gate.try_exclusive().or_else(|| {
            let (began_ns, turn) = (self.clock.monotonic_ns(), Cell::new(None));
            gate.exclusive_unless(|| {
                turn.set(turn.take().or_else(|| self.turn_to_be_alone(began_ns)));
                give_up()
            })
        })
    }

    /// The turn of what has waited since then to be alone, where something began later that is in its way.
    pub(super) fn turn_to_be_alone(&self, since_ns: u64) -> Option<Turn> {
        let holder = self.heavy.in_the_way_of(ALONE)?;
        (holder.since_ns() > since_ns).then(|| self.keyspace.turns.enter_own(&[], true))
    }
}
