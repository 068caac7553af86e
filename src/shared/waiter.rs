//! A client that waits for keys (BLPOP and its kin): its request, what it waits for, and how its waiting
//! ends.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

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
    /// Writes it.
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

    /// Writes what is answered when the time is over: a null is that of an array then, whatever the command
    /// returns.
    pub fn write_late(self, reply: &mut Reply<'_>) {
        match self {
            EmptyReply::Null => reply.null_array(),
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
    pub nothing: EmptyReply,
    /// The arguments to run it with again, if not the ones it was given: XREAD's `$` means the moment it was
    /// first asked.
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

impl Waiter {
    /// A client that begins to wait.
    pub fn new(
        number: u64,
        client: &Arc<SharedClient>,
        version: Version,
        command: usize,
        request: OwnedRequest,
        keys: Vec<KeyId>,
        wait: WaitFor,
    ) -> Self {
        Self {
            number,
            client: Arc::clone(client),
            command,
            request,
            keys,
            wait,
            version,
            ran_ns: AtomicU64::new(0),
            state: Mutex::new(State::Waiting),
        }
    }

    /// Ends the waiting, with a reply or because the client is gone, unless it is over or being decided.
    pub fn end(&self, reply: Option<Vec<u8>>) -> Ended {
        let mut state = self.state.lock();
        match *state {
            State::Waiting => {
                *state = reply.map_or(State::Gone, State::Done);
                Ended::Now
            }
            State::Serving => Ended::Undecided,
            State::Done(_) | State::Gone => Ended::Before,
        }
    }

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
