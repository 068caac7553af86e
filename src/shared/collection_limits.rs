//! The directives that say when a collection leaves its compact form, as numbers behind relaxed loads:
//! commands that add elements read them for each call.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use crate::config::{Config, Directive};
use crate::rdb::{FooterCheck, Limits};
use crate::types::hash::HashLimits;
use crate::types::list::ListLimits;
use crate::types::set::SetLimits;
use crate::types::stream::{ProducerLimits, StreamLimits};
use crate::types::zset::ZSetLimits;

/// The limits of each type, in elements and bytes. Written by CONFIG SET, read by any thread.
#[derive(Debug, Default)]
pub struct CollectionLimits {
    set_intset_entries: AtomicUsize,
    set_listpack_entries: AtomicUsize,
    set_listpack_value: AtomicUsize,
    hash_listpack_entries: AtomicUsize,
    hash_listpack_value: AtomicUsize,
    zset_listpack_entries: AtomicUsize,
    zset_listpack_value: AtomicUsize,
    list_listpack_size: AtomicI32,
    stream_block_bytes: AtomicUsize,
    stream_block_entries: AtomicUsize,
    producer_duration_s: AtomicUsize,
    producer_ids: AtomicUsize,
}

impl CollectionLimits {
    /// Reads all limits from a configuration.
    pub fn load(&self, config: &Config) {
        let sizes = [
            (&self.set_intset_entries, Directive::SetMaxIntsetEntries),
            (&self.set_listpack_entries, Directive::SetMaxListpackEntries),
            (&self.set_listpack_value, Directive::SetMaxListpackValue),
            (&self.hash_listpack_entries, Directive::HashMaxListpackEntries),
            (&self.hash_listpack_value, Directive::HashMaxListpackValue),
            (&self.zset_listpack_entries, Directive::ZsetMaxListpackEntries),
            (&self.zset_listpack_value, Directive::ZsetMaxListpackValue),
            (&self.stream_block_bytes, Directive::StreamNodeMaxBytes),
            (&self.stream_block_entries, Directive::StreamNodeMaxEntries),
            (&self.producer_duration_s, Directive::StreamIdmpDuration),
            (&self.producer_ids, Directive::StreamIdmpMaxsize),
        ];
        for (limit, directive) in sizes {
            limit.store(usize::try_from(config.int(directive)).unwrap_or(usize::MAX), Ordering::Relaxed);
        }
        self.list_listpack_size.store(config.int(Directive::ListMaxListpackSize) as i32, Ordering::Relaxed);
    }

    /// Which payloads are accepted, and when restored collections leave their compact form. `string_max` is
    /// the longest string allowed, in bytes.
    pub fn of_payloads(&self, footer: FooterCheck, string_max: usize) -> Limits {
        Limits {
            footer,
            set: self.set(),
            hash: self.hash(),
            list: self.list(),
            zset: self.zset(),
            stream: self.stream(),
            string_max,
        }
    }

    /// `set-max-intset-entries`, `set-max-listpack-entries` and `set-max-listpack-value` (bytes).
    #[inline]
    pub fn set(&self) -> SetLimits {
        SetLimits {
            max_intset_entries: self.set_intset_entries.load(Ordering::Relaxed),
            max_listpack_entries: self.set_listpack_entries.load(Ordering::Relaxed),
            max_listpack_value: self.set_listpack_value.load(Ordering::Relaxed),
        }
    }

    /// `hash-max-listpack-entries` and `hash-max-listpack-value` (bytes).
    #[inline]
    pub fn hash(&self) -> HashLimits {
        HashLimits {
            max_listpack_entries: self.hash_listpack_entries.load(Ordering::Relaxed),
            max_listpack_value: self.hash_listpack_value.load(Ordering::Relaxed),
        }
    }

    /// `zset-max-listpack-entries` and `zset-max-listpack-value` (bytes).
    #[inline]
    pub fn zset(&self) -> ZSetLimits {
        ZSetLimits {
            max_listpack_entries: self.zset_listpack_entries.load(Ordering::Relaxed),
            max_listpack_value: self.zset_listpack_value.load(Ordering::Relaxed),
        }
    }

    /// `list-max-listpack-size`: elements where positive, a class of sizes in bytes where negative.
    #[inline]
    pub fn list(&self) -> ListLimits {
        ListLimits { max_listpack_size: self.list_listpack_size.load(Ordering::Relaxed) }
    }

    /// `stream-node-max-bytes` and `stream-node-max-entries`.
    #[inline]
    pub fn stream(&self) -> StreamLimits {
        StreamLimits {
            max_block_bytes: self.stream_block_bytes.load(Ordering::Relaxed),
            max_block_entries: self.stream_block_entries.load(Ordering::Relaxed),
        }
    }

    /// `stream-idmp-duration` (seconds) and `stream-idmp-maxsize`.
    pub fn producers(&self) -> ProducerLimits {
        ProducerLimits {
            duration_s: self.producer_duration_s.load(Ordering::Relaxed) as u64,
            max_ids: self.producer_ids.load(Ordering::Relaxed),
        }
    }
}
