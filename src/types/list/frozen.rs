//! Reading a large list as it was at one instant while it goes on changing.
//!
//! [`List::freeze`] marks the instant. From then on [`List::read_frozen`] returns the elements that were
//! there, node by node, each once. The nodes not read yet are a range of the list's nodes, between nodes that
//! were copied because they were about to change. A push or pop at an end copies one node at most, so queues
//! pay little however long they are; so does another value for an element. Any other change in the middle
//! copies all that was not read.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::Ordering;

use super::end::End;
use super::iter::Iter;
use super::node::ListNode;
use super::nodes::Nodes;
use super::{Form, List};
use crate::types::packed::freeze::Reading;

/// How far a list has been read, and what was copied ahead of that.
pub(super) struct Frozen {
    reading: Reading,
    /// Copies of the nodes before `range`.
    before: VecDeque<ListNode>,
    /// Nodes of the list that are as they were and not read yet.
    range: Range<usize>,
    /// Copies of the nodes behind `range`.
    behind: VecDeque<ListNode>,
    /// Copies of nodes within `range` that have changed, by their numbers: an index and `first` together, so
    /// that a number stays with its node.
    changed: BTreeMap<i64, ListNode>,
    /// The number of the list's first node.
    first: i64,
}

impl Frozen {
    /// Takes the node at an index of `range` as it was: its copy, or one of what `nodes` has.
    fn take(&mut self, at: usize, nodes: &VecDeque<ListNode>) -> Option<ListNode> {
        self.changed.remove(&(self.first + at as i64)).or_else(|| nodes.get(at).cloned())
    }

    fn is_done(&self) -> bool {
        self.before.is_empty() && self.range.is_empty() && self.behind.is_empty()
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if !self.is_done() {
            self.reading.lost.store(true, Ordering::Relaxed);
        }
    }
}

impl Nodes {
    /// Called before the node at an end changes or goes: where it was not read yet, it is copied.
    #[inline]
    pub(super) fn keep_end(&mut self, end: End) {
        if self.frozen.is_some() {
            self.copy_end(end);
        }
    }

    #[cold]
    fn copy_end(&mut self, end: End) {
        let Some(frozen) = &mut self.frozen else { return };
        match end {
            _ if frozen.range.is_empty() => {}
            End::Head if frozen.range.start == 0 => {
                let node = frozen.take(0, &self.nodes);
                frozen.before.extend(node);
                frozen.range.start = 1;
            }
            End::Tail if frozen.range.end == self.nodes.len() => {
                frozen.range.end -= 1;
                if let Some(node) = frozen.take(frozen.range.end, &self.nodes) {
                    frozen.behind.push_front(node);
                }
            }
            _ => {}
        }
    }

    /// Called before a node's content changes while all nodes stay where they are.
    #[inline]
    pub(super) fn keep_node(&mut self, at: usize) {
        if let Some(frozen) = &mut self.frozen
            && frozen.range.contains(&at)
            && let Some(node) = self.nodes.get(at)
        {
            frozen.changed.entry(frozen.first + at as i64).or_insert_with(|| node.clone());
        }
    }

    /// Called before nodes other than one at an end come, go or are joined.
    #[inline]
    pub(super) fn keep_all(&mut self) {
        // An empty range may stand behind the end.
        if let Some(frozen) = &mut self.frozen
            && !frozen.range.is_empty()
        {
            for at in std::mem::take(&mut frozen.range) {
                let node = frozen.take(at, &self.nodes);
                frozen.before.extend(node);
            }
        }
    }

    /// A node was put before all others.
    #[inline]
    pub(super) fn head_came(&mut self) {
        if let Some(frozen) = &mut self.frozen {
            frozen.range = frozen.range.start + 1..frozen.range.end + 1;
            frozen.first -= 1;
        }
    }

    /// The first node went. It was read or copied.
    #[inline]
    pub(super) fn head_went(&mut self) {
        if let Some(frozen) = &mut self.frozen {
            // An empty range may stand at the start.
            frozen.range = frozen.range.start.saturating_sub(1)..frozen.range.end.saturating_sub(1);
            frozen.first += 1;
        }
    }

    fn read_frozen(&mut self, count: usize, mut visit: impl FnMut(&[u8])) -> bool {
        let Some(frozen) = &mut self.frozen else { return true };
        let mut visited = 0;
        while visited < count {
            let copied;
            let node = if let Some(node) = frozen.before.pop_front() {
                copied = node;
                &copied
            } else if let Some(at) = frozen.range.next() {
                match frozen.changed.remove(&(frozen.first + at as i64)) {
                    Some(node) => {
                        copied = node;
                        &copied
                    }
                    None => &self.nodes[at],
                }
            } else if let Some(node) = frozen.behind.pop_front() {
                copied = node;
                &copied
            } else {
                break;
            };
            visited += node.len();
            Iter::of_node(node.walk_from(0), false).for_each(|element| visit(&element.joined()));
        }
        let is_done = frozen.is_done();
        if is_done {
            self.frozen = None;
        }
        is_done
    }
}

impl List {
    /// Number of nodes, if it has the large form, which [`freeze`](Self::freeze) needs.
    pub fn node_count(&self) -> Option<usize> {
        match &self.form {
            Form::Packed(_) => None,
            Form::Nodes(nodes) => Some(nodes.nodes.len()),
        }
    }

    /// Marks the instant whose elements [`read_frozen`](Self::read_frozen) returns. Only for the large form.
    pub fn freeze(&mut self, reading: Reading) {
        if let Form::Nodes(nodes) = &mut self.form {
            nodes.frozen = Some(Box::new(Frozen {
                reading,
                before: VecDeque::new(),
                range: 0..nodes.nodes.len(),
                behind: VecDeque::new(),
                changed: BTreeMap::new(),
                first: 0,
            }));
        }
    }

