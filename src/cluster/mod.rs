//! The cluster as this server presents it: one node that owns every slot, and the read-only port as its
//! replica.

/// This node's names.
#[derive(Debug)]
pub struct ClusterState {
    enabled: bool,
    /// 40 hex digits: the primary, which is this server's main port.
    pub node_id: String,
    /// 40 hex digits: the replica, which is its read-only port.
    pub replica_id: String,
    /// 40 hex digits: the shard of both.
    pub shard_id: String,
}

impl ClusterState {
    /// Names for a new node.
    pub fn new(enabled: bool) -> Self {
        Self {
            enabled,
            node_id: crate::random::hex(40),
            replica_id: crate::random::hex(40),
            shard_id: crate::random::hex(40),
        }
    }

    /// `cluster-enabled`.
    #[inline]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }
}
