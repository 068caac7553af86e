//! A client: what its connection's task alone knows of it. What others may see is its
//! [`SharedClient`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Server;
use super::delays::Delays;
use super::field_sets::FieldSets;
use super::rights::Rights;
use super::transaction::{Transaction, Watch};
use crate::acl::user::{DEFAULT_USER, User};
use crate::command::spec::Flags;
use crate::replication::Announced;
use crate::replication::Link;
use crate::resp::Version;
use crate::shared::client::{Door, SharedClient, names};
use crate::shared::ordered::Ordered;
use crate::shared::settings::Settings;
use crate::shared::tracker::Tracker;
use crate::shared::waiter::Waiter;

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// Every reply is sent.
    On,
    /// No reply is sent.
    Off,
    /// The reply of the next command is not sent: the state while SKIP itself is answered.
    SkipNext,
    /// The reply of the command under way is not sent.
    Skip,
}

/// State of a client that only its connection's task reads and writes, so it needs no lock.
#[derive(Debug)]
pub struct Client {
    /// The part that other tasks read and write.
    pub shared: Arc<SharedClient>,
    /// The selected database.
    pub database: usize,
    /// HELLO's version.
    pub version: Version,
    /// Set when AUTH succeeded, or when the default user had no password as the client connected.
    pub authenticated: bool,
    /// Set from the first authentication on, and not taken back by RESET. Until then the limits of strangers
    /// hold.
    pub is_known: bool,
    /// The client's user, with a cached answer to whether that user may do everything.
    pub rights: Rights,
    /// Which door it came through.
    pub door: Door,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Whether the connection came through the unix socket.
    pub unix: bool,
    /// The address it dialled, for telling it where the cluster is.
    pub local: Option<SocketAddr>,
    /// The host name by which a TLS client called the server.
    pub sni: Option<String>,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// READONLY was said (cluster mode, read-only port).
    pub readonly: bool,
    /// It may look and change nothing, neither keys nor the server: the console's way to only read.
    pub views_only: bool,
    /// It comes from inside the process, as the console's do: held against no profile, and spared simulated faults.
    pub is_inside: bool,
    /// ASKING was said for the next command.
    pub asking: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// CLIENT CAPA redirect.
    pub capa_redirect: bool,
    /// CLIENT IMPORT-SOURCE: it sees keys that have ended, as long as `import-mode` is on.
    pub import_source: bool,
    /// CLIENT TRACKING: how it tracks.
    pub tracker: Option<Arc<Tracker>>,
    /// CLIENT CACHING was said for the next command.
    pub caching: bool,
    /// MONITOR was said: it is shown what others run.
    pub monitor: bool,
    /// Subscriptions to channels, patterns and shard channels.
    pub subscriptions: Subscriptions,
    /// MULTI was said: what has been queued since.
    pub transaction: Option<Box<Transaction>>,
    /// Set for a request that came while memory was over `maxmemory` and nothing could be evicted: DENYOOM
    /// commands are refused.
    pub out_of_memory: bool,
    /// WATCH: the keys, and what tells of their changes.
    pub watch: Watch,
    /// HIMPORT PREPARE; `None` for no sets. [`change_field_sets`](Self::change_field_sets) and
    /// [`swap_field_sets`](Self::swap_field_sets) publish what they take.
    pub field_sets: Option<Arc<FieldSets>>,
    /// Repeats the requests of a file: it sees keys that have ended, may do everything whatever is
    /// configured, and what it does is told to nobody and counted nowhere.
    pub is_loader: bool,
    /// Repeats the stream of a primary: as [`is_loader`](Self::is_loader), but what it does is told and
    /// counted as if clients did it here.
    pub is_primary: bool,
    /// REPLCONF GETACK was said.
    pub ack_asked: bool,
    /// Position in the journal behind its last change; 0 before the first, or where nobody reads the journal.
    pub changed_to: u64,
    /// Position in the journal behind everything that its replies may show, changes of others included. The
    /// replies wait until that is as safe as `appendfsync` asks for.
    pub seen_to: u64,
    /// What it said of itself as a replica, before it asked for data.
    pub announced: Option<Box<Announced>>,
    /// Set when it is a replica: what its connection sends.
    pub link: Option<Box<Link>>,
    /// Set while its request waits for keys.
    pub waiter: Option<Arc<Waiter>>,
    /// What delays its requests beside running.
    pub delays: Delays,
    /// Offset in the write buffer at which the reply under way begins. All bytes before it are whole replies.
    pub replied: usize,
}

/// A client's subscriptions, in the order in which they were made.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// SUBSCRIBE.
    pub channels: Ordered<()>,
    /// PSUBSCRIBE.
    pub patterns: Ordered<()>,
    /// SSUBSCRIBE.
    pub shard_channels: Ordered<()>,
}

