//! The large form of a list: a deque of nodes.
//!
//! The nodes at the two ends are written in full, as elements are pushed to them. A node is written with a
//! [shared prefix](ListNode::share) once two others were begun beside it: so a list that grows and shrinks
//! around a node's border does not rewrite the same node again and again.

use std::collections::VecDeque;

use super::end::End;
use super::frozen::Frozen;
use super::iter::Iter;
use super::limits::ListLimits;
use super::node::{ListNode, NODE_OVERHEAD, Walk};
use super::tail::packed_len;
use crate::alloc::{array_bytes, box_bytes};
use crate::types::packed::entry::Encoded;

/// The nodes. None is empty, and neither the first nor the last one is shared.
#[derive(Default)]
pub(super) struct Nodes {
    pub(super) nodes: VecDeque<ListNode>,
    /// Number of elements of each node, so that finding an index reads no nodes.
    counts: VecDeque<u32>,
    pub(super) len: usize,
    /// A reading of the list as it was at an earlier instant.
    pub(super) frozen: Option<Box<Frozen>>,
}

impl Clone for Nodes {
    fn clone(&self) -> Self {
        // A reading is of one list.
        Self { nodes: self.nodes.clone(), counts: self.counts.clone(), len: self.len, frozen: None }
    }
}

impl Nodes {
    /// Makes the large form of a list in the small one.
    pub(super) fn of(node: ListNode) -> Self {
        let mut nodes = Self::default();
        if node.len() > 0 {
            nodes.len = node.len();
            nodes.counts.push_back(node.len() as u32);
            nodes.nodes.push_back(node);
        }
        nodes
    }

    pub(super) fn push(&mut self, end: End, element: Encoded<'_>, limits: &ListLimits) {
        self.keep_end(end);
        self.len += 1;
        let (node, count) = match end {
            End::Head => (self.nodes.front_mut(), self.counts.front_mut()),
            End::Tail => (self.nodes.back_mut(), self.counts.back_mut()),
        };
        if let (Some(node), Some(count)) = (node, count) {
            if limits.admits(node, &element) {
                *count += 1;
                node.push(end, element, limits.bytes());
                return;
            }
            // Another node is about to stand at this end.
            node.close_gap();
        }
        let mut node = ListNode::new();
        node.push_back(element);
        match end {
            End::Head => {
                self.nodes.push_front(node);
                self.counts.push_front(1);
                self.head_came();
                self.share(2);
            }
            End::Tail => {
                self.nodes.push_back(node);
                self.counts.push_back(1);
                self.share(self.nodes.len().saturating_sub(3));
            }
        }
    }

    /// Shares the prefix of a node's texts unless the node is at an end.
    fn share(&mut self, at: usize) {
        if at > 0 && at + 1 < self.nodes.len() {
            self.nodes[at].share();
        }
    }

    /// Expands the nodes at the ends: nodes around them may have gone.
    fn expand_ends(&mut self) {
        if let Some(node) = self.nodes.front_mut() {
            node.expand();
        }
        if let Some(node) = self.nodes.back_mut() {
            node.expand();
        }
    }

    pub(super) fn drop_end(&mut self, end: End) {
        self.keep_end(end);
        let (node, count) = match end {
            End::Head => (self.nodes.front_mut(), self.counts.front_mut()),
            End::Tail => (self.nodes.back_mut(), self.counts.back_mut()),
        };
        let (Some(node), Some(count)) = (node, count) else {
            return;
        };
        self.len -= 1;
        *count -= 1;
        if *count > 0 {
            node.pop(end);
            return;
        }
        match end {
            End::Head => {
                self.nodes.pop_front();
                self.counts.pop_front();
                self.head_went();
            }
            End::Tail => {
                self.nodes.pop_back();
                self.counts.pop_back();
            }
        }
        self.expand_ends();
    }

