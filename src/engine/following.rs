//! This server as a replica: which primary it follows, how the link is, and how the primary's stream is
//! applied.
//!
//! REPLICAOF names a [`Primary`]; a task of `net` keeps the link to it, `persistence` loads its copies
//! ([`Copies`]), and [`Applier`] runs its stream.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::watch;

use super::Server;
use super::batch::{Scratch, Stop};
use super::client::Client;
use crate::aof::{PartError, Requests, Step};
use crate::config::Directive;

/// A server that this one follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// How the link to the primary is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// It is to be connected.
    #[default]
    Connect,
    /// It is being connected, or the two introduce themselves.
    Connecting,
    /// A copy of all data comes.
    Sync,
    /// The stream comes.
    Connected,
}

impl LinkState {
    /// The word that ROLE has for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Connecting => "connecting",
            Self::Sync => "sync",
            Self::Connected => "connected",
        }
    }
}

/// Loads copies of a primary's data.
pub trait Copies: Send + Sync {
    /// Replaces all data by a copy, an RDB file. Clients hear LOADING meanwhile. Data are dropped when the
    /// copy's head is one that can be read.
    ///
    /// # Errors
    /// With what is wrong with the copy.
    fn load(&self, copy: Box<dyn Read + Send>) -> Result<(), String>;
}

/// What is known of the primary and of the link to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkFacts {
    /// How the link is.
    pub state: LinkState,
    /// When anything came last, in milliseconds of Unix time.
    pub heard_ms: u64,
    /// Since when it has been down; 0 before it was first up.
    pub down_since_ms: u64,
    /// Id of the primary's history that the data are of; `None` before the first copy.
    pub id: Option<String>,
    /// Bytes of the copy: those there are, where that is known, and those that have come.
    pub copy_bytes: (Option<u64>, u64),
}

/// The primary that this server follows, if it follows one.
pub struct Following {
    wanted: watch::Sender<Option<Arc<Primary>>>,
    is_replica: AtomicBool,
    is_read_only: AtomicBool,
    answers_stale: AtomicBool,
    is_connected: AtomicBool,
    /// Offset in the primary's history up to which its changes are made here.
    offset: AtomicU64,
    link: Mutex<LinkFacts>,
    copies: std::sync::OnceLock<Arc<dyn Copies>>,
}

impl Default for Following {
    fn default() -> Self {
        Self {
            wanted: watch::Sender::new(None),
            is_replica: AtomicBool::new(false),
            is_read_only: AtomicBool::new(true),
            answers_stale: AtomicBool::new(true),
            is_connected: AtomicBool::new(false),
            offset: AtomicU64::new(0),
            link: Mutex::default(),
            copies: std::sync::OnceLock::new(),
        }
    }
}

impl Following {
    /// Whether this server is a replica.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.is_replica.load(Relaxed)
    }

    /// Whether a client's writes are refused.
    #[inline]
    pub fn refuses_writes(&self) -> bool {
        self.is_replica() && self.is_read_only.load(Relaxed)
    }

    /// Whether a client's reads are refused, since the data may be old.
    pub fn refuses_reads(&self) -> bool {
        self.is_replica() && !self.is_connected.load(Relaxed) && !self.answers_stale.load(Relaxed)
    }

    /// Whether the stream of a primary comes.
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Relaxed)
    }

    /// Which server is followed, if one is.
    pub fn primary(&self) -> Option<Arc<Primary>> {
        self.wanted.borrow().clone()
    }

    /// Tells of each change of the primary.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Primary>>> {
        self.wanted.subscribe()
    }

    /// Offset in the primary's history up to which its changes are made here.
    pub fn offset(&self) -> u64 {
        self.offset.load(Relaxed)
    }

    /// How the link is.
    pub fn link(&self) -> LinkFacts {
        self.link.lock().clone()
    }

    /// Notes how the link is.
    pub fn note(&self, change: impl FnOnce(&mut LinkFacts)) {
        let mut link = self.link.lock();
        change(&mut link);
        self.is_connected.store(link.state == LinkState::Connected, Relaxed);
    }

    /// What the data are of: the id of a history and an offset in it.
    pub fn has(&self) -> Option<(String, u64)> {
        Some((self.link.lock().id.clone()?, self.offset()))
    }

    /// Says how copies are loaded; called once, at the start.
    pub fn set_copies(&self, copies: Arc<dyn Copies>) {
        // Whoever is there first stays.
        let _ = self.copies.set(copies);
    }

    /// What loads copies; `None` in a server without files, as benches have one.
    pub fn copies(&self) -> Option<Arc<dyn Copies>> {
        self.copies.get().cloned()
    }
}

impl Server {
    /// Takes what directives say of a replica.
    pub(super) fn load_following(&self) {
        self.following.is_read_only.store(self.config.flag(Directive::ReplicaReadOnly), Relaxed);
        self.following.answers_stale.store(self.config.flag(Directive::ReplicaServeStaleData), Relaxed);
    }

