//! [`SharedClient`]: the part of a client that other tasks read (CLIENT LIST) and reach (messages, CLIENT
//! KILL, waking).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;

use super::tracker::Tracker;
use super::waiter::Waiter;
use crate::acl::user::User;

/// Kind of port that a client connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `port`, `tls-port` or the unix socket.
    Main,
    /// `read-only-port`: the replica's part.
    ReadOnly,
}

/// Places in [`SharedClient::name_bytes`].
pub mod names {
    /// Keys watched.
    pub const WATCHED: usize = 0;
    /// Channels and patterns.
    pub const SUBSCRIBED: usize = 1;
    /// Prefixes.
    pub const TRACKED: usize = 2;
    /// Bytes that a watched key takes beside its own, about.
    pub const KEY_BYTES: usize = 96;

    /// What a prefix counts as: its place in the list, and what it has beyond the usual length. Those of a client
    /// mostly begin alike, and limits are set by servers that keep what they share once.
    pub fn prefix_bytes(prefix: &[u8]) -> usize {
        12 + prefix.len().saturating_sub(64)
    }
}

/// Messages for a client from other tasks, not yet in its write buffer.
#[derive(Debug, Default)]
struct Outbox {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

/// One class of `client-output-buffer-limit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes at which the client is cut at once; 0 for none.
    pub hard_bytes: usize,
    /// Bytes at which it is cut after `soft_seconds`; 0 for none.
    pub soft_bytes: usize,
    /// Seconds for which `soft_bytes` may be exceeded.
    pub soft_seconds: u64,
}

/// Names that a client gave itself.
#[derive(Clone, Debug, Default)]
pub struct ClientNames {
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO lib-name.
    pub lib_name: String,
    /// CLIENT SETINFO lib-ver.
    pub lib_version: String,
}

/// A client as others see it (CLIENT LIST) and reach it (pub/sub, CLIENT KILL).
#[derive(Debug)]
#[repr(C)] // In this order: what each request touches comes first and lies together, in a hundred bytes.
pub struct SharedClient {
    wanted: AtomicU8,
    has_messages: AtomicBool,
    /// Id of its last command in the table; `u32::MAX` before the first.
    pub last_command: AtomicU32,
    /// CLIENT ID.
    pub id: u64,
    /// When its last batch of commands ended, in milliseconds of Unix time; `u64::MAX` while one runs.
    pub active_ms: AtomicU64,
    /// Bytes read.
    pub input_bytes: AtomicU64,
    /// Bytes written.
    pub output_bytes: AtomicU64,
    /// Commands run.
    pub commands: AtomicU64,
    /// Bytes in its query buffer, and the buffer's capacity.
    pub query_buffer: [AtomicUsize; 2],
    /// Bytes of replies that wait to be written, and the buffer's capacity.
    pub reply_buffer: [AtomicUsize; 2],
    /// What [`super::clients::Clients`] counts of its unread replies.
    pub(super) unread: AtomicUsize,
    /// Where it came from: `ip:port`, or the socket's path and `:0`.
    pub address: String,
    /// Address that the client connected to, in the same form.
    pub local_address: String,
    /// File descriptor of the socket, which CLIENT LIST shows.
    pub fd: i32,
    /// Kind of port that the client connected to.
    pub door: Door,
    /// Version of RESP: 2 or 3.
    pub protocol: AtomicU8,
    /// Time of the connection, in milliseconds of Unix time.
    pub created_ms: u64,
    /// The user that the client authenticated as.
    pub user: Mutex<Arc<User>>,
    /// Names it gave itself.
    pub names: Mutex<ClientNames>,
    /// Selected database.
    pub database: AtomicUsize,
    /// SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE counts.
    pub subscribed: [AtomicUsize; 3],
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// It comes from inside the process, as the console's do.
    pub is_inside: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// READONLY was sent on a connection of cluster mode.
    pub readonly: AtomicBool,
    /// CLIENT CAPA redirect.
    pub capa_redirect: AtomicBool,
    /// CLIENT IMPORT-SOURCE.
    pub import_source: AtomicBool,
    /// Lines of MONITOR are sent to it.
    pub monitor: AtomicBool,
    /// It is a replica, and its connection a link.
    pub replica: AtomicBool,
    /// It is the primary that this server follows, or runs its stream.
    pub primary: AtomicBool,
    /// Waits for the end of a pause.
    pub blocked: AtomicBool,
    /// Its connection has ended.
    gone: AtomicBool,
    /// Waits for keys.
    pub waiter: Mutex<Option<Arc<Waiter>>>,
    /// Since when more waits to be read than the soft limit of its class, in milliseconds of Unix time; 0
    /// while it does not.
    over_soft_since_ms: AtomicU64,
    /// Bytes read and written when [`Server::look_after_clients`](super::Server::look_after_clients) looked
    /// last.
    pub traffic_seen: AtomicU64,
    /// When it last saw that number changed, in milliseconds of Unix time.
    pub traffic_ms: AtomicU64,
    /// Requests queued in a transaction; -1 outside of one.
    pub queued: AtomicI64,
    /// Bytes of these requests.
    pub queued_bytes: AtomicUsize,
    /// Bytes of its field sets (HIMPORT).
    pub field_set_bytes: AtomicUsize,
    /// Keys watched.
    pub watched: AtomicUsize,
    /// Bytes of names that it has the server keep: of keys watched, of channels and patterns, of prefixes that are
    /// tracked.
    pub name_bytes: [AtomicUsize; 3],
    /// CLIENT TRACKING.
    pub tracker: Mutex<Option<Arc<Tracker>>>,
    outbox: Mutex<Outbox>,
    /// Wakes the connection's task. It stays where it is when it is used: a task has the same one all its
    /// life.
    waker: Mutex<Option<Waker>>,
}

