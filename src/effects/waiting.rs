//! Clients that wait for keys (BLPOP and its kin), in the order in which they came.
//!
//! A waiting client's request is kept here. When one of its keys changes, whoever changed it runs the request again for the
//! client and hands it the reply: so clients are served in order, and while nothing happens they cost nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::watch::KeyId;
use crate::command::request::OwnedRequest;
use crate::resp::Version;
use crate::resp::encode::Reply;
use crate::server::client::SharedClient;

/// What a command that may wait answers at once where waiting is not allowed, see also [`Nothing::write_late`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// The null of a byte string.
    Null,
    /// The null of an array.
    NullArray,
    /// A number (WAIT).
    Count(i64),
    /// Two numbers (WAITAOF).
    Counts(i64, i64),
}

impl Nothing {
    /// Writes it.
    pub fn write(self, reply: &mut Reply<'_>) {
        match self {
            Nothing::Null => reply.null(),
            Nothing::NullArray => reply.null_array(),
            Nothing::Count(count) => reply.int(count),
            Nothing::Counts(first, second) => {
                reply.array(2);
                reply.int(first);
                reply.int(second);
            }
        }
    }

    /// Writes what is answered when the time is over: a null is that of an array then, whatever the command returns.
    pub fn write_late(self, reply: &mut Reply<'_>) {
        match self {
            Nothing::Null => reply.null_array(),
            other => other.write(reply),
        }
    }
}

/// What a command says when it finds nothing and may wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitFor {
    /// Which arguments are the keys.
    pub keys: std::ops::Range<usize>,
    /// The type of value that it waits for; a key that gets another one does not serve it.
    pub type_name: &'static str,
    /// Whether it has to hear when the key is gone or of another type (XREADGROUP).
    pub wants_loss: bool,
    /// Until when, in milliseconds of Unix time; `None` for ever.
    pub until_ms: Option<u64>,
    /// What it answers where waiting is not allowed.
    pub nothing: Nothing,
    /// The arguments to run it with again, if not the ones it was given: XREAD's `$` means the moment it was first asked.
    pub request: Option<OwnedRequest>,
}

/// A client that waits, and its request.
#[derive(Debug)]
pub struct Waiter {
    /// Grows with each: the order of service.
    pub number: u64,
    /// Who.
    pub client: Arc<SharedClient>,
    /// The command's id in the table.
    pub command: usize,
    /// Its arguments.
    pub request: OwnedRequest,
    /// The keys, all of one database.
    pub keys: Vec<KeyId>,
    /// What for.
    pub wait: WaitFor,
    /// The protocol version of the reply.
    pub version: Version,
    /// How long its request ran before it waited, in nanoseconds.
    pub ran_ns: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Waiting,
    /// Somebody runs its request.
    Serving,
    Done(Vec<u8>),
    /// It has left, or took its reply.
    Gone,
}

/// What became of an attempt to end the waiting.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is over by this attempt.
    Now,
    /// It was over before: the reply is there, or was taken.
    Before,
    /// Its request is being run at this moment: the client is woken when that is decided.
    Undecided,
}

/// Clients that wait for a key and for the same type of value.
#[derive(Debug)]
struct Queue {
    type_name: &'static str,
    wants_loss: bool,
    /// By their numbers.
    waiters: BTreeMap<u64, Arc<Waiter>>,
}

/// The queues of one key: no more than there are types, twice. None of them is empty. A value of another type, or the loss
/// of the key, is nothing to most of them, however many wait.
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

/// All who wait.
#[derive(Debug, Default)]
pub struct Waiting {
    keys: DashMap<KeyId, Queues>,
    clients: AtomicUsize,
    last_number: AtomicU64,
}

impl Waiting {
    /// Whether nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.clients.load(Ordering::Relaxed) == 0
    }

    /// How many clients wait.
    pub fn client_count(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Keys that somebody waits for, and how many of those are waited for by one who has to hear of their loss.
    pub fn key_counts(&self) -> (usize, usize) {
        let wants_loss =
            self.keys.iter().filter(|entry| entry.value().0.iter().any(|queue| queue.wants_loss));
        (self.keys.len(), wants_loss.count())
    }

    /// Enters a client. The locks of its keys are held, so no change of them comes in between.
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
        let waiter = Arc::new(Waiter {
            number,
            client: Arc::clone(client),
            command,
            request,
            keys,
            wait,
            version,
            ran_ns: AtomicU64::new(0),
            state: Mutex::new(State::Waiting),
        });
        self.clients.fetch_add(1, Ordering::Relaxed);
        for key in &waiter.keys {
            self.keys.entry(key.clone()).or_default().add(&waiter);
        }
        waiter
    }

    /// Takes a waiter off the lists.
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

    /// Whether somebody waits for this key.
    pub fn is_waited_for(&self, key: &KeyId) -> bool {
        !self.is_empty() && self.keys.contains_key(key)
    }

    /// The first that waits for a key, of those behind this number that may be served: the key holds a value of the type
    /// `holds` now, or nothing.
    pub fn next_after(&self, key: &KeyId, number: u64, holds: Option<&'static str>) -> Option<Arc<Waiter>> {
        self.keys.get(key)?.next_after(number, holds).map(Arc::clone)
    }

    /// The keys of a database that somebody waits for.
    pub fn of_database(&self, database: usize) -> Vec<Box<[u8]>> {
        if self.is_empty() {
            return Vec::new();
        }
        let of_it = self.keys.iter().filter(|entry| entry.key().0 == database);
        of_it.map(|entry| entry.key().1.clone()).collect()
    }

    /// Ends the waiting with this reply, unless it is over or being decided.
    pub fn end(&self, waiter: &Waiter, reply: Vec<u8>) -> Ended {
        self.leave(waiter, State::Done(reply))
    }

    /// Ends the waiting without a reply: the client is gone.
    pub fn abandon(&self, waiter: &Waiter) -> Ended {
        self.leave(waiter, State::Gone)
    }

    fn leave(&self, waiter: &Waiter, end: State) -> Ended {
        let mut state = waiter.state.lock();
        match *state {
            State::Waiting => {
                *state = end;
                drop(state);
                self.remove(waiter);
                waiter.client.look();
                Ended::Now
            }
            State::Serving => Ended::Undecided,
            State::Done(_) | State::Gone => Ended::Before,
        }
    }
}

impl Waiter {
    /// Claims it, to run its request. Whether it was still waiting.
    pub fn begin_serving(&self) -> bool {
        let mut state = self.state.lock();
        let waits = matches!(*state, State::Waiting);
        if waits {
            *state = State::Serving;
        }
        waits
    }

    /// Whether its request is being run, or was: then its reply comes before all messages.
    pub fn is_being_served(&self) -> bool {
        matches!(*self.state.lock(), State::Serving | State::Done(_))
    }

    /// Its request found nothing again: it goes on waiting.
    pub fn not_served(&self) {
        *self.state.lock() = State::Waiting;
        // Its time may have ended meanwhile.
        self.client.look();
    }

    /// Its request was run: hands it the reply. The caller takes it off the lists.
    pub fn served(&self, reply: Vec<u8>) {
        *self.state.lock() = State::Done(reply);
        self.client.look();
    }

    /// The reply, once it is there. Taken by the client's own task.
    pub fn take_reply(&self) -> Option<Vec<u8>> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Gone) {
            State::Done(reply) => Some(reply),
            other => {
                *state = other;
                None
            }
        }
    }
}
