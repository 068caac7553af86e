//! Waits for locks: how long a command waits for slots and for the gate of the keyspace, and who is in its way.
//!
//! A lock knows nobody who holds it, as that would cost every command that takes one. A slow script or a heavy
//! command is known with its locks ([`Holder`]), and ends most waits (`busy.rs`). Who waits for long for anybody
//! else looks at the batches that other workers run: the one that holds the lock has run ever since the wait
//! began, so of all that ran then those that end are left out, one look after the other. Those that wait
//! themselves are left out too.
//!
//! A request waits once, however often it has to try: what it waited before it gave up and tried again, with
//! its thread or without, is one wait with what follows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::Server;
use super::holders::Holder;
use crate::keyspace::access::SlotLock;
use crate::shared::client::SharedClient;

/// Clients that are named at most where any of them may hold the lock.
const NAMED_MAX: usize = 3;

/// The waits of one command or streak.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// How long it has waited for locks since its clock was started, in nanoseconds.
    pub(super) lock_ns: u64,
    /// How long its last request had waited before that, in nanoseconds.
    pub(super) before_ns: u64,
    /// How long keys were evicted for it, in nanoseconds.
    pub(super) evict_ns: u64,
    /// Who was in its way in the longest of its waits, in words.
    pub(super) blocked_by: String,
    longest_ns: u64,
    /// How long the request under way has waited, in nanoseconds, until that is counted.
    request_ns: u64,
    /// How long it has waited for the lock that it wants, and gave up in between.
    wanted_ns: u64,
    /// When the wait under way began.
    began_ns: u64,
    /// Whether that wait is under way.
    waits: bool,
    /// The lock that is waited for; `None` for the gate.
    lock: Option<SlotLock>,
    /// Who has that lock, where it is one that is known to take long.
    holder: Option<Arc<Holder>>,
    /// The lock for whose sake the command was broken off, to begin anew (`None`: the gate).
    pub(super) gave_up_at: Option<Option<SlotLock>>,
    suspects: Option<Suspects>,
}

/// Those that may hold the lock that is waited for.
#[derive(Debug, Default)]
struct Suspects {
    left: SmallVec<[Suspect; 4]>,
    /// Whether there was any.
    any: bool,
}

#[derive(Debug)]
struct Suspect {
    client: Arc<SharedClient>,
    /// How many commands it had run before the batch that it runs.
    ran: u64,
    command: u32,
}

impl Waits {
    /// A wait begins at this time, for the lock of a slot or for the gate.
    pub(super) fn begin(&mut self, lock: Option<SlotLock>, now_ns: u64) {
        (self.began_ns, self.lock, self.waits) = (now_ns, lock, true);
    }

    /// The lock that is wanted (`None`: the gate), where it has been for so long, also with waits that were given up.
    pub(super) fn wanted_for(&self, now_ns: u64, least_ns: u64) -> Option<Option<SlotLock>> {
        let under_way_ns = if self.waits { now_ns.saturating_sub(self.began_ns) } else { 0 };
        (self.wanted_ns + under_way_ns >= least_ns).then_some(self.lock)
    }

    /// The wait goes on, for a command of this client: looks who may be in its way.
    pub(super) fn go_on(&mut self, server: &Server, own: u64) {
        if server.heavy.any()
            && let Some(holder) = server.heavy.holds(self.lock)
        {
            self.holder = Some(holder);
        }
        let mut running: SmallVec<[u64; 8]> = SmallVec::new();
        let lives = server.health.workers.lives();
        running.extend(lives.filter(|life| life.waits.is_none() && life.client != 0).map(|life| life.client));
        running.retain(|id| *id != own);
        match &mut self.suspects {
            None => {
                self.suspects = Some(Suspects::new(running.iter().filter_map(|id| server.clients.by_id(*id))))
            }
            Some(suspects) => suspects.look_again(&running),
        }
    }

    /// The wait has ended, with the lock or without, where it may go on.
    pub(super) fn end(&mut self, server: &Server, now_ns: u64, has_it: bool) {
        let waited_ns = now_ns.saturating_sub(self.began_ns);
        self.waits = false;
        self.lock_ns += waited_ns;
        self.request_ns += waited_ns;
        self.wanted_ns += waited_ns;
        if !has_it {
            return;
        }
        let waited_ns = std::mem::take(&mut self.wanted_ns);
        let (holder, suspects) = (self.holder.take(), self.suspects.take());
        if waited_ns > self.longest_ns && (holder.is_some() || suspects.is_some()) {
            self.longest_ns = waited_ns;
            self.blocked_by = match (holder, suspects) {
                (Some(holder), _) => holder.in_words_at(now_ns),
                (None, suspects) => {
                    let name = |suspect: &Suspect| server.in_words(suspect.command, &suspect.client);
                    suspects.unwrap_or_default().in_words(name)
                }
            };
        }
    }

    /// How long the request under way has waited, which counts as one wait: that of the next one begins anew.
    pub(super) fn take_request_ns(&mut self) -> u64 {
        std::mem::take(&mut self.request_ns)
    }