impl Subscriptions {
    /// Whether a RESP2 client with these may only send pub/sub commands.
    pub fn any(&self) -> bool {
        !(self.channels.is_empty() && self.patterns.is_empty() && self.shard_channels.is_empty())
    }

    /// What SUBSCRIBE and PSUBSCRIBE count together.
    pub fn global_count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }
}

impl Client {
    /// A client in the state in which it comes.
    pub fn new(shared: Arc<SharedClient>) -> Self {
        let user = Arc::clone(&shared.user.lock());
        Self {
            database: 0,
            version: Version::Resp2,
            authenticated: false,
            is_known: false,
            rights: Rights::new(user),
            door: shared.door,
            tls: false,
            unix: false,
            local: None,
            sni: None,
            reply_mode: ReplyMode::On,
            readonly: false,
            views_only: false,
            is_inside: false,
            asking: false,
            no_touch: false,
            capa_redirect: false,
            import_source: false,
            tracker: None,
            caching: false,
            monitor: false,
            subscriptions: Subscriptions::default(),
            transaction: None,
            out_of_memory: false,
            watch: Watch::default(),
            field_sets: None,
            is_loader: false,
            is_primary: false,
            ack_asked: false,
            changed_to: 0,
            seen_to: 0,
            announced: None,
            link: None,
            waiter: None,
            delays: Delays::default(),
            replied: 0,
            shared,
        }
    }

    /// A client without a connection that may do everything: it repeats a file or a stream.
    pub fn that_repeats(server: &Server) -> Self {
        let shared = Self::shared_that_repeats(server, 0, String::new(), String::new(), -1);
        Self::repeating(Arc::new(shared))
    }

    /// The shared part of one that repeats what comes by a connection between these addresses.
    pub fn shared_that_repeats(
        server: &Server,
        id: u64,
        address: String,
        local_address: String,
        fd: i32,
    ) -> SharedClient {
        let user = Arc::new(User::everything(DEFAULT_USER, 0, server.commands.entries().len()));
        SharedClient::new(id, address, local_address, fd, Door::Main, user, server.clock.now_ms())
    }

    /// A client that may do everything, with this shared part.
    pub fn repeating(shared: Arc<SharedClient>) -> Self {
        let mut client = Self::new(shared);
        (client.is_loader, client.authenticated, client.is_known) = (true, true, true);
        client
    }

    /// Whether a request in its transaction has a flag.
    pub fn queues(&self, flag: Flags) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.flags.has(flag))
    }

    /// Publishes the counts of its subscriptions.
    pub fn publish_subscriptions(&self) {
        let subscriptions = &self.subscriptions;
        let counts =
            [subscriptions.channels.len(), subscriptions.patterns.len(), subscriptions.shard_channels.len()];
        for (shown, count) in self.shared.subscribed.iter().zip(counts) {
            shown.store(count, Ordering::Relaxed);
        }
        let bytes = subscriptions.channels.memory_bytes()
            + subscriptions.patterns.memory_bytes()
            + subscriptions.shard_channels.memory_bytes();
        self.shared.name_bytes[names::SUBSCRIBED].store(bytes, Ordering::Relaxed);
    }

    /// Changes the field sets.
    pub fn change_field_sets<T>(&mut self, change: impl FnOnce(&mut FieldSets) -> T) -> T {
        let mut sets = self.field_sets.take().unwrap_or_default();
        let result = change(Arc::make_mut(&mut sets));
        self.swap_field_sets((!sets.is_empty()).then_some(sets));
        result
    }

    /// Takes other field sets, and returns those it had.
    pub fn swap_field_sets(&mut self, sets: Option<Arc<FieldSets>>) -> Option<Arc<FieldSets>> {
        let bytes = sets.as_ref().map_or(0, |sets| sets.memory_bytes());
        self.shared.field_set_bytes.store(bytes, Ordering::Relaxed);
        std::mem::replace(&mut self.field_sets, sets)
    }

    /// Whether it is on this machine: through the loopback or the unix socket.
    pub fn is_local(&self) -> bool {
        self.unix || self.address().is_some_and(|address| address.is_loopback())
    }

    /// CLIENT IMPORT-SOURCE.
    pub fn set_import_source(&mut self, is_on: bool) {
        self.import_source = is_on;
        self.shared.import_source.store(is_on, Ordering::Relaxed);
    }

    /// The time up to which keys and fields have ended for this client.
    #[inline]
    pub fn ended_ms(&self, now_ms: u64, settings: &Settings) -> u64 {
        if self.import_source && settings.import_mode() || self.is_loader { 0 } else { now_ms }
    }

    /// Selects a database.
    pub fn select(&mut self, database: usize) {
        self.database = database;
        self.shared.database.store(database, Ordering::Relaxed);
    }

    /// Changes the protocol version.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
        let shown = if version == Version::Resp3 { 3 } else { 2 };
        self.shared.protocol.store(shown, Ordering::Relaxed);
    }
}