    /// The node of an index, and the number of its elements before it. An index at a border belongs to the
    /// later node, the one behind all elements to the last.
    fn locate(&self, index: usize) -> (usize, usize) {
        if index <= self.len / 2 {
            let mut before = 0;
            for (node, &count) in self.counts.iter().enumerate() {
                if index < before + count as usize {
                    return (node, index - before);
                }
                before += count as usize;
            }
        } else {
            let mut before = self.len;
            for (node, &count) in self.counts.iter().enumerate().rev() {
                before -= count as usize;
                if index >= before {
                    return (node, index - before);
                }
            }
        }
        (0, 0)
    }

    pub(super) fn iter_from(&self, index: usize, back: bool) -> Iter<'_> {
        // A walk towards the head from a border starts in the node before.
        let (node, inside) = match index.checked_sub(1) {
            Some(previous) if back => {
                let (node, inside) = self.locate(previous);
                (node, inside + 1)
            }
            _ => self.locate(index.min(self.len)),
        };
        let walk = self.nodes.get(node).map_or(Walk::empty(), |node| node.walk_from(inside));
        Iter::of_nodes(walk, &self.nodes, node, back)
    }

    pub(super) fn set(&mut self, index: usize, element: Encoded<'_>, limits: &ListLimits) {
        let (at, inside) = self.locate(index);
        self.keep_node(at);
        let Some(node) = self.nodes.get_mut(at) else {
            return;
        };
        node.expand();
        let offset = node.walk_from(inside).offset();
        let grown = NODE_OVERHEAD + node.byte_len() + packed_len(&element);
        if node.len() == 1 || grown <= limits.bytes() {
            node.replace(offset, element);
            return;
        }
        self.remove_range(index, 1, limits);
        self.insert(index, element, limits);
    }

    pub(super) fn insert(&mut self, index: usize, element: Encoded<'_>, limits: &ListLimits) {
        if index == 0 {
            return self.push(End::Head, element, limits);
        }
        if index >= self.len {
            return self.push(End::Tail, element, limits);
        }
        self.keep_all();
        let (at, inside) = self.locate(index);
        if let Some(node) = self.nodes.get_mut(at)
            && limits.admits(node, &element)
        {
            node.expand();
            let offset = node.walk_from(inside).offset();
            node.insert(offset, element);
            self.counts[at] += 1;
            self.len += 1;
            return;
        }
        if inside == 0
            && let Some(before) = self.nodes.get_mut(at - 1)
            && limits.admits(before, &element)
        {
            before.expand();
            before.push_back(element);
            self.counts[at - 1] += 1;
            self.len += 1;
            return;
        }
        let place = self.split(at, inside);
        let mut node = ListNode::new();
        node.push_back(element);
        self.nodes.insert(place, node);
        self.counts.insert(place, 1);
        self.len += 1;
        self.merge_around(place, limits);
    }

    pub(super) fn remove_range(&mut self, index: usize, count: usize, limits: &ListLimits) {
        self.keep_all();
        let (at, inside) = self.locate(index);
        let mut at = at;
        let mut inside = inside;
        let mut left = count;
        while left > 0 && at < self.nodes.len() {
            let here = (self.counts[at] as usize - inside).min(left);
            if here == self.counts[at] as usize {
                // Removes whole nodes at once: each removal from the middle of a deque moves the nodes behind
                // it.
                let mut whole = 0;
                let mut elements = 0;
                while let Some(&count) = self.counts.get(at + whole)
                    && elements + count as usize <= left
                {
                    elements += count as usize;
                    whole += 1;
                }
                self.nodes.drain(at..at + whole);
                self.counts.drain(at..at + whole);
                self.len -= elements;
                left -= elements;
            } else {
                let node = &mut self.nodes[at];
                node.expand();
                let offset = node.walk_from(inside).offset();
                node.remove(offset, here);
                self.counts[at] -= here as u32;
                self.len -= here;
                left -= here;
                at += 1;
            }
            inside = 0;
        }
        self.expand_ends();
        self.merge_around(at, limits);
    }

    pub(super) fn remove_value(
        &mut self,
        value: &Encoded<'_>,
        count: usize,
        from: End,
        limits: &ListLimits,
    ) -> usize {
        self.keep_all();
        let mut removed = 0;
        let mut left = self.nodes.len();
        while left > 0 && removed < count {
            left -= 1;
            let at = if from == End::Tail { left } else { self.nodes.len() - 1 - left };
            let node = &mut self.nodes[at];
            if node.is_shared() {
                if !node.contains(value) {
                    continue;
                }
                node.expand();
            }
            let here = node.remove_value(value, count - removed, from);
            if here == 0 {
                continue;
            }
            removed += here;
            self.len -= here;
            self.counts[at] -= here as u32;
            if self.counts[at] == 0 {
                self.nodes.remove(at);
                self.counts.remove(at);
            }
        }
        if removed > 0 {
            self.expand_ends();
            self.merge_all(limits);
        }
        removed
    }

    /// Splits a node so that another can be inserted between its parts, and returns the index.
    fn split(&mut self, at: usize, inside: usize) -> usize {
        if inside == 0 {
            return at;
        }
        self.nodes[at].expand();
        let rest = self.nodes[at].split_off(inside);
        self.counts[at] = inside as u32;
        self.counts.insert(at + 1, rest.len() as u32);
        self.nodes.insert(at + 1, rest);
        at + 1
    }

    /// Joins a node with its neighbours where they fit into one.
    fn merge_around(&mut self, at: usize, limits: &ListLimits) {
        for left in [at, at.wrapping_sub(1), at.wrapping_sub(2)] {
            self.merge_with_next(left, limits);
        }
    }

    fn merge_with_next(&mut self, at: usize, limits: &ListLimits) -> bool {
        let Some(right) = at.checked_add(1).and_then(|next| self.nodes.get(next)) else {
            return false;
        };
        if !limits.admits_both(&self.nodes[at], right) {
            return false;
        }
        if let Some(mut right) = self.nodes.remove(at + 1) {
            right.expand();
            self.nodes[at].expand();
            self.nodes[at].append(&right);
            self.counts[at] += right.len() as u32;
            self.counts.remove(at + 1);
        }
        true
    }

    fn merge_all(&mut self, limits: &ListLimits) {
        let mut at = 0;
        while at + 1 < self.nodes.len() {
            if !self.merge_with_next(at, limits) {
                at += 1;
            }
        }
    }

    /// Number of nodes, and the bytes of all their elements.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.nodes.len(), self.nodes.iter().map(ListNode::byte_len).sum())
    }

    /// Bytes that the nodes takes from the allocator.
    pub(super) fn memory_bytes(&self) -> usize {
        let directory =
            array_bytes::<ListNode>(self.nodes.capacity()) + array_bytes::<u32>(self.counts.capacity());
        box_bytes::<Self>() + directory + self.nodes.iter().map(ListNode::memory_bytes).sum::<usize>()
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self, limits: &ListLimits) {
        assert_eq!(self.nodes.len(), self.counts.len());
        for (node, &count) in self.nodes.iter().zip(&self.counts) {
            node.assert_invariants();
            assert_eq!(node.len(), count as usize);
            // A node that was the small form got its size by Redis's rule, which does not count the lengths
            // written with each element.
            let lengths = 12 * node.len();
            assert!(count == 1 || count > 1 && node.byte_len() <= limits.bytes() + lengths);
            assert!(node.len() <= limits.count());
        }
        assert!(self.nodes.front().into_iter().chain(self.nodes.back()).all(|node| !node.is_shared()));
        assert_eq!(self.counts.iter().map(|&count| count as usize).sum::<usize>(), self.len);
    }

    /// Number of shared nodes; for tests.
    #[cfg(test)]
    pub(super) fn shared_nodes(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_shared()).count()
    }
}
