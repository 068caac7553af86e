//! The cluster as this server presents it: one node that owns every slot, and the read-only port as its
//! replica.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::keyspace::key_hash::SLOT_COUNT;

/// This node's names, and what scripts that set up a cluster have told it.
#[derive(Debug)]
pub struct ClusterState {
    enabled: bool,
    /// 40 hex digits: the primary, which is this server's main port.
    pub node_id: String,
    /// 40 hex digits: the replica, which is its read-only port.
    pub replica_id: String,
    /// 40 hex digits: the shard of both.
    pub shard_id: String,
    /// What CLUSTER SET-CONFIG-EPOCH said; 0 before.
    epoch: AtomicU64,
    /// Whether each slot was given by CLUSTER ADDSLOTS; empty before the first one was.
    given: Mutex<Vec<bool>>,
}

/// A slot that was given before, so that it cannot be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotGiven(pub usize);

impl ClusterState {
    /// Names for a new node.
    pub fn new(enabled: bool) -> Self {
        Self {
            enabled,
            node_id: crate::random::hex(40),
            replica_id: crate::random::hex(40),
            shard_id: crate::random::hex(40),
            epoch: AtomicU64::new(0),
            given: Mutex::default(),
        }
    }

    /// `cluster-enabled`.
    #[inline]
    pub fn is_enabled(&self) -> bool {
        self.enabled
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
