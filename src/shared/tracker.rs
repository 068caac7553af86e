//! [`Tracker`]: the options with which a client tracks (CLIENT TRACKING).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::client::SharedClient;

/// A tracking client and its options.
#[derive(Debug)]
pub struct Tracker {
    /// Client whose reads are remembered.
    pub client: Arc<SharedClient>,
    /// The client that gets its messages instead.
    pub redirect: Option<Arc<SharedClient>>,
    /// Whether it tracks by prefixes (broadcasting mode).
    pub broadcast: bool,
    /// Whether only reads behind CLIENT CACHING YES are remembered.
    pub opt_in: bool,
    /// Whether reads behind CLIENT CACHING NO are not remembered.
    pub opt_out: bool,
    /// Whether the client's own changes cause it no message.
    pub no_loop: bool,
    /// The prefixes of broadcasting mode.
    pub prefixes: Vec<Bytes>,
    /// The other client is gone, and this one was told.
    broken: AtomicBool,
}

impl Tracker {
    /// A client that tracks with these options.
    pub fn new(client: &Arc<SharedClient>) -> Self {
        Self {
            client: Arc::clone(client),
            redirect: None,
            broadcast: false,
            opt_in: false,
            opt_out: false,
            no_loop: false,
            prefixes: Vec::new(),
            broken: AtomicBool::new(false),
        }
    }

    /// Whether what is read now is tracked; `caching` if CLIENT CACHING was said.
    #[inline]
    pub fn remembers(&self, caching: bool) -> bool {
        let wanted = if caching { !self.opt_out } else { !self.opt_in };
        wanted && !self.broadcast
    }

    /// Whether a message did not reach the client that was to get it.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Notes that the client its messages go to is gone.
    pub fn set_broken(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }
}
