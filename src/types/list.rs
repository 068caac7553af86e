//! The list: a small one is a single node, a large one a deque of nodes that each hold as much as the configuration allows.
//!
//! When one form becomes the other is Redis's rule, since clients and tests look at OBJECT ENCODING. The methods that remove do not go
//! back to the small form by themselves where several removals belong together: the caller says [`List::shrunk`] at the end.

use std::collections::VecDeque;

use super::entry::{Element, Encoded, Raw};
use super::list_node::{self, ListNode, NODE_OVERHEAD, Walk};
use super::thin::Owned;

/// What Redis's listpack takes beside its elements, in bytes: its rules for the encoding count it.
const LISTPACK_OVERHEAD: usize = 7;
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
    fn bytes(&self) -> usize {
        match self.max_listpack_size {
            size @ ..0 => 4096 << (size.unsigned_abs() - 1).min(4),
            0.. => COUNTED_NODE_BYTES,
        }
    }

    /// The most elements of a node.
    fn count(&self) -> usize {
        match self.max_listpack_size {
            ..0 => usize::MAX,
            size @ 0.. => size.max(1) as usize,
        }
    }

    /// Whether a node takes another element.
    fn admits(&self, node: &ListNode, element: &Encoded<'_>) -> bool {
        NODE_OVERHEAD + node.byte_len() + list_node::packed_len(element) <= self.bytes()
            && node.len() < self.count()
    }

    /// Whether two nodes may become one.
    fn admits_both(&self, a: &ListNode, b: &ListNode) -> bool {
        NODE_OVERHEAD + a.byte_len() + b.byte_len() <= self.bytes() && a.len() + b.len() <= self.count()
    }
}

/// One of the two ends of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where LPUSH pushes.
    Head,
    /// Where RPUSH pushes.
    Tail,
}

/// The list. Nine bytes.
#[derive(Clone)]
pub struct List {
    form: Form,
}

#[derive(Clone)]
enum Form {
    Packed(ListNode),
    Nodes(Owned<Nodes>),
}

/// No node is empty.
#[derive(Clone, Default)]
struct Nodes {
    nodes: VecDeque<ListNode>,
    /// How many elements each node has: finding an index must not look into every node.
    counts: VecDeque<u32>,
    len: usize,
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    /// An empty list.
    pub const fn new() -> Self {
        Self { form: Form::Packed(ListNode::new()) }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Packed(node) => node.len(),
            Form::Nodes(nodes) => nodes.len,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the encoding as OBJECT ENCODING has it.
    pub fn encoding(&self) -> &'static str {
        match self.form {
            Form::Packed(_) => "listpack",
            Form::Nodes(_) => "quicklist",
        }
    }

