//! What the hot path needs of the configuration, as plain numbers behind relaxed loads.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::client::{OutputLimit, SharedClient};
use super::collection_limits::CollectionLimits;
use crate::config::{ClientClass, Config, Directive};
use crate::keyspace::access_clock::AccessClock;
use crate::keyspace::evict::Policy;

/// The directives that requests read, each as a number. [`load`](Self::load) writes them after CONFIG SET;
/// readers may see the old value of one directive beside the new one of another.
#[derive(Debug, Default)]
pub struct Settings {
    bulk_max: AtomicI64,
    query_max: AtomicI64,
    lfu: AtomicBool,
    lrm: AtomicBool,
    lfu_log_factor: AtomicU32,
    lfu_decay_minutes: AtomicU32,
    maxmemory: AtomicU64,
    clients_limit: AtomicUsize,
    eviction: RwLock<Eviction>,
    normal_limit: RwLock<OutputLimit>,
    pubsub_limit: RwLock<OutputLimit>,
    monitor_limit: RwLock<OutputLimit>,
    replica_limit: RwLock<OutputLimit>,
    counts_replies_to_strangers: AtomicBool,
    import_mode: AtomicBool,
    min_replicas: AtomicUsize,
    /// When collections leave their compact form.
    pub collections: CollectionLimits,
}

/// Bytes of replies that may wait for a client that has never authenticated (Redis's figures: its fixed
/// buffer and 1 KiB).
const STRANGER_OUTPUT_MAX: usize = (16 + 1) * 1024;

/// Settings of eviction: policy, samples, time limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Eviction {
    /// `maxmemory-policy`; `None` for `noeviction`.
    pub policy: Option<Policy>,
    /// `maxmemory-samples`.
    pub samples: usize,
    /// How long one command may be held up by it (`maxmemory-eviction-tenacity`), in microseconds; `None` for
    /// as long as it takes.
    pub limit_us: Option<u64>,
}

impl Settings {
    /// The settings of a configuration.
    pub fn new(config: &Config) -> Self {
        let settings = Self::default();
        settings.load(config);
        settings
    }

    /// Copies the directives from `config`. Called at start and after CONFIG SET.
    pub fn load(&self, config: &Config) {
        self.bulk_max.store(config.int(Directive::ProtoMaxBulkLen), Ordering::Relaxed);
        self.query_max.store(config.int(Directive::ClientQueryBufferLimit), Ordering::Relaxed);
        let policy = config.word(Directive::MaxmemoryPolicy);
        self.lfu.store(policy.ends_with("-lfu"), Ordering::Relaxed);
        self.lrm.store(policy.ends_with("-lrm"), Ordering::Relaxed);
        self.lfu_log_factor.store(config.int(Directive::LfuLogFactor) as u32, Ordering::Relaxed);
        self.lfu_decay_minutes.store(config.int(Directive::LfuDecayTime) as u32, Ordering::Relaxed);
        let min_replicas = match config.int(Directive::MinReplicasMaxLag) {
            0 => 0, // Says that no replica is asked for.
            _ => config.int(Directive::MinReplicasToWrite).max(0) as usize,
        };
        self.min_replicas.store(min_replicas, Ordering::Relaxed);
        self.collections.load(config);
        self.import_mode.store(config.flag(Directive::ImportMode), Ordering::Relaxed);
        *self.eviction.write() = Eviction {
            policy: Policy::of(config.word(Directive::MaxmemoryPolicy)),
            samples: config.int(Directive::MaxmemorySamples).max(1) as usize,
            limit_us: eviction_limit_us(config.int(Directive::MaxmemoryEvictionTenacity)),
        };
        let maxmemory = config.unsigned(Directive::Maxmemory);
        self.maxmemory.store(maxmemory, Ordering::Relaxed);
        let clients_limit = match config.int(Directive::MaxmemoryClients) {
            // A share of maxmemory, in percent.
            percent @ ..0 => (u128::from(maxmemory) * u128::from(percent.unsigned_abs()) / 100) as usize,
            bytes => bytes as usize,
        };
        self.clients_limit.store(clients_limit, Ordering::Relaxed);
        *self.normal_limit.write() = output_limit(config, ClientClass::Normal);
        *self.pubsub_limit.write() = output_limit(config, ClientClass::Pubsub);
        *self.replica_limit.write() = output_limit(config, ClientClass::Replica);
        *self.monitor_limit.write() = match self.normal_limit() {
            OutputLimit { hard_bytes: 0, .. } => self.replica_limit(),
            normal => normal,
        };
    }

    /// `proto-max-bulk-len` in bytes.
    #[inline]
    pub fn bulk_max(&self) -> i64 {
        self.bulk_max.load(Ordering::Relaxed)
    }

