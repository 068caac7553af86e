//! [`PubSub`]: subscriptions to channels, patterns and shard channels, and sending of messages.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::RwLock;

use super::client::{OutputLimit, SharedClient};
use super::ordered::Ordered;
use crate::glob;
use crate::resp::Version;
use crate::resp::encode::Reply;

/// Subscribers by their ids: a channel may have very many, and each is removed by itself.
type Subscribers = HashMap<u64, Arc<SharedClient>, foldhash::fast::RandomState>;

/// Which name space a channel is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SUBSCRIBE, PUBLISH.
    Channel,
    /// SSUBSCRIBE, SPUBLISH.
    Shard,
}

/// All subscriptions of a server's clients.
#[derive(Debug, Default)]
pub struct PubSub {
    channels: DashMap<Bytes, Subscribers>,
    shard_channels: DashMap<Bytes, Subscribers>,
    patterns: RwLock<Ordered<Subscribers>>,
    /// Number of channel and pattern subscriptions of all clients: publishing without subscribers costs one
    /// load.
    global: AtomicUsize,
    limit: RwLock<OutputLimit>,
}

impl PubSub {
    /// Makes an object without subscriptions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the pubsub class of `client-output-buffer-limit`.
    pub fn set_limit(&self, limit: OutputLimit) {
        *self.limit.write() = limit;
    }

    /// Returns whether any client is subscribed to a channel or pattern; one relaxed load.
    #[inline]
    pub fn is_heard(&self) -> bool {
        self.global.load(Ordering::Relaxed) > 0
    }

    /// Adds a subscription that the client does not have yet.
    pub fn subscribe(&self, kind: Kind, channel: &Bytes, client: &Arc<SharedClient>) {
        if kind == Kind::Channel {
            self.global.fetch_add(1, Ordering::Relaxed);
        }
        self.map(kind).entry(channel.clone()).or_default().insert(client.id, Arc::clone(client));
    }

    /// Takes away a subscription that the client has.
    pub fn unsubscribe(&self, kind: Kind, channel: &Bytes, client: &SharedClient) {
        if kind == Kind::Channel {
            self.global.fetch_sub(1, Ordering::Relaxed);
        }
        let emptied = self.map(kind).get_mut(channel).is_some_and(|mut subscribers| {
            subscribers.remove(&client.id);
            subscribers.is_empty()
        });
        if emptied {
            self.map(kind).remove_if(channel, |_, subscribers| subscribers.is_empty());
        }
    }

    /// Adds a pattern that the client does not have yet.
    pub fn psubscribe(&self, pattern: &Bytes, client: &Arc<SharedClient>) {
        self.global.fetch_add(1, Ordering::Relaxed);
        let mut patterns = self.patterns.write();
        if patterns.get_mut(pattern).is_none() {
            patterns.add(pattern.clone(), Subscribers::default());
        }
        if let Some(subscribers) = patterns.get_mut(pattern) {
            subscribers.insert(client.id, Arc::clone(client));
        }
    }

    /// Takes away a pattern that the client has.
    pub fn punsubscribe(&self, pattern: &Bytes, client: &SharedClient) {
        self.global.fetch_sub(1, Ordering::Relaxed);
        let mut patterns = self.patterns.write();
        if let Some(subscribers) = patterns.get_mut(pattern) {
            subscribers.remove(&client.id);
            if subscribers.is_empty() {
                patterns.remove(pattern);
            }
        }
    }

    /// Sends a message to the subscribers of the channel and of patterns that match it. Returns their number.
    pub fn publish(&self, channel: &[u8], message: &[u8], now_ms: u64) -> usize {
        if !self.is_heard() {
            return 0;
        }
        let limit = *self.limit.read();
        let mut receivers = 0;
        if let Some(subscribers) = self.channels.get(channel) {
            let parts: [&[u8]; 3] = [b"message", channel, message];
            let mut text = Encoded::new(&parts);
            for subscriber in subscribers.values() {
                receivers += usize::from(subscriber.send(text.for_client(subscriber), limit, now_ms));
            }
        }
        for (pattern, subscribers) in self.patterns.read().iter() {
            if glob::matches(pattern, channel, false) {
                let parts: [&[u8]; 4] = [b"pmessage", pattern, channel, message];
                let mut text = Encoded::new(&parts);
                for subscriber in subscribers.values() {
                    receivers += usize::from(subscriber.send(text.for_client(subscriber), limit, now_ms));
                }
            }
        }
        receivers
    }

