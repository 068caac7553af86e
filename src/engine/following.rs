//! [`Following`]: this server as a replica: which primary it follows, and how the link is.
//!
//! REPLICAOF names a [`Primary`] (`role.rs`); a task of `net` keeps the link to it, `persistence` loads its
//! copies ([`Copies`]), and `applier.rs` runs its stream. The stream of a replica is its primary's, byte for
//! byte, with that one's id and offsets: what has been applied is [relayed](crate::journal::Journal::relay),
//! so replicas of this server, and any other that followed the primary, can go on here.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::own_keys::OwnKeys;
use crate::replication::Standing;

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
    /// It is being connected.
    Connecting,
    /// The two introduce themselves.
    Handshake,
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
            Self::Handshake => "handshake",
            Self::Sync => "sync",
            Self::Connected => "connected",
        }
    }
}

/// A copy of all data of a primary, on its way.
pub struct FullCopy {
    /// Its bytes, an RDB file.
    pub source: Box<dyn Read + Send>,
    /// Id of the history that it is of.
    pub id: String,
    /// Offset in that history.
    pub offset: u64,
    /// The primary that sends it.
    pub primary: Arc<Primary>,
}

/// Loads copies of a primary's data.
pub trait Copies: Send + Sync {
    /// Loads a copy beside the data, and puts it in their place when it is whole. Nothing changes where it
    /// cannot be loaded, or another primary is followed by then.
    ///
    /// # Errors
    /// With what is wrong with the copy.
    fn load(&self, copy: FullCopy) -> Result<(), String>;
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
    /// Bytes of the copy: those there are, where that is known, and those that have come.
    pub copy_bytes: (Option<u64>, u64),
}

/// The primary that this server follows, if it follows one.
pub struct Following {
    pub(super) wanted: watch::Sender<Option<Arc<Primary>>>,
    /// Role, offsets, and what becomes of the history.
    pub standing: Standing,
    pub(super) is_read_only: AtomicBool,
    pub(super) answers_stale: AtomicBool,
    is_connected: AtomicBool,
    /// What clients of a writable replica have written and ends some time.
    pub(super) own_keys: Mutex<OwnKeys>,
    applying: Mutex<()>,
    link: Mutex<LinkFacts>,
    /// Bytes that a request or transaction of the stream may take before it is whole, however low
    /// `proto-max-bulk-len` is: a share of the memory, which no primary's own requests reach.
    pub unfinished_max: AtomicUsize,
    copies: std::sync::OnceLock<Arc<dyn Copies>>,
}

impl Default for Following {
    fn default() -> Self {
        Self {
            wanted: watch::Sender::new(None),
            standing: Standing::default(),
            is_read_only: AtomicBool::new(true),
            answers_stale: AtomicBool::new(true),
            is_connected: AtomicBool::new(false),
            own_keys: Mutex::default(),
            applying: Mutex::new(()),
            link: Mutex::default(),
            unfinished_max: AtomicUsize::new(0),
            copies: std::sync::OnceLock::new(),
        }
    }
}

impl Following {
    /// Whether this server is a replica.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.standing.is_replica()
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

    /// Whether the data are those of a primary: its stream comes, or came once and no other copy comes now.
    pub fn has_data(&self) -> bool {
        let link = self.link.lock();
        let had_stream = link.down_since_ms != 0 && link.state != LinkState::Sync;
        link.state == LinkState::Connected || had_stream
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
        self.standing.offset()
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

    /// Number of keys that end some time and that the primary knows nothing of.
    pub fn own_volatile_keys(&self) -> usize {
        self.own_keys.lock().len()
    }

    /// Offset up to which the primary's stream has come.
    pub fn received(&self) -> u64 {
        self.standing.received()
    }

    /// Whether this is the primary that is followed, since it was last named.
    pub fn is_followed(&self, primary: &Arc<Primary>) -> bool {
        self.wanted.borrow().as_ref().is_some_and(|wanted| Arc::ptr_eq(wanted, primary))
    }

    /// Keeps the primary's stream from being applied, until the guard is dropped: data and offset agree.
    /// Taken before the gate of the keyspace, never with it.
    pub fn hold_stream(&self) -> MutexGuard<'_, ()> {
        self.applying.lock()
    }

    /// [`hold_stream`](Self::hold_stream), but gives up when `give_up` says so while it waits.
    pub fn hold_stream_unless(&self, give_up: &dyn Fn() -> bool) -> Option<MutexGuard<'_, ()>> {
        const TRY: std::time::Duration = std::time::Duration::from_millis(3);
        loop {
            if let Some(guard) = self.applying.try_lock_for(TRY) {
                return Some(guard);
            }
            if give_up() {
                return None;
            }
        }
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
