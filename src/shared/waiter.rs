//! [`Waiter`]: one wait of a client for keys (BLPOP and its kin): its request, what it waits for, and how the
//! wait ends. The queues are in `effects::wait_queues`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::client::SharedClient;
use crate::command::request::OwnedRequest;
use crate::keyspace::KeyId;
use crate::resp::Version;
use crate::resp::encode::Reply;

/// What a command that may wait answers at once where waiting is not allowed, see also
/// [`EmptyReply::write_late`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyReply {
    /// The null of a byte string.
    Null,
    /// The null of an array.
    NullArray,
    /// A number (WAIT).
    Count(i64),
    /// Two numbers (WAITAOF).
    Counts(i64, i64),
}

impl EmptyReply {
    /// Writes the reply of a command that may not wait.
    pub fn write(self, reply: &mut Reply<'_>) {
        match self {
            EmptyReply::Null => reply.null(),
            EmptyReply::NullArray => reply.null_array(),
            EmptyReply::Count(count) => reply.int(count),
            EmptyReply::Counts(first, second) => {
                reply.array(2);
                reply.int(first);
                reply.int(second);
            }
        }
    }

    /// Writes the reply of a wait whose time is over: a null is then that of an array, whatever the command
    /// returns.
    pub fn write_late(self, reply: &mut Reply<'_>) {
        match self {
            EmptyReply::Null => reply.null_array(),
            other => other.write(reply),
        }
    }
}

/// Changes that are to be acknowledged (WAIT, WAITAOF).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckWait {
    /// Position in the journal behind the last of them, and its offset in the stream.
    pub position: u64,
    /// See [`position`](Self::position).
    pub offset: u64,
    /// Whether this server's own file is waited for.
    pub local: bool,
    /// Number of replicas waited for.
    pub replicas: usize,
    /// Whether the replicas are to have the changes on disk (WAITAOF), not only in memory (WAIT).
    pub of_disks: bool,
}

/// In place of a time, for never.
pub const NEVER: u64 = u64::MAX;

/// What a command waits for that found nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitFor {
    /// Range of the arguments that are the keys.
    pub keys: std::ops::Range<usize>,
    /// Type of value waited for; a key that gets another type does not serve the client.
    pub type_name: &'static str,
    /// Whether the wait ends with an error when the key is gone or of another type (XREADGROUP).
    pub wants_loss: bool,
    /// Deadline, in milliseconds of Unix time; `None` for ever.
    pub until_ms: Option<u64>,
    /// When the request may find something although no key has changed, in milliseconds of Unix time: an entry is
    /// then pending for as long as XREADGROUP's CLAIM asks. `None` where no time brings anything.
    pub retry_at_ms: Option<u64>,
    /// What WAIT and WAITAOF wait for; `None` for other waits.
    pub acks: Option<AckWait>,
    /// Reply where waiting is not allowed.
    pub nothing: EmptyReply,
    /// Arguments of the retry where they differ from the request's: XREAD's `$` is the last id when the
    /// command was first called, or the retry would skip the entry that woke it.
    pub request: Option<OwnedRequest>,
}

/// One wait of a client, with the request that runs again when a key changes.
#[derive(Debug)]
pub struct Waiter {
    /// Number of the wait, larger than that of all before: the order of service.
    pub number: u64,
    /// The waiting client.
    pub client: Arc<SharedClient>,
    /// The command's id in the table.
    pub command: usize,
    /// Its arguments.
    pub request: OwnedRequest,
    /// The keys, all of one database.
    pub keys: Vec<KeyId>,
    /// Type and deadline of the wait, and its reply without a result.
    pub wait: WaitFor,
    /// The protocol version of the reply.
    pub version: Version,
    /// How long its request ran before it waited, in nanoseconds.
    pub ran_ns: AtomicU64,
    /// [`WaitFor::retry_at_ms`] as the last run of the request found it, [`NEVER`] for `None`. Written by the
    /// thread that runs the request.
    retry_at_ms: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Waiting,
    /// A thread runs its request.
    Serving,
    /// Its reply, which may be sent when the journal is safe up to this position.
    Done(Vec<u8>, u64),
    /// The client has left, or took its reply.
    Gone,
}

/// What became of an attempt to end the waiting.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// This attempt ended the wait.
    Now,
    /// The wait was over before: its reply is there, or was taken.
    Before,
    /// Its request runs at this moment. The client is woken when the outcome is known.
    Undecided,
}

impl Waiter {
    /// Makes the wait of a client's request.
    pub fn new(
        number: u64,
        client: &Arc<SharedClient>,
        version: Version,
        command: usize,
        request: OwnedRequest,
        keys: Vec<KeyId>,
        wait: WaitFor,
    ) -> Self {
        let retry_at_ms = AtomicU64::new(wait.retry_at_ms.unwrap_or(NEVER));
        Self {
            number,
            client: Arc::clone(client),
            command,
            request,
            keys,
            wait,
            version,
            ran_ns: AtomicU64::new(0),
            retry_at_ms,
            state: Mutex::new(State::Waiting),
        }
    }

    /// When its request is to run again although no key has changed, in milliseconds of Unix time; [`NEVER`]
    /// where only a change can bring what it waits for.
    pub fn retry_at_ms(&self) -> u64 {
        self.retry_at_ms.load(Ordering::Acquire)
    }

    /// Sets when its request is to run again. Called by the thread that serves it, before
    /// [`not_served`](Self::not_served) wakes the client's task, which keeps the timer.
    pub fn set_retry(&self, at_ms: Option<u64>) {
        self.retry_at_ms.store(at_ms.unwrap_or(NEVER), Ordering::Release);
    }

    /// Ends the wait, with a reply or because the client is gone (`None`), unless it is over or its request
    /// runs.
    pub fn end(&self, reply: Option<Vec<u8>>) -> Ended {
        let mut state = self.state.lock();
        match *state {
            State::Waiting => {
                *state = reply.map_or(State::Gone, |reply| State::Done(reply, 0));
                Ended::Now
            }
            State::Serving => Ended::Undecided,
            State::Done(..) | State::Gone => Ended::Before,
        }
    }

    /// Claims the wait, to run its request. Returns false where it was claimed or over before.
    pub fn begin_serving(&self) -> bool {
        let mut state = self.state.lock();
        let waits = matches!(*state, State::Waiting);
        if waits {
            *state = State::Serving;
        }
        waits
    }

    /// Returns whether its request runs or has run: its reply then comes before all messages.
    pub fn is_being_served(&self) -> bool {
        matches!(*self.state.lock(), State::Serving | State::Done(..))
    }

    /// Whether its reply is there.
    pub fn is_over(&self) -> bool {
        matches!(*self.state.lock(), State::Done(..))
    }

    /// Goes on waiting, as the request found nothing again.
    pub fn not_served(&self) {
        *self.state.lock() = State::Waiting;
        // Its time may have ended meanwhile.
        self.client.look();
    }

    /// Hands the client its reply and wakes it. The caller removes it from the queues. `position` is that of
    /// the journal behind what was changed for it, 0 where nothing was.
    pub fn served(&self, reply: Vec<u8>, position: u64) {
        *self.state.lock() = State::Done(reply, position);
        self.client.look();
    }

    /// The reply, once it is there, and the position in the journal that it has to wait for. Taken by the
    /// client's own task.
    pub fn take_reply(&self) -> Option<(Vec<u8>, u64)> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Gone) {
            State::Done(reply, position) => Some((reply, position)),
            other => {
                *state = other;
                None
            }
        }
    }
}
