//! The console: a page at `/` that shows what the server does, and changes what its user may change.
//!
//! The page's files are part of the program ([`page`]). What it shows are figures and replies of commands: it
//! sends commands as JSON ([`api`]), and they run as those of a client that came through a socket
//! ([`inside`](crate::net::inside)), with that client's user, checks, limits and logs. So the console can do
//! nothing that its user could not do with redis-cli.
//!
//! Every request to the API passes [`guard`]: a browser sends requests for any page that it shows, and only
//! the console's own count. Who has logged in is in [`sessions`].

pub(super) mod api;
mod conditional;
mod conversation;
mod cut;
pub(super) mod guard;
pub(super) mod history;
pub(super) mod page;
mod reply;
mod sessions;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use history::History;
use sessions::Sessions;

use crate::engine::Server;

/// Most streams at once.
const STREAMS_MAX: usize = 8;

/// Most requests at once that wait for commands or for a log-in. With the streams they leave connections for
/// figures and health, whatever somebody does with the console.
const WAITING_MAX: usize = 16;

/// What the console's requests share.
#[derive(Default)]
pub(super) struct Console {
    sessions: Sessions,
    history: Arc<History>,
    /// Streams that are open.
    streams: Arc<AtomicUsize>,
    /// Requests that wait.
    waiting: Arc<AtomicUsize>,
}

/// A place among few, given back when it is dropped.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    /// Takes one; `None` where all are taken.
    fn take(taken: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let result = taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1));
        result.is_ok().then(|| Self(Arc::clone(taken)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Console {
    /// A place for a stream.
    fn stream(&self) -> Option<Slot> {
        Slot::take(&self.streams, STREAMS_MAX)
    }

    /// A place for a request that waits.
    fn waits(&self) -> Option<Slot> {
        Slot::take(&self.waiting, WAITING_MAX)
    }

    /// Ends sessions whose time is over or whose user was changed, and notes what the figures are when it is time.
    pub fn look(&self, server: &Arc<Server>) {
        self.sessions.look(server);
        self.history.look(server);
    }
}
