//! Waits for locks: how long a command waits for slots and for the gate of the keyspace, and who is in its way.
//!
//! A lock knows nobody who holds it, as that would cost every command that takes one. Who waits for long looks
//! instead at the batches that other workers run: the one that holds the lock has run ever since the wait
//! began, so of all that ran then those that end are left out, one look after the other. Those that wait
//! themselves are left out too. A slow script or a heavy command is known with its locks, and ends the wait
//! (`busy.rs`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::Server;
use crate::shared::client::SharedClient;

/// Clients that are named at most where any of them may hold the lock.
const NAMED_MAX: usize = 3;

/// The waits of one command or streak.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// How long it has waited for locks, in nanoseconds.
    pub(super) lock_ns: u64,
    /// How long keys were evicted for it, in nanoseconds.
    pub(super) evict_ns: u64,
    /// Who was in its way in the longest of its waits, in words.
    pub(super) blocked_by: String,
    longest_ns: u64,
    /// When the wait under way began.
    began_ns: u64,
    suspects: Option<Suspects>,
}

/// A client whose command others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runs {
    /// The client's id.
    pub client: u64,
    /// The command's id.
    pub command: u32,
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
    /// A wait begins at this time.
    pub(super) fn begin(&mut self, now_ns: u64) {
        (self.began_ns, self.suspects) = (now_ns, None);
    }

    /// The wait goes on, for a command of this client: looks who may be in its way.
    pub(super) fn go_on(&mut self, server: &Server, own: u64) {
        let mut running: SmallVec<[u64; 8]> = SmallVec::new();
        let lives = server.health.workers.lives();
        running.extend(lives.filter(|life| !life.waits && life.client != 0).map(|life| life.client));
        running.retain(|id| *id != own);
        match &mut self.suspects {
            None => {
                self.suspects = Some(Suspects::new(running.iter().filter_map(|id| server.clients.by_id(*id))))
            }
            Some(suspects) => suspects.look_again(&running),
        }
    }

    /// The wait has ended. Returns how long it was.
    pub(super) fn end(&mut self, server: &Server, now_ns: u64) -> u64 {
        let waited_ns = now_ns.saturating_sub(self.began_ns);
        self.lock_ns += waited_ns;
        if let Some(suspects) = self.suspects.take()
            && waited_ns > self.longest_ns
        {
            self.longest_ns = waited_ns;
            self.blocked_by = suspects.in_words(|suspect| server.in_words(suspect.command, &suspect.client));
        }
        waited_ns
    }

    /// Adds those of a command to those of the streak.
    #[inline]
    pub(super) fn note(all: &mut Option<Box<Waits>>, more: Option<Box<Waits>>) {
        if let Some(more) = more {
            all.get_or_insert_default().merge(*more);
        }
    }

    #[cold]
    fn merge(&mut self, other: Waits) {
        self.lock_ns += other.lock_ns;
        self.evict_ns += other.evict_ns;
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

impl Server {
    /// Who runs what, in words.
    pub(super) fn in_words(&self, command: u32, client: &SharedClient) -> String {
        let command = self.commands.entries().get(command as usize);
        let command = command.map_or("?", |entry| entry.full_name.as_str());
        format!("{command} for client {} at {}", client.id, client.address)
    }

    /// The same of a client that may have left.
    pub(super) fn runs_in_words(&self, runs: Runs) -> String {
        match self.clients.by_id(runs.client) {
            Some(client) => self.in_words(runs.command, &client),
            None => format!("client {}, which has left", runs.client),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::user::{DEFAULT_USER, User};
    use crate::shared::client::Door;

    fn client(id: u64) -> Arc<SharedClient> {
        let user = Arc::new(User::everything(DEFAULT_USER, 0, 1));
        Arc::new(SharedClient::new(id, String::new(), String::new(), -1, Door::Main, user, 0))
    }

    fn told(suspects: &Suspects) -> String {
        suspects.in_words(|suspect| format!("{} of {}", suspect.command, suspect.client.id))
    }

    #[test]
    fn who_ends_a_batch_was_not_in_the_way() {
        let clients: Vec<_> = (1..=5).map(client).collect();
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
