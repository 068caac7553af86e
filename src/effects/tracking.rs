//! CLIENT TRACKING: clients that keep copies of what they read, and are told when it changes.
//!
//! In the default mode the server remembers which client read which key, and sends one message when the key
//! changes. A key is entered before a command reads it and taken out by the command that changes it, both
//! under its slot's lock, so a read and an invalidation cannot cross. The message goes into the client's
//! outbox, which is emptied behind the reply under way, so it comes after the value that it is about.
//!
//! In broadcasting mode nothing is remembered: clients say which prefixes they want to hear of, and get the
//! keys that a batch has changed in one message for each prefix.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use crate::keyspace::key_hash::HashedKey;
use crate::resp::Version;
use crate::resp::encode::Reply;
use crate::shared::client::{OutputLimit, SharedClient};
use crate::shared::tracker::Tracker;

/// The channel on which a RESP2 client hears of invalid keys.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// Parts of the table, each with a lock of its own.
const PARTS: usize = 64;

/// Number of clients of one key from which on those that have left are removed.
const PRUNE_FROM: usize = 16;

/// Number of keys among which the one that makes room is chosen.
const CANDIDATES: usize = 16;

/// What a message tells a client to forget.
#[derive(Clone, Copy)]
enum Invalid<'k> {
    Keys(&'k [&'k [u8]]),
    /// All keys, as a database was emptied.
    Everything,
}

/// Trackers by their clients' ids.
type Trackers = HashMap<u64, Arc<Tracker>, foldhash::fast::RandomState>;

/// The prefixes of broadcasting mode, with those that asked for them.
type Prefixes = BTreeMap<Bytes, Trackers>;

/// Clients that asked for a prefix, and the changed keys that begin with it, each with the id of the client
/// that changed it.
struct OfPrefix<'k> {
    trackers: &'k Trackers,
    changed: Vec<(&'k [u8], u64)>,
}

type Part = HashMap<Box<[u8]>, SmallVec<[u64; 2]>, foldhash::fast::RandomState>;

/// Tracking clients, and the keys that each has read. Without tracking clients a read and a change cost one
/// relaxed load each.
#[derive(Debug)]
pub struct Tracking {
    trackers: DashMap<u64, Arc<Tracker>>,
    count: AtomicUsize,
    parts: Box<[Mutex<Part>]>,
    keys: AtomicUsize,
    items: AtomicUsize,
    max_keys: AtomicUsize,
    prefixes: RwLock<Prefixes>,
    /// Output limits: of clients that get push messages, and of RESP2 clients that subscribed to the channel.
    limits: RwLock<[OutputLimit; 2]>,
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            trackers: DashMap::new(),
            count: AtomicUsize::new(0),
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            keys: AtomicUsize::new(0),
            items: AtomicUsize::new(0),
            max_keys: AtomicUsize::new(0),
            prefixes: RwLock::default(),
            limits: RwLock::default(),
        }
    }
}

impl Tracking {
    /// Returns whether any client tracks; one relaxed load.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Number of tracking clients.
    pub fn client_count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Keys that are remembered, and clients remembered for them all together.
    pub fn table_size(&self) -> (usize, usize) {
        (self.keys.load(Ordering::Relaxed), self.items.load(Ordering::Relaxed))
    }

    /// Different prefixes of broadcasting mode.
    pub fn prefix_count(&self) -> usize {
        self.prefixes.read().len()
    }

    /// Sets `tracking-table-max-keys` (0 for no limit) and the limits of output; makes room at once.
    pub fn set_limits(&self, max_keys: usize, pushed: OutputLimit, subscribed: OutputLimit, now_ms: u64) {
        self.max_keys.store(max_keys, Ordering::Relaxed);
        *self.limits.write() = [pushed, subscribed];
        self.make_room(now_ms);
    }

    /// Begins the tracking of a client. A tracker it had before was [`end`](Self::end)ed.
    pub fn begin(&self, tracker: &Arc<Tracker>) {
        if self.trackers.insert(tracker.client.id, Arc::clone(tracker)).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        *tracker.client.tracker.lock() = Some(Arc::clone(tracker));
        let mut prefixes = self.prefixes.write();
        for prefix in &tracker.prefixes {
            prefixes.entry(prefix.clone()).or_default().insert(tracker.client.id, Arc::clone(tracker));
        }
    }