/// The connection is to be closed at once.
const WANT_CLOSE: u8 = 1;
/// Something about the server changed that the connection waits for (pause).
const WANT_LOOK: u8 = 2;
/// To be closed without its last replies, which it does not read.
const CUT: u8 = 4;
/// To be closed because more waits for it than `client-output-buffer-limit` allows.
const OVER_LIMIT: u8 = 8;

impl SharedClient {
    /// Makes the shared part of a new client.
    pub fn new(
        id: u64,
        address: String,
        local_address: String,
        fd: i32,
        door: Door,
        user: Arc<User>,
        now_ms: u64,
    ) -> Self {
        Self {
            id,
            address,
            local_address,
            fd,
            door,
            created_ms: now_ms,
            user: Mutex::new(user),
            names: Mutex::default(),
            active_ms: AtomicU64::new(now_ms),
            last_command: AtomicU32::new(u32::MAX),
            database: AtomicUsize::new(0),
            protocol: AtomicU8::new(2),
            subscribed: Default::default(),
            input_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            query_buffer: Default::default(),
            reply_buffer: Default::default(),
            unread: AtomicUsize::new(0),
            no_evict: AtomicBool::new(false),
            is_inside: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            readonly: AtomicBool::new(false),
            capa_redirect: AtomicBool::new(false),
            import_source: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            waiter: Mutex::default(),
            over_soft_since_ms: AtomicU64::new(0),
            traffic_seen: AtomicU64::new(0),
            traffic_ms: AtomicU64::new(0),
            queued: AtomicI64::new(-1),
            queued_bytes: AtomicUsize::new(0),
            field_set_bytes: AtomicUsize::new(0),
            watched: AtomicUsize::new(0),
            name_bytes: Default::default(),
            monitor: AtomicBool::new(false),
            replica: AtomicBool::new(false),
            primary: AtomicBool::new(false),
            tracker: Mutex::default(),
            gone: AtomicBool::new(false),
            wanted: AtomicU8::new(0),
            has_messages: AtomicBool::new(false),
            outbox: Mutex::default(),
            waker: Mutex::default(),
        }
    }

    /// A client of nobody, for tests.
    #[cfg(test)]
    pub(crate) fn for_test(id: u64) -> Arc<Self> {
        use crate::acl::user::DEFAULT_USER;
        let user = Arc::new(User::everything(DEFAULT_USER, 0, 1));
        Arc::new(Self::new(id, String::new(), String::new(), -1, Door::Main, user, 0))
    }

    /// Whether it is subscribed to anything.
    pub fn is_subscribed(&self) -> bool {
        self.subscribed.iter().any(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// Marks its connection as ended.
    pub fn set_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Whether its connection has ended, or is about to.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed) || self.is_closing()
    }

    /// Whether it came through the unix socket, whose path is both its addresses.
    pub fn is_unix(&self) -> bool {
        self.address == self.local_address
    }

    /// Puts a message into the outbox and wakes the connection. A client over its limit is closed instead.
    /// Whether it will be sent.
    pub fn send(&self, message: Bytes, limit: OutputLimit, now_ms: u64) -> bool {
        if self.is_closing() {
            return false; // Nothing piles up for one that will not read it.
        }
        let mut outbox = self.outbox.lock();
        outbox.bytes += message.len();
        outbox.messages.push_back(message);
        let waiting = outbox.bytes + self.reply_buffer[0].load(Ordering::Relaxed);
        self.has_messages.store(true, Ordering::Release);
        drop(outbox);
        if self.exceeds(limit, waiting, now_ms) {
            self.cut_over_limit();
            return false;
        }
        self.wake();
        true
    }

    /// Whether messages wait.
    #[inline]
    pub fn has_messages(&self) -> bool {
        self.has_messages.load(Ordering::Acquire)
    }