    /// Follows a primary from now on, or none. Clients that wait for keys are sent away, as what they wait
    /// for will not come here. Returns false where that was so before.
    pub fn follow_primary(&self, primary: Option<Primary>) -> bool {
        let following = &self.following;
        if following.primary().as_deref() == primary.as_ref() {
            return false;
        }
        let was_replica = following.is_replica();
        following.is_replica.store(primary.is_some(), Relaxed);
        match &primary {
            Some(Primary { host, port }) => {
                tracing::info!("Connecting to PRIMARY {host}:{port}");
                self.unblock_all();
                following.note(|link| *link = LinkFacts { id: link.id.take(), ..LinkFacts::default() });
            }
            None => {
                tracing::info!("Discarding previously cached primary state. PRIMARY MODE enabled");
                following.note(|link| *link = LinkFacts::default());
                if was_replica {
                    self.go_on_from(following.offset());
                }
            }
        }
        following.wanted.send_replace(primary.map(Arc::new));
        true
    }

    /// Follows the primary that `replicaof` names; called once, at the start.
    pub fn follow_configured_primary(&self) {
        let named = self.config.text(Directive::Replicaof).to_string();
        let primary = named
            .rsplit_once(' ')
            .and_then(|(host, port)| Some(Primary { host: host.to_owned(), port: port.parse().ok()? }));
        if primary.is_some() && !self.cluster.is_enabled() {
            self.follow_primary(primary);
        }
    }

    /// Notes that the data are a copy of a primary's at this point of its history.
    pub fn took_copy(&self, id: &str, offset: u64) {
        self.following.offset.store(offset, Relaxed);
        self.following.note(|link| link.id = Some(id.to_owned()));
    }

    /// Notes that the primary's history goes on under this id.
    pub fn took_id(&self, id: &str) {
        self.following.note(|link| link.id = Some(id.to_owned()));
    }
}

/// Why a primary's stream is not followed any further.
#[derive(Debug, Error)]
pub enum Fault {
    /// A request in it cannot be read.
    #[error("{0}")]
    Format(#[from] PartError),
    /// A request in it is too long.
    #[error("a request of more than {0} bytes")]
    TooLong(usize),
    /// A request in it is none that a stream holds.
    #[error("a request that cannot be applied: {0}")]
    Refused(String),
}

/// How errors begin that say that a request names no command, is none, or stands in no stream.
const NO_STREAM: [&[u8]; 4] = [
    b"ERR unknown command",
    b"ERR unknown subcommand",
    b"ERR wrong number of arguments for",
    b"ERR not in the stream of a primary",
];

/// Bytes beyond `proto-max-bulk-len` that a request may have.
const REQUEST_ROOM: usize = 64 << 20;

/// Runs a primary's stream.
pub struct Applier {
    client: Client,
    scratch: Scratch,
    replies: Vec<u8>,
    buffer: Vec<u8>,
    /// Bytes at the buffer's front that were dealt with.
    done: usize,
    requests: Requests,
}

impl Applier {
    /// Makes one for a stream that begins at this offset.
    pub fn new(server: &Server, offset: u64) -> Self {
        let mut client = Client::that_repeats(server);
        client.is_primary = true;
        Self {
            client,
            scratch: Scratch::default(),
            replies: Vec::new(),
            buffer: Vec::new(),
            done: 0,
            requests: Requests::new(offset),
        }
    }

    /// Runs what has come. Returns whether the primary asked for an acknowledgement.
    ///
    /// # Errors
    /// The link is to be closed.
    pub fn apply(&mut self, server: &Server, bytes: &[u8]) -> Result<bool, Fault> {
        self.buffer.drain(..self.done);
        self.done = 0;
        self.buffer.extend_from_slice(bytes);
        loop {
            match self.requests.step(&self.buffer[self.done..])? {
                Step::More => break,
                Step::Skip(count) => self.done += count,
                Step::Run(count) => {
                    let (ran, fault) = self.run(server, count);
                    // What ran counts, whatever becomes of the link: it must not run again.
                    self.done += self.requests.consume(&self.buffer[self.done..], ran)?;
                    server.following.offset.store(self.requests.whole(), Relaxed);
                    if let Some(fault) = fault {
                        return Err(fault);
                    }
                }
            }
        }
        server.following.offset.store(self.requests.whole(), Relaxed);
        let limit = server.config.unsigned(Directive::ProtoMaxBulkLen) as usize;
        if self.buffer.len() - self.done > limit.saturating_add(REQUEST_ROOM) {
            return Err(Fault::TooLong(limit));
        }
        Ok(std::mem::take(&mut self.client.ack_asked))
    }

    /// Runs the first `count` requests. Returns how many have run, and what was wrong with them.
    fn run(&mut self, server: &Server, count: usize) -> (usize, Option<Fault>) {
        let Self { client, scratch, replies, requests, buffer, done, .. } = self;
        replies.clear();
        let end = server.run_batch(client, scratch, requests.decoder(), &buffer[*done..], count, replies);
        if let Some(error) = super::replies::first_error(replies) {
            let text = String::from_utf8_lossy(error).into_owned();
            if NO_STREAM.iter().any(|begin| error.starts_with(begin)) {
                return (end.executed, Some(Fault::Refused(text)));
            }
            tracing::error!("a request of the primary was answered by an error: {text}");
        }
        match end.stop {
            Some(Stop::Busy) => std::thread::yield_now(),
            Some(Stop::After(after)) => return (end.executed, Some(Fault::Refused(format!("{after:?}")))),
            Some(Stop::Paused) | None => {}
        }
        (end.executed, None)
    }
}