    /// Ends the tracking of a client. Its entries in the table stay until their keys go; they cause no
    /// message.
    pub fn end(&self, tracker: &Tracker) {
        *tracker.client.tracker.lock() = None;
        if self.trackers.remove(&tracker.client.id).is_some()
            && self.count.fetch_sub(1, Ordering::Relaxed) == 1
        {
            self.clear();
        }
        if tracker.broadcast {
            let mut prefixes = self.prefixes.write();
            for prefix in &tracker.prefixes {
                if let Some(trackers) = prefixes.get_mut(prefix) {
                    trackers.remove(&tracker.client.id);
                    if trackers.is_empty() {
                        prefixes.remove(prefix);
                    }
                }
            }
        }
    }

    /// Enters that a client is about to read `key`, whose slot is locked.
    pub fn remember(&self, key: &HashedKey<'_>, client: u64, now_ms: u64) {
        let mut part = self.part(key).lock();
        if let Some(clients) = part.get_mut(key.bytes) {
            // Sorted: a key may be read by very many.
            if clients.binary_search(&client).is_err() {
                if clients.len() >= PRUNE_FROM && clients.len().is_power_of_two() {
                    let before = clients.len();
                    clients.retain(|client| self.trackers.contains_key(client));
                    self.items.fetch_sub(before - clients.len(), Ordering::Relaxed);
                }
                let place = clients.partition_point(|other| *other < client);
                clients.insert(place, client);
                self.items.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        part.insert(key.bytes.into(), SmallVec::from_slice(&[client]));
        drop(part);
        self.items.fetch_add(1, Ordering::Relaxed);
        self.keys.fetch_add(1, Ordering::Relaxed);
        self.make_room(now_ms);
    }

    /// Invalidates the copies of a key that the client `actor` changed (0 for none). The key's slot is
    /// locked.
    pub fn changed(&self, key: &HashedKey<'_>, actor: u64, now_ms: u64) {
        let Some(clients) = self.take(self.part(key), key.bytes) else { return };
        self.tell_all(&clients, key.bytes, actor, now_ms);
    }

    /// Tells every tracking client to forget everything, as a database was emptied.
    pub fn flushed(&self, now_ms: u64) {
        self.clear();
        for tracker in self.trackers.iter() {
            self.tell(&tracker, Invalid::Everything, now_ms);
        }
    }

    /// Returns whether `key` begins with a prefix that a client asked for.
    pub fn is_broadcast(&self, key: &[u8]) -> bool {
        prefixes_of(&self.prefixes.read(), key).next().is_some()
    }

    /// Sends changed keys to the clients that asked for their prefixes. With each key comes the id of the
    /// client that changed it.
    pub fn broadcast(&self, changed: &VecDeque<(Box<[u8]>, u64)>, now_ms: u64) {
        let prefixes = self.prefixes.read();
        let mut by_prefix: BTreeMap<&Bytes, OfPrefix<'_>> = BTreeMap::new();
        for (key, actor) in changed {
            for (prefix, trackers) in prefixes_of(&prefixes, key) {
                let told =
                    by_prefix.entry(prefix).or_insert_with(|| OfPrefix { trackers, changed: Vec::new() });
                told.changed.push((&**key, *actor));
            }
        }
        for OfPrefix { trackers, changed } in by_prefix.values() {
            for tracker in trackers.values() {
                let theirs = |actor: u64| !(tracker.no_loop && actor == tracker.client.id);
                let keys: Vec<&[u8]> =
                    changed.iter().filter(|(_, actor)| theirs(*actor)).map(|(key, _)| *key).collect();
                if !keys.is_empty() {
                    self.tell(tracker, Invalid::Keys(&keys), now_ms);
                }
            }
        }
    }

    fn part(&self, key: &HashedKey<'_>) -> &Mutex<Part> {
        &self.parts[key.slot() % PARTS]
    }

    fn take(&self, part: &Mutex<Part>, key: &[u8]) -> Option<SmallVec<[u64; 2]>> {
        let clients = part.lock().remove(key)?;
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.items.fetch_sub(clients.len(), Ordering::Relaxed);
        Some(clients)
    }

    fn clear(&self) {
        for part in &self.parts {
            let old = std::mem::take(&mut *part.lock());
            self.keys.fetch_sub(old.len(), Ordering::Relaxed);
            self.items.fetch_sub(old.values().map(|clients| clients.len()).sum(), Ordering::Relaxed);
        }
    }

    /// Forgets keys beyond `tracking-table-max-keys`, and invalidates their readers' copies as if they had
    /// changed.
    fn make_room(&self, now_ms: u64) {
        let max_keys = self.max_keys.load(Ordering::Relaxed);
        while max_keys > 0 && self.keys.load(Ordering::Relaxed) > max_keys {
            let first = fastrand::usize(..PARTS);
            let chosen = (0..PARTS).find_map(|step| {
                let part = &self.parts[(first + step) % PARTS];
                let keys = part.lock();
                let candidates = keys.len().min(CANDIDATES);
                let index = (candidates > 0).then(|| fastrand::usize(..candidates))?;
                Some((part, keys.keys().nth(index)?.clone()))
            });
            // An empty part: another thread took the last key and is about to count it out.
            let Some((part, key)) = chosen else { return };
            if let Some(clients) = self.take(part, &key) {
                self.tell_all(&clients, &key, 0, now_ms);
            }
        }
    }

    fn tell_all(&self, clients: &[u64], key: &[u8], actor: u64, now_ms: u64) {
        for client in clients {
            // It may have left, or changed its mind.
            let Some(tracker) = self.trackers.get(client).map(|tracker| Arc::clone(&tracker)) else {
                continue;
            };
            let is_own = tracker.no_loop && actor == *client;
            if !tracker.broadcast && !is_own {
                self.tell(&tracker, Invalid::Keys(&[key]), now_ms);
            }
        }
    }

    fn tell(&self, tracker: &Tracker, invalid: Invalid<'_>, now_ms: u64) {
        let [pushed, subscribed] = *self.limits.read();
        let speaks_resp3 = |client: &SharedClient| client.protocol.load(Ordering::Relaxed) == 3;
        let target = match &tracker.redirect {
            None => &tracker.client,
            Some(redirect) if !redirect.is_gone() => redirect,
            Some(redirect) => {
                tracker.set_broken();
                if speaks_resp3(&tracker.client) {
                    tracker.client.send(broken(redirect.id), pushed, now_ms);
                }
                return;
            }
        };
        if speaks_resp3(target) {
            target.send(pushed_message(invalid), pushed, now_ms);
        } else if tracker.redirect.is_some()
            && target.subscribed.iter().any(|count| count.load(Ordering::Relaxed) > 0)
        {
            target.send(published_message(invalid), subscribed, now_ms);
        }
    }
}

/// The prefixes that a key begins with, the longest first.
///
/// A prefix is sorted before all that begins with it. So the last one up to the key is a prefix of the key,
/// or it differs from the key at some byte, and then all prefixes of the key that are left end before that
/// byte.
fn prefixes_of<'p>(prefixes: &'p Prefixes, key: &[u8]) -> impl Iterator<Item = (&'p Bytes, &'p Trackers)> {
    let mut end = Bound::Included(key);
    std::iter::from_fn(move || {
        loop {
            let (prefix, trackers) = prefixes.range::<[u8], _>((Bound::Unbounded, end)).next_back()?;
            let common = prefix.iter().zip(key).take_while(|(one, other)| one == other).count();
            if common == prefix.len() {
                end = Bound::Excluded(&key[..common]);
                return Some((prefix, trackers));
            }
            end = Bound::Included(&key[..common]);
        }
    })
}

fn pushed_message(invalid: Invalid<'_>) -> Bytes {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Version::Resp3);
    reply.push(2);
    reply.bulk(b"invalidate");
    write(&mut reply, invalid);
    out.into()
}

fn published_message(invalid: Invalid<'_>) -> Bytes {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Version::Resp2);
    reply.array(3);
    reply.bulk(b"message");
    reply.bulk(CHANNEL);
    write(&mut reply, invalid);
    out.into()
}

fn write(reply: &mut Reply<'_>, invalid: Invalid<'_>) {
    match invalid {
        Invalid::Everything => reply.null(),
        Invalid::Keys(keys) => {
            reply.array(keys.len());
            keys.iter().for_each(|key| reply.bulk(key));
        }
    }
}

fn broken(redirect: u64) -> Bytes {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Version::Resp3);
    reply.push(2);
    reply.bulk(b"tracking-redir-broken");
    reply.int(redirect as i64);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::client::Door;

