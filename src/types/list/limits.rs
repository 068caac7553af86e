//! How much a node of a list holds.

use super::node::{ListNode, NODE_OVERHEAD};
use super::tail::packed_len;
use crate::types::packed::entry::Encoded;

/// The most bytes of a node that is bounded by its number of elements.
const COUNTED_NODE_BYTES: usize = 8192;

/// The directive `list-max-listpack-size`: how much a node holds. Positive, that many elements; -1 to -5, 4 to 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// The directive's value.
    pub max_listpack_size: i32,
}

impl Default for ListLimits {
    fn default() -> Self {
        Self { max_listpack_size: -2 }
    }
}

impl ListLimits {
    /// The most bytes of a node.
    pub(super) fn bytes(&self) -> usize {
        match self.max_listpack_size {
            size @ ..0 => 4096 << (size.unsigned_abs() - 1).min(4),
            0.. => COUNTED_NODE_BYTES,
        }
    }

    /// The most elements of a node.
    pub(super) fn count(&self) -> usize {
        match self.max_listpack_size {
            ..0 => usize::MAX,
            size @ 0.. => size.max(1) as usize,
        }
    }

    /// Whether a node takes another element.
    pub(super) fn admits(&self, node: &ListNode, element: &Encoded<'_>) -> bool {
        NODE_OVERHEAD + node.byte_len() + packed_len(element) <= self.bytes() && node.len() < self.count()
    }

    /// Whether two nodes may become one.
    pub(super) fn admits_both(&self, a: &ListNode, b: &ListNode) -> bool {
        NODE_OVERHEAD + a.byte_len() + b.byte_len() <= self.bytes() && a.len() + b.len() <= self.count()
    }
}