    /// All of it that is not running, in nanoseconds.
    pub(super) fn beside_ns(&self) -> u64 {
        self.lock_ns + self.evict_ns
    }

    /// What is left of them when a streak ends: what the next request has waited, if it is not to run yet.
    pub(super) fn left(&self) -> Option<Box<Waits>> {
        let waited_ns = self.request_ns;
        let left = || Box::new(Waits { before_ns: waited_ns, request_ns: waited_ns, ..Waits::default() });
        (waited_ns > 0).then(left)
    }

    /// Adds those of a command to those of the streak.
    #[inline]
    pub(super) fn note(all: &mut Option<Box<Waits>>, more: Option<Box<Waits>>) {
        if let Some(more) = more {
            all.get_or_insert_default().merge(*more);
        }
    }

    /// As [`note`](Self::note), of a request that does not run now. Returns how long it has waited.
    #[inline]
    pub(super) fn give_up(all: &mut Option<Box<Waits>>, more: Option<Box<Waits>>) -> u64 {
        Self::note(all, more);
        all.as_deref_mut().map_or(0, |waits| {
            waits.before_ns = 0;
            waits.take_request_ns()
        })
    }

    #[cold]
    fn merge(&mut self, other: Waits) {
        self.lock_ns += other.lock_ns;
        self.before_ns += other.before_ns;
        self.evict_ns += other.evict_ns;
        self.request_ns += other.request_ns;
        if other.longest_ns > self.longest_ns {
            (self.longest_ns, self.blocked_by) = (other.longest_ns, other.blocked_by);
        }
    }
}

impl Suspects {
    /// All of these clients, which run batches.
    fn new(clients: impl Iterator<Item = Arc<SharedClient>>) -> Self {
        let left: SmallVec<[Suspect; 4]> = clients.map(Suspect::new).collect();
        Self { any: !left.is_empty(), left }
    }

    /// Leaves out those that have ended the batch which they ran; `running` are the clients that run one.
    fn look_again(&mut self, running: &[u64]) {
        self.left.retain(|suspect| suspect.still_runs(running));
    }

    fn in_words(&self, name: impl Fn(&Suspect) -> String) -> String {
        match &self.left[..] {
            [] if self.any => "commands of others, one behind the other".to_owned(),
            [] => "a thread in the background".to_owned(),
            [one] => name(one),
            several => {
                let named: Vec<String> = several.iter().take(NAMED_MAX).map(&name).collect();
                format!("one of {}: {}", several.len(), named.join("; "))
            }
        }
    }
}

impl Suspect {
    fn new(client: Arc<SharedClient>) -> Self {
        let ran = client.commands.load(Ordering::Relaxed);
        Self { ran, command: client.last_command.load(Ordering::Relaxed), client }
    }

    /// Whether it still runs the batch that it ran, and with which command.
    fn still_runs(&mut self, running: &[u64]) -> bool {
        let runs =
            running.contains(&self.client.id) && self.client.commands.load(Ordering::Relaxed) == self.ran;
        if runs {
            self.command = self.client.last_command.load(Ordering::Relaxed);
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(suspects: &Suspects) -> String {
        suspects.in_words(|suspect| format!("{} of {}", suspect.command, suspect.client.id))
    }

    #[test]
    fn who_ends_a_batch_was_not_in_the_way() {
        let clients: Vec<_> = (1..=5).map(SharedClient::for_test).collect();
        let of = |ids: &[usize]| Suspects::new(ids.iter().map(|id| Arc::clone(&clients[*id - 1])));
        clients.iter().for_each(|client| client.last_command.store(7, Ordering::Relaxed));
        assert_eq!(told(&of(&[])), "a thread in the background");
        let mut suspects = of(&[1, 2, 3, 4, 5]);
        assert_eq!(told(&suspects), "one of 5: 7 of 1; 7 of 2; 7 of 3");
        // The first has ended its batch and runs another one; the second runs none any more.
        clients[0].commands.fetch_add(1, Ordering::Relaxed);
        suspects.look_again(&[1, 3, 4, 5, 6]);
        assert_eq!(told(&suspects), "one of 3: 7 of 3; 7 of 4; 7 of 5");
        suspects.look_again(&[3, 2]);
        clients[2].last_command.store(9, Ordering::Relaxed);
        suspects.look_again(&[3, 2]);
        assert_eq!(told(&suspects), "9 of 3");
        suspects.look_again(&[]);
        assert_eq!(told(&suspects), "commands of others, one behind the other");
    }

    #[test]
    fn the_longest_wait_says_who() {
        let wait = |ns, who: &str| {
            Some(Box::new(Waits {
                lock_ns: ns,
                longest_ns: ns,
                blocked_by: who.to_owned(),
                ..Waits::default()
            }))
        };
        let mut all = None;
        Waits::note(&mut all, None);
        assert!(all.is_none());
        for (ns, who) in [(5, "a"), (9, "b"), (7, "c")] {
            Waits::note(&mut all, wait(ns, who));
        }
        let all = all.expect("waits");
        assert_eq!((all.lock_ns, all.blocked_by.as_str()), (21, "b"));
    }
}