    fn tracker(id: u64) -> Arc<Tracker> {
        let user = crate::acl::Acl::new(0, b"").default_user();
        let address = format!("127.0.0.1:{id}");
        let client = Arc::new(SharedClient::new(id, address, String::new(), 0, Door::Main, user, 0));
        client.protocol.store(3, Ordering::Relaxed);
        Arc::new(Tracker::new(&client))
    }

    fn key(bytes: &[u8]) -> HashedKey<'_> {
        HashedKey { bytes, hash: bytes.iter().map(|byte| u64::from(*byte)).sum() }
    }

    fn messages(tracker: &Tracker) -> String {
        let mut out = Vec::new();
        tracker.client.take_messages(&mut out);
        String::from_utf8_lossy(&out).replace("\r\n", "~")
    }

    #[test]
    fn a_key_is_told_once_and_only_to_who_read_it() {
        let tracking = Tracking::default();
        let (first, second) = (tracker(1), tracker(2));
        tracking.begin(&first);
        tracking.begin(&second);
        tracking.remember(&key(b"k"), 1, 0);
        tracking.remember(&key(b"k"), 1, 0);
        assert_eq!(tracking.table_size(), (1, 1));
        tracking.changed(&key(b"k"), 2, 0);
        tracking.changed(&key(b"k"), 2, 0);
        assert_eq!(messages(&first), ">2~$10~invalidate~*1~$1~k~");
        assert_eq!(messages(&second), "");
        assert_eq!(tracking.table_size(), (0, 0));
        tracking.remember(&key(b"k"), 1, 0);
        tracking.end(&first);
        tracking.changed(&key(b"k"), 2, 0);
        assert_eq!(messages(&first), "");
        tracking.remember(&key(b"l"), 2, 0);
        tracking.end(&second);
        assert_eq!(
            (tracking.table_size(), tracking.any()),
            ((0, 0), false),
            "the last one empties the table"
        );
    }

    /// The prefixes were searched from the first to the last, for each change of a key.
    #[test]
    fn prefixes_of_a_key_are_found_among_others() {
        let mut prefixes = Prefixes::new();
        let names = ["", "a", "ab", "abc", "abd", "b", "user:", "user:1", "user:10", "user:2", "\u{7f}"];
        for name in names {
            prefixes.insert(Bytes::from(name), Trackers::default());
        }
        for key in [
            "",
            "a",
            "abx",
            "abcd",
            "abca",
            "aa",
            "c",
            "user",
            "user:1",
            "user:10x",
            "user:3",
            "\u{7f}\u{7f}",
        ] {
            let found: Vec<&[u8]> = prefixes_of(&prefixes, key.as_bytes()).map(|(name, _)| &**name).collect();
            let mut expected: Vec<&[u8]> =
                names.iter().filter(|name| key.starts_with(**name)).map(|name| name.as_bytes()).collect();
            expected.sort_by_key(|name| std::cmp::Reverse(name.len()));
            assert_eq!(found, expected, "{key:?}");
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let tracking = Tracking::default();
        let only = tracker(1);
        tracking.begin(&only);
        tracking.set_limits(10, OutputLimit::default(), OutputLimit::default(), 0);
        for number in 0..100u8 {
            tracking.remember(&key(&[number]), 1, 0);
        }
        assert_eq!(tracking.table_size(), (10, 10));
        assert_eq!(messages(&only).matches("invalidate").count(), 90);
        tracking.set_limits(3, OutputLimit::default(), OutputLimit::default(), 0);
        assert_eq!(messages(&only).matches("invalidate").count(), 7);
    }

    #[test]
    fn clients_that_left_do_not_pile_up_at_a_key() {
        let tracking = Tracking::default();
        let stays = tracker(1);
        tracking.begin(&stays);
        for id in 2..1000 {
            let leaves = tracker(id);
            tracking.begin(&leaves);
            tracking.remember(&key(b"k"), id, 0);
            tracking.end(&leaves);
        }
        assert!(tracking.table_size().1 <= PRUNE_FROM, "{:?}", tracking.table_size());
    }
}
