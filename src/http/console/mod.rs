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
mod conversation;
mod guard;
pub(super) mod page;
mod reply;
mod sessions;
mod stream;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use sessions::Sessions;

use crate::engine::Server;

/// What the console's requests share.
#[derive(Default)]
pub(super) struct Console {
    sessions: Sessions,
    /// Streams that are open.
    streams: Arc<AtomicUsize>,
}

impl Console {
    /// Ends sessions whose time is over or whose user was changed.
    pub fn look(&self, server: &Server) {
        self.sessions.look(server);
    }
}