    /// Moves all messages to the end of the write buffer.
    pub fn take_messages(&self, out: &mut Vec<u8>) {
        let mut outbox = self.outbox.lock();
        self.has_messages.store(false, Ordering::Release);
        for message in outbox.messages.drain(..) {
            out.extend_from_slice(&message);
        }
        outbox.bytes = 0;
        outbox.messages.shrink_to(64);
    }

    /// Bytes of messages that wait, and how many.
    pub fn outbox_size(&self) -> (usize, usize) {
        let outbox = self.outbox.lock();
        (outbox.bytes, outbox.messages.len())
    }

    /// Bytes of memory that it takes: its buffers, what waits for it, what it has queued, its field
    /// sets, the names of what it watches, is subscribed to or tracks.
    pub fn memory_bytes(&self) -> usize {
        let waiting = self.waiter.lock().as_ref().map_or(0, |waiter| waiter.request.memory_bytes());
        let queued = match self.queued.load(Ordering::Relaxed) {
            ..0 => 0,
            0.. => self.queued_bytes.load(Ordering::Relaxed),
        };
        // The capacity is told when requests have run; to a subscriber more may have been sent since.
        let [reply_len, reply_capacity] =
            [0, 1].map(|index| self.reply_buffer[index].load(Ordering::Relaxed));
        self.query_buffer[1].load(Ordering::Relaxed)
            + reply_len.max(reply_capacity)
            + self.outbox_size().0
            + waiting
            + queued
            + self.field_set_bytes.load(Ordering::Relaxed)
            + self.name_bytes.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum::<usize>()
            + size_of::<Self>()
    }

    /// Asks the connection's task to close it, and wakes the task.
    pub fn close(&self) {
        self.wanted.fetch_or(WANT_CLOSE, Ordering::Release);
        self.wake();
    }

    /// Closes it without waiting for it to read its last replies.
    pub fn cut(&self) {
        self.wanted.fetch_or(CUT, Ordering::Relaxed);
        self.close();
    }

    /// [`cut`](Self::cut)s it and has that counted: it does not read what it is sent.
    pub fn cut_over_limit(&self) {
        self.wanted.fetch_or(OVER_LIMIT, Ordering::Relaxed);
        self.cut();
    }

    /// Notes that nothing waits to be read any more.
    #[inline]
    pub fn has_read_all(&self) {
        if self.over_soft_since_ms.load(Ordering::Relaxed) > 0 {
            self.over_soft_since_ms.store(0, Ordering::Relaxed);
        }
    }

    /// Whether `waiting` bytes of replies and messages are more than `limit` allows, now or for too long
    /// already.
    pub fn exceeds(&self, limit: OutputLimit, waiting: usize, now_ms: u64) -> bool {
        if limit.soft_bytes == 0 || waiting <= limit.soft_bytes {
            self.over_soft_since_ms.store(0, Ordering::Relaxed);
        } else if self.over_soft_since_ms.load(Ordering::Relaxed) == 0 {
            self.over_soft_since_ms.store(now_ms, Ordering::Relaxed);
        }
        let since_ms = self.over_soft_since_ms.load(Ordering::Relaxed);
        let over_hard = limit.hard_bytes > 0 && waiting > limit.hard_bytes;
        over_hard || since_ms > 0 && now_ms.saturating_sub(since_ms) > limit.soft_seconds * 1000
    }

    /// Wakes the connection's task, to look at the server's state again (a pause, a wait).
    pub fn look(&self) {
        self.wanted.fetch_or(WANT_LOOK, Ordering::Release);
        self.wake();
    }

    /// Whether it is to be closed.
    #[inline]
    pub fn is_closing(&self) -> bool {
        self.wanted.load(Ordering::Acquire) & WANT_CLOSE != 0
    }

    /// Whether it is closed without its last replies.
    pub fn is_cut(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) & CUT != 0
    }

    /// Whether it is closed because more waited for it than `client-output-buffer-limit` allows.
    pub fn is_over_limit(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) & OVER_LIMIT != 0
    }

    /// Whether it was told to look again; forgets it.
    pub fn take_look(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) & WANT_LOOK != 0
            && self.wanted.fetch_and(!WANT_LOOK, Ordering::AcqRel) & WANT_LOOK != 0
    }

    /// Whether anything from outside waits for the connection.
    #[inline]
    pub fn is_called(&self) -> bool {
        self.wanted.load(Ordering::Acquire) != 0 || self.has_messages()
    }

    /// Has `waker` woken by each call from outside, and no other one any more. Whoever registers looks
    /// afterwards whether it was called.
    pub fn register(&self, waker: &Waker) {
        *self.waker.lock() = Some(waker.clone());
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }
}