    /// What the list takes from the allocator, in bytes, its own nine bytes not included.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Packed(node) => node.memory_bytes(),
            Form::Nodes(nodes) => {
                let directory = nodes.nodes.capacity() * size_of::<ListNode>()
                    + nodes.counts.capacity() * size_of::<u32>();
                size_of::<Nodes>() + directory + nodes.nodes.iter().map(ListNode::memory_bytes).sum::<usize>()
            }
        }
    }

    /// Takes the large form when elements of that many bytes together, about to be added, would not fit the small one.
    pub fn expect(&mut self, added_bytes: usize, added_count: usize, limits: &ListLimits) {
        if let Form::Packed(node) = &mut self.form {
            let bytes = LISTPACK_OVERHEAD + node.byte_len() + added_bytes;
            if bytes > limits.bytes() || node.len() + added_count > limits.count() {
                let mut nodes = Nodes::default();
                let node = std::mem::take(node);
                if node.len() > 0 {
                    nodes.len = node.len();
                    nodes.counts.push_back(node.len() as u32);
                    nodes.nodes.push_back(node);
                }
                self.form = Form::Nodes(Owned::new(nodes));
            }
        }
    }

    /// Takes the small form again when enough was removed for it. To be said once after the removals of a command.
    pub fn shrunk(&mut self, limits: &ListLimits) {
        if let Form::Nodes(nodes) = &mut self.form
            && nodes.nodes.len() <= 1
        {
            let node = nodes.nodes.front_mut();
            let small = node.as_ref().is_none_or(|node| {
                let bytes = LISTPACK_OVERHEAD + node.byte_len();
                bytes <= limits.bytes() / 2 && node.len() <= limits.count() / 2
            });
            if small {
                self.form = Form::Packed(node.map(std::mem::take).unwrap_or_default());
            }
        }
    }

    /// Pushes an element at an end.
    pub fn push(&mut self, end: End, element: &[u8], limits: &ListLimits) {
        self.expect(element.len(), 1, limits);
        self.push_expected(end, element, limits);
    }

    /// Pushes elements at an end, one after the other.
    pub fn push_all<'a>(
        &mut self,
        end: End,
        elements: impl Iterator<Item = &'a [u8]> + Clone,
        limits: &ListLimits,
    ) {
        let (bytes, count) =
            elements.clone().fold((0, 0), |(bytes, count), element| (bytes + element.len(), count + 1));
        self.expect(bytes, count, limits);
        elements.for_each(|element| self.push_expected(end, element, limits));
    }

    fn push_expected(&mut self, end: End, element: &[u8], limits: &ListLimits) {
        let element = Encoded::new(element);
        match &mut self.form {
            Form::Packed(node) => push_to(node, end, element, limits),
            Form::Nodes(nodes) => nodes.push(end, element, limits),
        }
    }

    /// The element at an end.
    pub fn peek(&self, end: End) -> Option<Element<'_>> {
        let node = match &self.form {
            Form::Packed(node) => node,
            Form::Nodes(nodes) => match end {
                End::Head => nodes.nodes.front()?,
                End::Tail => nodes.nodes.back()?,
            },
        };
        match end {
            End::Head => node.walk().next().map(Element::from),
            End::Tail => node.walk_from_end().next_back().map(Element::from),
        }
    }

    /// Removes the element at an end, if there is one. Say [`Self::shrunk`] afterwards.
    pub fn drop_end(&mut self, end: End) {
        match &mut self.form {
            Form::Packed(node) => pop_from(node, end),
            Form::Nodes(nodes) => nodes.drop_end(end),
        }
    }

    /// Takes the element at an end out and hands it to `take`.
    pub fn pop_with<R>(&mut self, end: End, limits: &ListLimits, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let taken = take(&self.peek(end)?);
        self.drop_end(end);
        self.shrunk(limits);
        Some(taken)
    }

    /// Takes the element at an end out.
    pub fn pop(&mut self, end: End, limits: &ListLimits) -> Option<Vec<u8>> {
        self.pop_with(end, limits, <[u8]>::to_vec)
    }

    /// The element with that many before it.
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        self.iter_from(index).next()
    }

    /// Puts another element in the place of one; whether there was one.
    pub fn set(&mut self, index: usize, element: &[u8], limits: &ListLimits) -> bool {
        if index >= self.len() {
            return false;
        }
        // Counted as one more: as in the peers a full list takes the large form.
        self.expect(element.len(), 1, limits);
        let encoded = Encoded::new(element);
        match &mut self.form {
            Form::Packed(node) => {
                let offset = node.walk_from(index).offset();
                node.replace(offset, encoded);
            }
            Form::Nodes(nodes) => nodes.set(index, encoded, limits),
        }
        self.shrunk(limits);
        true
    }

    /// Inserts an element so that `index` others are before it; at the tail when there are not more.
    pub fn insert(&mut self, index: usize, element: &[u8], limits: &ListLimits) {
        self.expect(element.len(), 1, limits);
        let encoded = Encoded::new(element);
        match &mut self.form {
            Form::Packed(node) => {
                let offset = node.walk_from(index).offset();
                node.insert(offset, encoded);
            }
            Form::Nodes(nodes) => nodes.insert(index, encoded, limits),
        }
    }

    /// Removes up to `count` elements from the one on with `index` others before it.
    pub fn remove_range(&mut self, index: usize, count: usize, limits: &ListLimits) {
        let count = count.min(self.len().saturating_sub(index));
        if count == 0 {
            return;
        }
        match &mut self.form {
            Form::Packed(node) => {
                let offset = node.walk_from(index).offset();
                node.remove(offset, count);
            }
            Form::Nodes(nodes) => nodes.remove_range(index, count, limits),
        }
        self.shrunk(limits);
    }

    /// Leaves only `count` elements from the one on with `index` others before it.
    pub fn keep_range(&mut self, index: usize, count: usize, limits: &ListLimits) {
        let end = index.saturating_add(count).min(self.len());
        self.remove_range(end, usize::MAX, limits);
        self.remove_range(0, index, limits);
    }

    /// Removes the first `count` elements equal to `value`, counted from an end; how many were removed.
    pub fn remove_value(&mut self, value: &[u8], count: usize, from: End, limits: &ListLimits) -> usize {
        let value = Encoded::new(value);
        let removed = match &mut self.form {
            Form::Packed(node) => remove_from(node, &value, count, from),
            Form::Nodes(nodes) => nodes.remove_value(&value, count, from, limits),
        };
        if removed > 0 {
            self.shrunk(limits);
        }
        removed
    }

    /// The places of the elements equal to `value` among the first `max_compared` counted from an end, in that direction. A place is how
    /// many elements are before it, whatever the direction.
    pub fn positions<'a>(
        &'a self,
        value: &'a [u8],
        from: End,
        max_compared: usize,
    ) -> impl Iterator<Item = usize> + 'a {
        let value = Encoded::new(value);
        let mut iter = match from {
            End::Head => self.iter(),
            End::Tail => self.iter_back_from(self.len().wrapping_sub(1)),
        };
        let len = self.len();
        let mut compared = 0;
        std::iter::from_fn(move || {
            while compared < max_compared && compared < len {
                let place = match from {
                    End::Head => compared,
                    End::Tail => len - 1 - compared,
                };
                compared += 1;
                if iter.step_is(&value) {
                    return Some(place);
                }
            }
            None
        })
    }

    /// The elements from head to tail.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// The elements towards the tail from the one on with `index` others before it.
    pub fn iter_from(&self, index: usize) -> Iter<'_> {
        match &self.form {
            Form::Packed(node) => Iter { walk: node.walk_from(index), nodes: None, node: 0, back: false },
            Form::Nodes(nodes) => nodes.iter_from(index, false),
        }
    }

    /// Shows up to `count` elements from the one on with `index` others before it, in order: what [`iter_from`](Self::iter_from) gives, without
    /// a value made of each.
    #[inline]
    pub fn visit(&self, index: usize, count: usize, mut visit: impl FnMut(&[u8])) {
        let mut iter = self.iter_from(index);
        let mut left = count;
        while left > 0 && iter.prepare() {
            while left > 0
                && let Some(raw) = iter.walk.next()
            {
                match raw {
                    Raw::Bytes(bytes) => visit(bytes),
                    raw => visit(&Element::from(raw)),
                }
                left -= 1;
            }
        }
    }

    /// The elements towards the head from the one on with `index` others before it, that one included. None when there is no such element.
    pub fn iter_back_from(&self, index: usize) -> Iter<'_> {
        let after = if index >= self.len() { 0 } else { index + 1 };
        match &self.form {
            Form::Packed(node) => Iter { walk: node.walk_from(after), nodes: None, node: 0, back: true },
            Form::Nodes(nodes) => nodes.iter_from(after, true),
        }
    }

    /// Checks the representation; for tests.
    #[cfg(test)]
    fn assert_invariants(&self, limits: &ListLimits) {
        match &self.form {
            Form::Packed(node) => node.assert_invariants(),
            Form::Nodes(nodes) => {
                assert_eq!(nodes.nodes.len(), nodes.counts.len());
                for (node, &count) in nodes.nodes.iter().zip(&nodes.counts) {
                    node.assert_invariants();
                    assert_eq!(node.len(), count as usize);
                    // A node that was the small form came to its size by Redis's rule, which does not count what
                    // each element takes for its own lengths.
                    let lengths = 12 * node.len();
                    assert!(count == 1 || count > 1 && node.byte_len() <= limits.bytes() + lengths);
                    assert!(node.len() <= limits.count());
                }
                assert_eq!(nodes.counts.iter().map(|&count| count as usize).sum::<usize>(), nodes.len);
            }
        }
    }
}