    /// Sends a message to the subscribers of the shard channel. Returns their number.
    pub fn spublish(&self, channel: &[u8], message: &[u8], now_ms: u64) -> usize {
        let Some(subscribers) = self.shard_channels.get(channel) else { return 0 };
        let limit = *self.limit.read();
        let parts: [&[u8]; 3] = [b"smessage", channel, message];
        let mut text = Encoded::new(&parts);
        let mut receivers = 0;
        for subscriber in subscribers.values() {
            receivers += usize::from(subscriber.send(text.for_client(subscriber), limit, now_ms));
        }
        receivers
    }

    /// Number of subscribers that a message to this channel would reach now.
    pub fn receiver_count(&self, kind: Kind, channel: &[u8]) -> usize {
        let direct = self.subscriber_count(kind, channel);
        if kind == Kind::Shard {
            return direct;
        }
        let patterns = self.patterns.read();
        let matching = patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel, false));
        direct + matching.map(|(_, subscribers)| subscribers.len()).sum::<usize>()
    }

    /// Channels with listeners that match the pattern, if one is given.
    pub fn channels(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Bytes> {
        self.map(kind)
            .iter()
            .filter(|entry| pattern.is_none_or(|pattern| glob::matches(pattern, entry.key(), false)))
            .map(|entry| entry.key().clone())
            .collect()
    }

    /// Number of subscribers of a channel (PUBSUB NUMSUB).
    pub fn subscriber_count(&self, kind: Kind, channel: &[u8]) -> usize {
        self.map(kind).get(channel).map_or(0, |subscribers| subscribers.len())
    }

    /// Number of subscribers of a channel where a message to so many may take long to send; 0 where they are
    /// few. Those of patterns are left out: the patterns would have to be matched twice.
    pub fn many_subscribers(&self, kind: Kind, channel: &[u8]) -> usize {
        const MANY: usize = 1000;
        if kind == Kind::Channel && self.global.load(Ordering::Relaxed) < MANY {
            return 0;
        }
        self.subscriber_count(kind, channel)
    }

    /// Collects subscribers of the channels, and with `true` patterns, that `is_meant` accepts. A client may
    /// occur more than once.
    pub fn listeners(&self, is_meant: impl Fn(&[u8], bool) -> bool) -> Vec<Arc<SharedClient>> {
        let mut listeners = Vec::new();
        for channels in [&self.channels, &self.shard_channels] {
            for entry in channels.iter().filter(|entry| is_meant(entry.key(), false)) {
                listeners.extend(entry.value().values().cloned());
            }
        }
        let patterns = self.patterns.read();
        for (_, subscribers) in patterns.iter().filter(|(pattern, _)| is_meant(pattern, true)) {
            listeners.extend(subscribers.values().cloned());
        }
        listeners
    }

    /// Number of different patterns (PUBSUB NUMPAT).
    pub fn pattern_count(&self) -> usize {
        self.patterns.read().len()
    }

    /// Number of channels with subscribers.
    pub fn channel_count(&self, kind: Kind) -> usize {
        self.map(kind).len()
    }

    fn map(&self, kind: Kind) -> &DashMap<Bytes, Subscribers> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Shard => &self.shard_channels,
        }
    }
}

/// A message, encoded at most once for each protocol version, when the first receiver of that version comes.
struct Encoded<'a> {
    parts: &'a [&'a [u8]],
    texts: [Option<Bytes>; 2],
}

impl<'a> Encoded<'a> {
    fn new(parts: &'a [&'a [u8]]) -> Self {
        Self { parts, texts: [None, None] }
    }

    fn for_client(&mut self, client: &SharedClient) -> Bytes {
        let resp3 = client.protocol.load(Ordering::Relaxed) == 3;
        let (index, version) = if resp3 { (1, Version::Resp3) } else { (0, Version::Resp2) };
        let parts = self.parts;
        self.texts[index]
            .get_or_insert_with(|| {
                let mut out = Vec::new();
                let mut reply = Reply::new(&mut out, version);
                reply.push(parts.len());
                for part in parts {
                    reply.bulk(part);
                }
                out.into()
            })
            .clone()
    }
}
