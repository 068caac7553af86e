//! The bounds of a list's node.

use super::node::{ListNode, NODE_OVERHEAD};
use super::tail::packed_len;
use crate::types::packed::entry::Encoded;

/// Most bytes of a node whose number of elements is limited.
const COUNTED_NODE_BYTES: usize = 8192;

/// The directive `list-max-listpack-size`: the size of a node. Positive: elements; -1 to -5: 4, 8, 16, 32, 64
/// KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// The directive's value, unchecked.
    pub max_listpack_size: i32,
}

impl Default for ListLimits {
    fn default() -> Self {
        Self { max_listpack_size: -2 }
    }
}

impl ListLimits {
    /// Most bytes of a node.
    pub(super) fn bytes(&self) -> usize {
        match self.max_listpack_size {
            size @ ..0 => 4096 << (size.unsigned_abs() - 1).min(4),
            0.. => COUNTED_NODE_BYTES,
        }
    }

    /// Most elements of a node.
    pub(super) fn count(&self) -> usize {
        match self.max_listpack_size {
            ..0 => usize::MAX,
            size @ 0.. => size.max(1) as usize,
        }
    }

    /// Whether a node has room for another element.
    pub(super) fn admits(&self, node: &ListNode, element: &Encoded<'_>) -> bool {
        NODE_OVERHEAD + node.byte_len() + packed_len(element) <= self.bytes() && node.len() < self.count()
    }

    /// Whether two nodes together fit into one.
    pub(super) fn admits_both(&self, a: &ListNode, b: &ListNode) -> bool {
        NODE_OVERHEAD + a.byte_len() + b.byte_len() <= self.bytes() && a.len() + b.len() <= self.count()
    }
}