impl Nodes {
    fn push(&mut self, end: End, element: Encoded<'_>, limits: &ListLimits) {
        self.len += 1;
        let (node, count) = match end {
            End::Head => (self.nodes.front_mut(), self.counts.front_mut()),
            End::Tail => (self.nodes.back_mut(), self.counts.back_mut()),
        };
        if let (Some(node), Some(count)) = (node, count) {
            if limits.admits(node, &element) {
                *count += 1;
                push_to(node, end, element, limits);
                return;
            }
            // It is not at that end any more.
            node.close_gap();
        }
        let mut node = ListNode::new();
        node.push_back(element);
        match end {
            End::Head => {
                self.nodes.push_front(node);
                self.counts.push_front(1);
            }
            End::Tail => {
                self.nodes.push_back(node);
                self.counts.push_back(1);
            }
        }
    }

    fn drop_end(&mut self, end: End) {
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
            pop_from(node, end);
            return;
        }
        match end {
            End::Head => {
                self.nodes.pop_front();
                self.counts.pop_front();
            }
            End::Tail => {
                self.nodes.pop_back();
                self.counts.pop_back();
            }
        }
    }

    /// The node that an index is in, and how many elements of it are before the index. An index at a border belongs to the later node, and the
    /// one behind everything to the last.
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

    fn iter_from(&self, index: usize, back: bool) -> Iter<'_> {
        // Going back from a border means the node before it.
        let (node, inside) = match index.checked_sub(1) {
            Some(previous) if back => {
                let (node, inside) = self.locate(previous);
                (node, inside + 1)
            }
            _ => self.locate(index.min(self.len)),
        };
        let walk = self.nodes.get(node).map_or(Walk::empty(), |node| node.walk_from(inside));
        Iter { walk, nodes: Some(&self.nodes), node, back }
    }

    fn set(&mut self, index: usize, element: Encoded<'_>, limits: &ListLimits) {
        let (at, inside) = self.locate(index);
        let Some(node) = self.nodes.get_mut(at) else {
            return;
        };
        let offset = node.walk_from(inside).offset();
        let grown = NODE_OVERHEAD + node.byte_len() + list_node::packed_len(&element);
        if node.len() == 1 || grown <= limits.bytes() {
            node.replace(offset, element);
            return;
        }
        self.remove_range(index, 1, limits);
        self.insert(index, element, limits);
    }

    fn insert(&mut self, index: usize, element: Encoded<'_>, limits: &ListLimits) {
        if index == 0 {
            return self.push(End::Head, element, limits);
        }
        if index >= self.len {
            return self.push(End::Tail, element, limits);
        }
        let (at, inside) = self.locate(index);
        if let Some(node) = self.nodes.get_mut(at)
            && limits.admits(node, &element)
        {
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

    fn remove_range(&mut self, index: usize, count: usize, limits: &ListLimits) {
        let (at, inside) = self.locate(index);
        let mut at = at;
        let mut inside = inside;
        let mut left = count;
        while left > 0 && at < self.nodes.len() {
            let here = (self.counts[at] as usize - inside).min(left);
            if here == self.counts[at] as usize {
                // Whole nodes in one go: a deque's removal from the middle moves what is behind it.
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
                let offset = node.walk_from(inside).offset();
                node.remove(offset, here);
                self.counts[at] -= here as u32;
                self.len -= here;
                left -= here;
                at += 1;
            }
            inside = 0;
        }
        self.merge_around(at, limits);
    }

    fn remove_value(&mut self, value: &Encoded<'_>, count: usize, from: End, limits: &ListLimits) -> usize {
        let mut removed = 0;
        let mut left = self.nodes.len();
        while left > 0 && removed < count {
            left -= 1;
            let at = if from == End::Tail { left } else { self.nodes.len() - 1 - left };
            let here = remove_from(&mut self.nodes[at], value, count - removed, from);
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
            self.merge_all(limits);
        }
        removed
    }

    /// Splits a node so that something can be inserted between its parts, and returns where.
    fn split(&mut self, at: usize, inside: usize) -> usize {
        if inside == 0 {
            return at;
        }
        let rest = self.nodes[at].split_off(inside);
        self.counts[at] = inside as u32;
        self.counts.insert(at + 1, rest.len() as u32);
        self.nodes.insert(at + 1, rest);
        at + 1
    }

    /// Joins the node and its neighbours where they fit into one.
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
        if let Some(right) = self.nodes.remove(at + 1) {
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
}

fn push_to(node: &mut ListNode, end: End, element: Encoded<'_>, limits: &ListLimits) {
    match end {
        End::Head => node.push_front(element, limits.bytes()),
        End::Tail => node.push_back(element),
    }
}

fn pop_from(node: &mut ListNode, end: End) {
    match end {
        End::Head => node.pop_front(),
        End::Tail => node.pop_back(),
    }
}

/// Removes the first `count` elements equal to `value`, counted from an end; how many were removed.
fn remove_from(node: &mut ListNode, value: &Encoded<'_>, count: usize, from: End) -> usize {
    let mut removed = 0;
    match from {
        End::Head => {
            let mut offset = node.walk().offset();
            while removed < count && node.len() > 0 {
                let mut walk = node.walk_at(offset);
                while !walk.is_at_end() && !walk.next_is(value) {
                    walk.skip();
                }
                if walk.is_at_end() {
                    break;
                }
                offset = walk.offset();
                node.remove(offset, 1);
                removed += 1;
            }
        }
        End::Tail => {
            let mut offset = node.walk_from_end().offset();
            while removed < count && node.len() > 0 {
                let mut walk = node.walk_at(offset);
                let mut found = false;
                while !found && !walk.is_at_start() {
                    walk.skip_back();
                    found = walk.next_is(value);
                }
                if !found {
                    break;
                }
                offset = walk.offset();
                node.remove(offset, 1);
                removed += 1;
            }
        }
    }
    removed
}

/// The elements of a list, in either direction.
#[derive(Clone)]
pub struct Iter<'a> {
    walk: Walk<'a>,
    /// The nodes of a large list.
    nodes: Option<&'a VecDeque<ListNode>>,
    /// The index of the node the walk is in.
    node: usize,
    back: bool,
}

impl Iter<'_> {
    /// Goes to the neighbouring node when there is nothing left in this one; whether there is an element.
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

    /// Steps over an element; whether it is this one.
    fn step_is(&mut self, value: &Encoded<'_>) -> bool {
        if !self.prepare() {
            return false;
        }
        if self.back {
            self.walk.skip_back();
            self.walk.next_is(value)
        } else {
            let equal = self.walk.next_is(value);
            self.walk.skip();
            equal
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        if !self.prepare() {
            return None;
        }
        if self.back { self.walk.next_back() } else { self.walk.next() }.map(Element::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => proptest::sample::select(vec![b"a".to_vec(), b"bb".to_vec(), b"7".to_vec()]),
            4 => any::<i32>().prop_map(|value| value.to_string().into_bytes()),
            2 => (0usize..400).prop_map(|len| vec![b'y'; len]),
            1 => (3000usize..9000).prop_map(|len| vec![b'z'; len]),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn behaves_like_a_vec(
            size in prop_oneof![Just(-1), Just(-2), Just(3), Just(16), Just(0)],
            steps in proptest::collection::vec((0u8..14, any::<proptest::sample::Index>(), element(), 0usize..30), 1..150),
        ) {
            let limits = ListLimits { max_listpack_size: size };
            let mut list = List::new();
            let mut model: Vec<Vec<u8>> = Vec::new();
            for (kind, place, element, count) in steps {
                let index = place.index(model.len() + 1);
                match kind {
                    0..=2 => { list.push(End::Tail, &element, &limits); model.push(element.clone()); }
                    3 | 4 => { list.push(End::Head, &element, &limits); model.insert(0, element.clone()); }
                    5 => {
                        let popped = list.pop(End::Head, &limits);
                        prop_assert_eq!(popped, (!model.is_empty()).then(|| model.remove(0)));
                    }
                    6 => prop_assert_eq!(list.pop(End::Tail, &limits), model.pop()),
                    7 => {
                        prop_assert_eq!(list.set(index, &element, &limits), index < model.len());
                        if index < model.len() { model[index] = element.clone(); }
                    }
                    8 | 9 => { list.insert(index, &element, &limits); model.insert(index, element.clone()); }
                    10 => {
                        list.remove_range(index, count, &limits);
                        model.drain(index..(index + count).min(model.len()));
                    }
                    11 => {
                        let from = if count % 2 == 0 { End::Head } else { End::Tail };
                        let mut wanted = count;
                        let mut keep = vec![true; model.len()];
                        let order: Vec<usize> = if from == End::Head { (0..model.len()).collect() } else { (0..model.len()).rev().collect() };
                        for index in order {
                            if wanted > 0 && model[index] == element { wanted -= 1; keep[index] = false; }
                        }
                        let mut index = 0;
                        model.retain(|_| { index += 1; keep[index - 1] });
                        prop_assert_eq!(list.remove_value(&element, count, from, &limits), count - wanted);
                    }
                    12 if count == 0 => {
                        let end = (index + 20).min(model.len());
                        list.keep_range(index, 20, &limits);
                        model = model[index..end].to_vec();
                    }
                    _ => {
                        let more: Vec<Vec<u8>> = (0..count).map(|number| number.to_string().into_bytes()).collect();
                        list.push_all(End::Tail, more.iter().map(Vec::as_slice), &limits);
                        model.extend(more);
                    }
                }
                list.assert_invariants(&limits);
                prop_assert_eq!(list.len(), model.len());
                prop_assert!(list.iter().map(|element| element.to_vec()).eq(model.iter().cloned()));
                let index = place.index(model.len() + 1);
                prop_assert_eq!(list.get(index).map(|element| element.to_vec()), model.get(index).cloned());
                prop_assert!(list.iter_from(index).map(|element| element.to_vec()).eq(model[index..].iter().cloned()));
                let mut seen = Vec::new();
                list.visit(index, count, |element| seen.push(element.to_vec()));
                prop_assert_eq!(&seen[..], &model[index..(index + count).min(model.len())]);
                let back: Vec<Vec<u8>> = list.iter_back_from(index).map(|element| element.to_vec()).collect();
                let expected: Vec<Vec<u8>> = if index < model.len() { model[..=index].iter().rev().cloned().collect() } else { Vec::new() };
                prop_assert_eq!(back, expected);
                prop_assert_eq!(list.peek(End::Tail).map(|element| element.to_vec()), model.last().cloned());
                let places: Vec<usize> = list.positions(&element, End::Head, 20).collect();
                let expected: Vec<usize> = (0..model.len().min(20)).filter(|&index| model[index] == element).collect();
                prop_assert_eq!(places, expected);
                let places: Vec<usize> = list.positions(&element, End::Tail, 20).collect();
                let expected: Vec<usize> = (model.len().saturating_sub(20)..model.len()).rev().filter(|&index| model[index] == element).collect();
                prop_assert_eq!(places, expected);
            }
        }
    }

    #[test]
    fn encodings_change_where_redis_changes_them() {
        let limits = ListLimits { max_listpack_size: 4 };
        let mut list = List::new();
        for _ in 0..4 {
            list.push(End::Tail, b"a", &limits);
        }
        assert_eq!(list.encoding(), "listpack");
        list.push(End::Tail, b"a", &limits);
        assert_eq!(list.encoding(), "quicklist");
        for left in [4, 3, 2] {
            assert_eq!(list.encoding(), "quicklist");
            list.pop(End::Tail, &limits);
            assert_eq!(list.len(), left);
        }
        assert_eq!(list.encoding(), "listpack");
        let limits = ListLimits::default();
        let mut list = List::new();
        list.push(End::Head, &[b'x'; 8185], &limits);
        assert_eq!(list.encoding(), "listpack");
        let mut list = List::new();
        list.push(End::Head, &[b'x'; 8186], &limits);
        assert_eq!(list.encoding(), "quicklist");
        assert!(list.set(0, b"x", &limits));
        assert_eq!(list.encoding(), "listpack");
        assert!(size_of::<List>() <= 16);
    }

    #[test]
    fn a_long_list_takes_little_more_than_its_elements() {
        let limits = ListLimits::default();
        for end in [End::Head, End::Tail] {
            let mut list = List::new();
            for number in 0..100_000 {
                list.push(end, format!("element:{number:06}").as_bytes(), &limits);
            }
            let bytes_each = list.memory_bytes() / list.len();
            assert!(bytes_each <= 17, "{bytes_each}");
        }
    }
}
