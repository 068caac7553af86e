//! Clients that wait for keys (BLPOP and its kin), in the order in which they came.
//!
//! A waiting client's request is kept here, in the queue of each of its keys. The thread that changes such a
//! key runs the request again for the client and hands over the reply. So clients are served in order, and
//! cost nothing while they wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use dashmap::DashMap;
use smallvec::SmallVec;

use super::key_queue::KeyQueue;
use crate::command::request::OwnedRequest;
use crate::keyspace::KeyId;
use crate::keyspace::turns::Turn;
use crate::resp::Version;
use crate::shared::client::SharedClient;
use crate::shared::waiter::{Ended, WaitFor, Waiter};

/// Clients that wait for a key and for the same type of value.
#[derive(Debug)]
struct Queue {
    type_name: &'static str,
    wants_loss: bool,
    /// Waiting clients by their numbers, which grow: the order of service.
    waiters: BTreeMap<u64, Arc<Waiter>>,
}

/// The queues of one key: no more than there are types, twice. None of them is empty. A value of another
/// type, or the loss of the key, is nothing to most of them, however many wait.
#[derive(Debug, Default)]
struct Queues(SmallVec<[Queue; 1]>);

impl Queues {
    fn place(&self, wait: &WaitFor) -> Option<usize> {
        self.0
            .iter()
            .position(|queue| (queue.type_name, queue.wants_loss) == (wait.type_name, wait.wants_loss))
    }

    fn add(&mut self, waiter: &Arc<Waiter>) {
        let WaitFor { type_name, wants_loss, .. } = waiter.wait;
        let place = self.place(&waiter.wait).unwrap_or_else(|| {
            self.0.push(Queue { type_name, wants_loss, waiters: BTreeMap::new() });
            self.0.len() - 1
        });
        self.0[place].waiters.insert(waiter.number, Arc::clone(waiter));
    }

    fn remove(&mut self, waiter: &Waiter) {
        let Some(place) = self.place(&waiter.wait) else { return };
        self.0[place].waiters.remove(&waiter.number);
        if self.0[place].waiters.is_empty() {
            self.0.swap_remove(place);
        }
    }

    fn next_after(&self, number: u64, holds: Option<&'static str>) -> Option<&Arc<Waiter>> {
        self.0
            .iter()
            .filter(|queue| queue.wants_loss || holds == Some(queue.type_name))
            .filter_map(|queue| queue.waiters.range(number + 1..).next())
            .min_by_key(|(number, _)| **number)
            .map(|(_, waiter)| waiter)
    }
}

/// All waiting clients, in a queue for each key that they wait for.
#[derive(Debug, Default)]
pub struct Waiting {
    keys: DashMap<KeyId, Queues>,
    clients: AtomicUsize,
    last_number: AtomicU64,
    /// Changed keys whose waiting clients could not be served, because a slow script or a heavy command was
    /// in the way of their requests.
    postponed: parking_lot::Mutex<Postponed>,
    /// Their number, so that every request can ask for it.
    postponed_count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Postponed {
    keys: KeyQueue,
    /// What keeps younger heavy commands from the locks that their clients' requests need.
    turns: HashMap<KeyId, Turn>,
}

impl Waiting {
    /// Returns whether no client waits; one relaxed load.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.clients.load(Ordering::Relaxed) == 0
    }

    /// Keeps a changed key for when nothing slow runs any more. The caller looks behind this whether that is
    /// so already: what was in the way may have ended, and looked for postponed keys, just before. `turn` is for the
    /// locks that were not free, and kept until the key is taken.
    pub fn postpone(&self, key: KeyId, turn: Option<Turn>) {
        let mut postponed = self.postponed.lock();
        if let Some(turn) = turn {
            postponed.turns.insert(key.clone(), turn);
        }
        postponed.keys.push(key);
        self.postponed_count.store(postponed.keys.len(), Ordering::Relaxed);
        // Together with the fence of what ends (`leave`, `remove`): either it sees this key, or the caller
        // sees its end.
        fence(Ordering::SeqCst);
    }

    /// Returns whether there are postponed keys.
    #[inline]
    pub fn has_postponed(&self) -> bool {
        self.postponed_count.load(Ordering::Relaxed) > 0
    }

    /// How many there are.
    pub fn postponed_count(&self) -> usize {
        self.postponed_count.load(Ordering::Relaxed)
    }

    /// Takes the postponed key that changed first, and its turn.
    pub fn take_postponed(&self) -> Option<(KeyId, Option<Turn>)> {
        let mut postponed = self.postponed.lock();
        let key = postponed.keys.pop();
        self.postponed_count.store(postponed.keys.len(), Ordering::Relaxed);
        key.map(|key| {
            let turn = postponed.turns.remove(&key);
            (key, turn)
        })
    }

    /// Number of waiting clients.
    pub fn client_count(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Number of keys that clients wait for, and of those the number with a client that has to hear of the
    /// key's loss (XREADGROUP).
    pub fn key_counts(&self) -> (usize, usize) {
        let wants_loss =
            self.keys.iter().filter(|entry| entry.value().0.iter().any(|queue| queue.wants_loss));
        (self.keys.len(), wants_loss.count())
    }

    /// Enters a client in the queue of each key. The caller holds the keys' locks, so no change comes between
    /// the client's look and its entry.
    pub fn add(
        &self,
        client: &Arc<SharedClient>,
        version: Version,
        command: usize,
        request: OwnedRequest,
        keys: Vec<KeyId>,
        wait: WaitFor,
    ) -> Arc<Waiter> {
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let waiter = Arc::new(Waiter::new(number, client, version, command, request, keys, wait));
        self.clients.fetch_add(1, Ordering::Relaxed);
        for key in &waiter.keys {
            self.keys.entry(key.clone()).or_default().add(&waiter);
        }
        waiter
    }

    /// Removes a client from the queues of its keys.
    pub fn remove(&self, waiter: &Waiter) {
        for key in &waiter.keys {
            // The same key may have been named twice: then it is gone from there already.
            if let Some(mut waiters) = self.keys.get_mut(key) {
                waiters.remove(waiter);
            }
            self.keys.remove_if(key, |_, waiters| waiters.0.is_empty());
        }
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns whether any client waits for `key`.
    pub fn is_waited_for(&self, key: &KeyId) -> bool {
        !self.is_empty() && self.keys.contains_key(key)
    }

    /// Finds the first client behind `number` in the queue of `key` that may be served, where the key holds a
    /// value of the type `holds`, or none.
    pub fn next_after(&self, key: &KeyId, number: u64, holds: Option<&'static str>) -> Option<Arc<Waiter>> {
        self.keys.get(key)?.next_after(number, holds).map(Arc::clone)
    }

    /// Keys of a database that clients wait for.
    pub fn of_database(&self, database: usize) -> Vec<Box<[u8]>> {
        if self.is_empty() {
            return Vec::new();
        }
        let of_it = self.keys.iter().filter(|entry| entry.key().0 == database);
        of_it.map(|entry| entry.key().1.clone()).collect()
    }

    /// Ends a wait with `reply`, unless it is over or its request runs at this moment.
    pub fn end(&self, waiter: &Waiter, reply: Vec<u8>) -> Ended {
        self.left(waiter, waiter.end(Some(reply)))
    }

    /// Ends a wait without a reply, as the client is gone.
    pub fn abandon(&self, waiter: &Waiter) -> Ended {
        self.left(waiter, waiter.end(None))
    }

    fn left(&self, waiter: &Waiter, ended: Ended) -> Ended {
        if ended == Ended::Now {
            self.remove(waiter);
            waiter.client.look();
        }
        ended
    }
}