    /// The number of the reading that is going on.
    pub fn reading(&self) -> Option<u64> {
        match &self.form {
            Form::Packed(_) => None,
            Form::Nodes(nodes) => nodes.frozen.as_ref().map(|frozen| frozen.reading.id),
        }
    }

    /// Ends a reading that nobody wants any more.
    pub fn thaw(&mut self) {
        if let Form::Nodes(nodes) = &mut self.form
            && let Some(mut frozen) = nodes.frozen.take()
        {
            (frozen.before, frozen.range, frozen.behind) = Default::default();
        }
    }

    /// Calls `visit` with about `count` more of the elements of the instant, from head to tail; whole nodes
    /// at a time. Returns whether that was all.
    pub fn read_frozen(&mut self, count: usize, visit: impl FnMut(&[u8])) -> bool {
        match &mut self.form {
            Form::Packed(_) => true,
            Form::Nodes(nodes) => nodes.read_frozen(count, visit),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;

    use super::*;
    use crate::types::list::ListLimits;

    fn all(list: &List) -> Vec<Vec<u8>> {
        list.iter().map(|element| element.to_vec()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn a_reading_returns_what_was_there(
            size in prop_oneof![Just(1), Just(3), Just(16)],
            start in 20usize..200,
            read_between in 0u8..6,
            steps in proptest::collection::vec((0u8..16, any::<proptest::sample::Index>(), 1usize..6), 0..120),
        ) {
            let limits = ListLimits { max_listpack_size: size };
            let mut list = List::new();
            for number in 0..start {
                list.push(End::Tail, format!("job:{number}").as_bytes(), &limits);
            }
            let (instant, mut present, mut read) = (all(&list), all(&list), Vec::new());
            let lost = Arc::new(AtomicBool::new(false));
            list.freeze(Reading { id: 7, lost: Arc::clone(&lost) });
            let mut is_done = false;
            for (number, (kind, place, count)) in steps.into_iter().enumerate() {
                let element = format!("new:{number}").into_bytes();
                let index = place.index(present.len() + 1);
                match kind {
                    0..=2 => { list.push(End::Tail, &element, &limits); present.push(element); }
                    3..=5 => { list.push(End::Head, &element, &limits); present.insert(0, element); }
                    6 | 7 => for _ in 0..count {
                        list.pop(End::Head, &limits);
                        if !present.is_empty() { present.remove(0); }
                    },
                    8 | 9 => for _ in 0..count { list.pop(End::Tail, &limits); present.pop(); },
                    10 if list.set(index, &element, &limits) => present[index] = element,
                    11 => { list.insert(index, &element, &limits); present.insert(index, element); }
                    12 => {
                        list.remove_range(index, count, &limits);
                        present.drain(index..(index + count).min(present.len()));
                    }
                    13 if !present.is_empty() => {
                        let value = present[index % present.len()].clone();
                        prop_assert_eq!(list.remove_value(&value, 1, End::Tail, &limits), 1);
                        present.retain(|other| *other != value);
                    }
                    _ => {}
                }
                prop_assert_eq!(all(&list), &present[..]);
                if !is_done && number % 6 < usize::from(read_between) {
                    prop_assert_eq!(list.reading(), Some(7));
                    is_done = list.read_frozen(count, |element| read.push(element.to_vec()));
                }
            }
            while !is_done {
                is_done = list.read_frozen(3, |element| read.push(element.to_vec()));
            }
            prop_assert_eq!(list.reading(), None);
            prop_assert_eq!(read, instant);
            drop(list);
            prop_assert!(!lost.load(Ordering::Relaxed), "a finished reading is not lost");
        }
    }

    #[test]
    fn pushes_and_pops_copy_a_node_at_most() {
        let limits = ListLimits { max_listpack_size: 10 };
        let mut list = List::new();
        for number in 0..1000 {
            list.push(End::Tail, number.to_string().as_bytes(), &limits);
        }
        list.freeze(Reading { id: 1, lost: Arc::default() });
        for number in 0..500 {
            list.push(End::Tail, number.to_string().as_bytes(), &limits);
            list.push(End::Head, number.to_string().as_bytes(), &limits);
        }
        let Form::Nodes(nodes) = &list.form else { panic!("a large list") };
        let frozen = nodes.frozen.as_ref().expect("it is being read");
        assert_eq!((frozen.before.len(), frozen.range.len(), frozen.behind.len()), (1, 98, 1));
        for index in [700, 701, 900] {
            assert!(list.set(index, b"x", &limits));
        }
        let Form::Nodes(nodes) = &list.form else { panic!("a large list") };
        let frozen = nodes.frozen.as_ref().expect("it is being read");
        assert_eq!((frozen.range.len(), frozen.changed.len()), (98, 2));
    }

    #[test]
    fn a_list_dropped_before_it_was_read_tells_so() {
        let limits = ListLimits { max_listpack_size: 2 };
        let lost = Arc::new(AtomicBool::new(false));
        let mut list = List::new();
        for number in 0..10 {
            list.push(End::Tail, number.to_string().as_bytes(), &limits);
        }
        let mut thawed = list.clone();
        thawed.freeze(Reading { id: 1, lost: Arc::clone(&lost) });
        thawed.thaw();
        drop(thawed);
        assert!(!lost.load(Ordering::Relaxed));
        list.freeze(Reading { id: 2, lost: Arc::clone(&lost) });
        assert_eq!(list.clone().reading(), None, "a copy is not read");
        drop(list);
        assert!(lost.load(Ordering::Relaxed));
    }
}
