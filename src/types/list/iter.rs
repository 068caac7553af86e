//! Walks over a list's elements, node by node.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::node::{ListNode, Walk};
use super::slice::ListSlice;
use crate::types::packed::entry::{Element, Encoded, Raw};

/// An element as its node keeps it: the prefix that its node shares, and the rest.
#[derive(Clone, Copy, Debug)]
pub struct ListElement<'a> {
    /// The node's shared prefix; mostly empty.
    pub prefix: &'a [u8],
    /// What follows the prefix.
    pub rest: Element<'a>,
}

impl ListElement<'_> {
    /// The element in one piece.
    pub fn joined(&self) -> Cow<'_, [u8]> {
        if self.prefix.is_empty() { Cow::Borrowed(&self.rest) } else { Cow::Owned(self.to_vec()) }
    }

    /// A copy of the whole element.
    pub fn to_vec(&self) -> Vec<u8> {
        [self.prefix, &self.rest].concat()
    }
}

/// The elements of a list, in either direction.
#[derive(Clone)]
pub struct Iter<'a> {
    walk: Walk<'a>,
    /// The nodes of a large list.
    nodes: Option<&'a VecDeque<ListNode>>,
    /// Index of the node that the walk is in.
    node: usize,
    back: bool,
}

impl<'a> Iter<'a> {
    pub(super) fn of_node(walk: Walk<'a>, back: bool) -> Self {
        Self { walk, nodes: None, node: 0, back }
    }

    /// Goes on from a walk in the node at this index.
    pub(super) fn of_nodes(walk: Walk<'a>, nodes: &'a VecDeque<ListNode>, node: usize, back: bool) -> Self {
        Self { walk, nodes: Some(nodes), node, back }
    }

    /// Goes to the neighbouring node when this one has nothing left. Returns whether there is an element.
    #[inline]
    fn prepare(&mut self) -> bool {
        loop {
            if if self.back { !self.walk.is_at_start() } else { !self.walk.is_at_end() } {
                return true;
            }
            let neighbour = if self.back { self.node.checked_sub(1) } else { self.node.checked_add(1) };
            let Some((index, node)) = neighbour.and_then(|index| Some((index, self.nodes?.get(index)?)))
            else {
                return false;
            };
            self.node = index;
            self.walk = if self.back { node.walk_from_end() } else { node.walk() };
        }
    }

    /// Calls `visit` with the next elements, up to `count`, as a slice for each node, which `visit` has to
    /// walk to its end.
    #[inline]
    pub(super) fn visit(mut self, count: usize, mut visit: impl FnMut(&mut ListSlice<'a>)) {
        debug_assert!(!self.back);
        let mut left = count;
        while left > 0 && self.prepare() {
            let mut slice = self.walk.take_slice(left);
            visit(&mut slice);
            debug_assert!(slice.is_done());
            left = slice.left();
        }
    }

    /// Steps over an element. Returns whether it equals the searched one.
    pub(super) fn step_is(&mut self, searched: &mut Searched<'_>) -> bool {
        if !self.prepare() {
            return false;
        }
        if searched.node != Some(self.node) {
            searched.node = Some(self.node);
            searched.form = self.walk.form_of(&searched.element);
        }
        if self.back {
            self.walk.skip_back();
        }
        let equal = searched.form.is_some_and(|form| self.walk.next_is(&form));
        if !self.back {
            self.walk.skip();
        }
        equal
    }
}

/// A searched element, and its encoding in the node where the search is.
pub(super) struct Searched<'a> {
    element: Encoded<'a>,
    node: Option<usize>,
    form: Option<Encoded<'a>>,
}

impl<'a> Searched<'a> {
    pub(super) fn new(element: &'a [u8]) -> Self {
        Self { element: Encoded::new(element), node: None, form: None }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = ListElement<'a>;

    #[inline]
    fn next(&mut self) -> Option<ListElement<'a>> {
        if !self.prepare() {
            return None;
        }
        let raw = if self.back { self.walk.next_back() } else { self.walk.next() }?;
        let prefix = if matches!(raw, Raw::Bytes(_)) { self.walk.prefix() } else { &[] };
        Some(ListElement { prefix, rest: raw.into() })
    }
}