    /// `client-query-buffer-limit` in bytes.
    #[inline]
    pub fn query_max(&self) -> usize {
        self.query_max.load(Ordering::Relaxed) as usize
    }

    /// `maxmemory` in bytes; 0 for no limit.
    #[inline]
    pub fn maxmemory(&self) -> u64 {
        self.maxmemory.load(Ordering::Relaxed)
    }

    /// `maxmemory-clients` in bytes; 0 for no limit.
    pub fn clients_limit(&self) -> usize {
        self.clients_limit.load(Ordering::Relaxed)
    }

    /// How keys are evicted.
    pub fn eviction(&self) -> Eviction {
        *self.eviction.read()
    }

    /// Whether `maxmemory-policy` is one of the LFU policies.
    #[inline]
    pub fn is_lfu(&self) -> bool {
        self.lfu.load(Ordering::Relaxed)
    }

    /// How accesses are dated at this time (milliseconds of Unix time).
    #[inline]
    pub fn access_clock(&self, now_ms: u64) -> AccessClock {
        if self.is_lfu() {
            AccessClock::Lfu {
                minutes: (now_ms / 60_000) as u32 & 0xffff,
                log_factor: self.lfu_log_factor.load(Ordering::Relaxed),
                decay_minutes: self.lfu_decay_minutes.load(Ordering::Relaxed),
            }
        } else {
            let seconds = (now_ms / 1000) as u32 & 0xff_ffff;
            if self.lrm.load(Ordering::Relaxed) {
                AccessClock::Lrm(seconds)
            } else {
                AccessClock::Lru(seconds)
            }
        }
    }

    /// The normal class of `client-output-buffer-limit`.
    pub fn normal_limit(&self) -> OutputLimit {
        *self.normal_limit.read()
    }

    /// The pubsub class of `client-output-buffer-limit`.
    pub fn pubsub_limit(&self) -> OutputLimit {
        *self.pubsub_limit.read()
    }

    /// The replica class of `client-output-buffer-limit`.
    pub fn replica_limit(&self) -> OutputLimit {
        *self.replica_limit.read()
    }

    /// The limit that holds for this client. For the stream that a replica has still to read its link sees to
    /// that itself.
    pub fn output_limit(&self, client: &SharedClient) -> OutputLimit {
        if client.replica.load(Ordering::Relaxed) {
            OutputLimit::default()
        } else if client.monitor.load(Ordering::Relaxed) {
            self.monitor_limit()
        } else if client.is_subscribed() {
            self.pubsub_limit()
        } else {
            self.normal_limit()
        }
    }

    /// `import-mode`: data is being copied here, so nothing is expired or evicted.
    #[inline]
    pub fn import_mode(&self) -> bool {
        self.import_mode.load(Ordering::Relaxed)
    }

    /// `min-replicas-to-write`, 0 where writes ask for no replica.
    #[inline]
    pub fn min_replicas(&self) -> usize {
        self.min_replicas.load(Ordering::Relaxed)
    }

    /// Bytes of replies that may wait for a client that has never authenticated.
    pub fn stranger_output_max(&self) -> usize {
        if self.counts_replies_to_strangers.load(Ordering::Relaxed) { 0 } else { STRANGER_OUTPUT_MAX }
    }

    /// Has even the reply under way count towards [`stranger_output_max`](Self::stranger_output_max), for
    /// tests.
    pub fn count_replies_to_strangers(&self, is_on: bool) {
        self.counts_replies_to_strangers.store(is_on, Ordering::Relaxed);
    }

    /// The limit of a client that watches the others (MONITOR) or keeps copies (CLIENT TRACKING): the normal
    /// class as in Redis, and where that has no bound the replica's. Otherwise one that does not read would
    /// take all memory.
    pub fn monitor_limit(&self) -> OutputLimit {
        *self.monitor_limit.read()
    }
}

/// Redis's rule: up to 10 it grows in steps of 50 microseconds, then by 15 % a step, and 100 is without
/// limit.
fn eviction_limit_us(tenacity: i64) -> Option<u64> {
    match tenacity {
        ..=10 => Some(50 * tenacity.max(0) as u64),
        11..100 => Some((500.0 * 1.15_f64.powi(tenacity as i32 - 10)) as u64),
        _ => None,
    }
}

fn output_limit(config: &Config, class: ClientClass) -> OutputLimit {
    let limit = config.output_buffer_limit(class);
    OutputLimit {
        hard_bytes: limit.hard_bytes as usize,
        soft_bytes: limit.soft_bytes as usize,
        soft_seconds: limit.soft_seconds,
    }
}
