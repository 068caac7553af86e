//! The cluster as this server presents it: one node that owns every slot, and the read-only port as its
//! replica.

mod tag;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::keyspace::key_hash::SLOT_COUNT;

pub use tag::slot_tag;

/// This node's names, and what scripts that set up a cluster have told it.
#[derive(Debug)]
pub struct ClusterState {
    enabled: bool,
    ids: RwLock<Arc<Ids>>,
    /// How many digits at their end are zeros.
    id_zeros: usize,
    /// What CLUSTER SET-CONFIG-EPOCH said; 0 before.
    epoch: AtomicU64,
    /// Whether each slot was given by CLUSTER ADDSLOTS; empty before the first one was.
    given: Mutex<Vec<bool>>,
    /// What each slot was used for; made when the first use is counted.
    used: OnceLock<Box<[Counters]>>,
}

/// What nodes are called, in 40 hex digits each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The primary, which is this server's main port.
    pub node: String,
    /// The replica, which is its read-only port.
    pub replica: String,
    /// The shard of both.
    pub shard: String,
}

/// What commands for keys of a slot have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotUse {
    /// Nanoseconds in which they ran.
    pub ns: u64,
    /// Bytes of their requests.
    pub bytes_in: u64,
    /// Bytes of their replies.
    pub bytes_out: u64,
}

/// A [`SlotUse`] that is counted: nanoseconds, bytes in, bytes out.
type Counters = [AtomicU64; 3];

/// A slot that was given before, so that it cannot be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotGiven(pub usize);

/// Digits of an id.
const ID_DIGITS: usize = 40;

/// An id whose last digits are zeros.
fn new_id(zeros: usize) -> String {
    let zeros = zeros.min(ID_DIGITS);
    crate::random::hex(ID_DIGITS - zeros) + &"0".repeat(zeros)
}

impl ClusterState {
    /// Names for a new node.
    pub fn new(enabled: bool) -> Self {
        Self {
            enabled,
            ids: RwLock::new(Arc::new(Ids { node: new_id(0), replica: new_id(0), shard: new_id(0) })),
            id_zeros: 0,
            epoch: AtomicU64::new(0),
            given: Mutex::default(),
            used: OnceLock::new(),
        }
    }

    /// Puts zeros in the place of the last digits of this node's ids.
    pub fn end_ids_in_zeros(&mut self, zeros: usize) {
        self.id_zeros = zeros;
        let ids = Ids { node: new_id(zeros), replica: new_id(zeros), shard: new_id(zeros) };
        *self.ids.write() = Arc::new(ids);
    }

    /// What the nodes are called.
    pub fn ids(&self) -> Arc<Ids> {
        Arc::clone(&self.ids.read())
    }

    /// Has the replica's node be the primary from here on, beside a new replica, as after a failover.
    pub fn change_ids(&self) {
        let mut ids = self.ids.write();
        let Ids { replica, shard, .. } = (**ids).clone();
        *ids = Arc::new(Ids { node: replica, replica: new_id(self.id_zeros), shard });
    }

    /// `cluster-enabled`.
    #[inline]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Adds to what a slot was used for.
    pub fn count_use(&self, slot: usize, by: SlotUse) {
        let used = self.used.get_or_init(|| (0..SLOT_COUNT).map(|_| Counters::default()).collect());
        if let Some([ns, bytes_in, bytes_out]) = used.get(slot) {
            ns.fetch_add(by.ns, Ordering::Relaxed);
            bytes_in.fetch_add(by.bytes_in, Ordering::Relaxed);
            bytes_out.fetch_add(by.bytes_out, Ordering::Relaxed);
        }
    }

    /// What a slot was used for since the figures were reset.
    pub fn slot_use(&self, slot: usize) -> SlotUse {
        match self.used.get().and_then(|used| used.get(slot)) {
            Some(counters) => {
                let [ns, bytes_in, bytes_out] =
                    counters.each_ref().map(|count| count.load(Ordering::Relaxed));
                SlotUse { ns, bytes_in, bytes_out }
            }
            None => SlotUse::default(),
        }
    }

    /// Counts from 0 again.
    pub fn reset_use(&self) {
        self.used.get().into_iter().flat_map(|used| used.iter().flatten()).for_each(|count| {
            count.store(0, Ordering::Relaxed);
        });
    }

    /// The configuration epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Sets the configuration epoch, which can be done once. Returns false where it was.
    pub fn set_epoch(&self, epoch: u64) -> bool {
        self.epoch.compare_exchange(0, epoch, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Gives this node slots, all of them or none. It serves all slots from the start: this is for scripts
    /// that set up a node which would not.
    ///
    /// # Errors
    /// The first of them that was given before.
    pub fn give_slots(&self, slots: &[usize]) -> Result<(), SlotGiven> {
        let mut given = self.given.lock();
        if given.is_empty() {
            given.resize(SLOT_COUNT, false);
        }
        match slots.iter().find(|slot| given[**slot]) {
            Some(slot) => Err(SlotGiven(*slot)),
            None => {
                slots.iter().for_each(|slot| given[*slot] = true);
                Ok(())
            }
        }
    }
}
