//! The order of a large sorted set: a B+ tree whose inner nodes know the number of elements below each child,
//! so a rank is found in one descent.
//!
//! Every range becomes one of ranks: [`ScoreTree::rank_of`] gives the number of elements before a [`Place`],
//! and iterators and removals go by rank. Members stand in the leaves, where a range reads them one after the
//! other. Members too long for that are kept once, by the table, and named by their slot; callers pass the
//! slots in.

use std::ops::Range;

use smallvec::SmallVec;

use super::leaf::{self, Before, Leaf, MAX_LEAF, MIN_LEAF, Place, resolve};
use crate::alloc::{array_bytes, box_bytes};
use crate::types::packed::entry::{self, Element, Encoded};
use crate::types::packed::slots::Slots;

/// Most children of an inner node.
const FANOUT: usize = 64;
const MIN_FANOUT: usize = FANOUT / 4;
/// Step by which the rows of inner nodes grow.
const ROW_STEP: usize = 8;

/// The tree. No node but the root is empty, all leaves are at the same depth.
#[derive(Clone, Default)]
pub(super) struct ScoreTree {
    root: Node,
}

#[derive(Clone)]
enum Node {
    Leaf(Leaf),
    Inner(Box<Inner>),
}

/// Four rows of the same length, an entry for each child.
#[derive(Clone, Default)]
struct Inner {
    /// Separator, together with `members`: a place behind all elements of the child before and in front of
    /// all of this child's. The first child's is unused.
    scores: Vec<f64>,
    /// Member of the separator, as short as tells the two children apart: empty where the scores do.
    members: Vec<Box<[u8]>>,
    counts: Vec<usize>,
    children: Vec<Node>,
}

/// A node that was split off behind another, and the place between them.
struct Split {
    score: f64,
    member: Box<[u8]>,
    right: Node,
}

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(Leaf::new())
    }
}

impl ScoreTree {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Bytes that the tree takes from the allocator, itself not included. Visits every node.
    pub(super) fn memory_bytes(&self) -> usize {
        self.root.memory_bytes()
    }

    /// How many elements are before the place.
    pub(super) fn rank_of(&self, place: &Place<'_>, slots: &Slots) -> usize {
        let mut node = &self.root;
        let mut rank = 0;
        loop {
            match node {
                Node::Leaf(leaf) => return rank + leaf.rank_of(place, slots),
                Node::Inner(inner) => {
                    let child = inner.child_of(place);
                    rank += inner.counts[..child].iter().sum::<usize>();
                    node = &inner.children[child];
                }
            }
        }
    }

    /// Adds an element that is not there yet. `form` is its member's encoding.
    pub(super) fn insert(&mut self, score: f64, member: &[u8], form: Encoded<'_>, slots: &Slots) {
        let place = Place { score, before: Before::UpTo(member) };
        if let Some(split) = self.root.insert(&place, form, slots) {
            let left = std::mem::take(&mut self.root);
            let mut inner = Inner::default();
            inner.insert_child(0, 0.0, Box::default(), left);
            inner.insert_child(1, split.score, split.member, split.right);
            self.root = Node::Inner(Box::new(inner));
        }
    }

    /// Removes an element. Returns whether it was there.
    pub(super) fn remove(&mut self, score: f64, member: &[u8], slots: &Slots) -> bool {
        let removed = self.root.remove(&Place { score, before: Before::UpTo(member) }, slots);
        self.lower_root();
        removed
    }

    /// Changes an element's score. `form` is its member's encoding.
    pub(super) fn rescore(&mut self, old: f64, new: f64, member: &[u8], form: Encoded<'_>, slots: &Slots) {
        if !self.root.rescore(&Place { score: old, before: Before::UpTo(member) }, new, slots) {
            self.lower_root();
            self.insert(new, member, form, slots);
        }
    }

    /// Removes the elements of a range of ranks.
    pub(super) fn remove_ranks(&mut self, ranks: Range<usize>) {
        if !ranks.is_empty() {
            self.root.remove_ranks(ranks);
            self.lower_root();
        }
    }

    /// The elements of a range of ranks, the lowest first.
    pub(super) fn iter<'a>(&'a self, ranks: Range<usize>, slots: &'a Slots) -> Iter<'a> {
        let mut iter = Iter { path: SmallVec::new(), leaf: None, left: ranks.len(), slots };
        if iter.left > 0 {
            iter.descend(&self.root, ranks.start);
        }
        iter
    }

    /// The elements of a range of ranks, the highest first.
    pub(super) fn iter_back<'a>(&'a self, ranks: Range<usize>, slots: &'a Slots) -> IterBack<'a> {
        let mut iter = IterBack { path: SmallVec::new(), leaf: None, left: ranks.len(), slots };
        if iter.left > 0 {
            iter.descend(&self.root, ranks.end - 1);
        }
        iter
    }

    /// Replaces an inner root with one child by that child, one without children by an empty leaf.
    fn lower_root(&mut self) {
        while let Node::Inner(inner) = &mut self.root
            && inner.children.len() <= 1
        {
            self.root = inner.children.pop().unwrap_or_default();
        }
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self, slots: &Slots) -> usize {
        let (count, _) = self.root.assert_invariants(slots, true);
        count
    }
}

impl Node {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Inner(inner) => inner.counts.iter().sum(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.len() == 0,
            Self::Inner(inner) => inner.children.is_empty(),
        }
    }

    fn is_small(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.len() < MIN_LEAF,
            Self::Inner(inner) => inner.children.len() < MIN_FANOUT,
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.memory_bytes(),
            Self::Inner(inner) => {
                let rows = array_bytes::<f64>(inner.scores.capacity())
                    + array_bytes::<Box<[u8]>>(inner.members.capacity())
                    + array_bytes::<usize>(inner.counts.capacity())
                    + array_bytes::<Self>(inner.children.capacity());
                let members: usize = inner.members.iter().map(|member| array_bytes::<u8>(member.len())).sum();
                let below: usize = inner.children.iter().map(Self::memory_bytes).sum();
                box_bytes::<Inner>() + rows + members + below
            }
        }
    }

    /// Inserts an element at the place behind its member, so that one equal to a separator goes to the
    /// separator's right.
    fn insert(&mut self, place: &Place<'_>, form: Encoded<'_>, slots: &Slots) -> Option<Split> {
        match self {
            Self::Leaf(leaf) => {
                let index = leaf.rank_of(place, slots);
                if leaf.len() < MAX_LEAF {
                    leaf.insert(index, place.score, form);
                    return None;
                }
                // Where elements come in ascending or descending order, the leaf that is left stays full.
                let at = match index {
                    MAX_LEAF => MAX_LEAF - MIN_LEAF,
                    0 => MIN_LEAF,
                    _ => MAX_LEAF / 2,
                };
                let mut right = leaf.split_off(at);
                if index <= at {
                    leaf.insert(index, place.score, form);
                } else {
                    right.insert(index - at, place.score, form);
                }
                let (score, member) = separator(leaf, &right, slots);
                Some(Split { score, member, right: Self::Leaf(right) })
            }
            Self::Inner(inner) => {
                let child = inner.child_of(place);
                let split = inner.children[child].insert(place, form, slots);
                inner.counts[child] += 1;
                if let Some(split) = split {
                    inner.counts[child] -= split.right.len();
                    inner.insert_child(child + 1, split.score, split.member, split.right);
                }
                (inner.children.len() > FANOUT).then(|| inner.split(child))
            }
        }
    }

    /// Removes the element whose member is before the place.
    fn remove(&mut self, place: &Place<'_>, slots: &Slots) -> bool {
        match self {
            Self::Leaf(leaf) => {
                let Some(index) = leaf.rank_of(place, slots).checked_sub(1) else {
                    return false;
                };
                let there = leaf.score(index) == place.score
                    && *resolve(leaf.raw_member(index), slots) == *place.member();
                if there {
                    leaf.remove(index, 1);
                }
                there
            }
            Self::Inner(inner) => {
                let child = inner.child_of(place);
                let removed = inner.children[child].remove(place, slots);
                if removed {
                    inner.counts[child] -= 1;
                    inner.tidy(child);
                }
                removed
            }
        }
    }

    /// Changes the score of the element before the place if it stays between the same neighbours in its leaf;
    /// else the element is removed. Returns whether it stayed.
    fn rescore(&mut self, place: &Place<'_>, score: f64, slots: &Slots) -> bool {
        match self {
            Self::Leaf(leaf) => {
                let after = leaf.rank_of(place, slots);
                let Some(index) = after.checked_sub(1) else {
                    return false;
                };
                // The score has to lie strictly between its neighbours, so that members need not be compared,
                // and not at the leaf's borders, which inner nodes know.
                let inside = index > 0 && after < leaf.len();
                if inside && leaf.score(index - 1) < score && score < leaf.score(after) {
                    leaf.set_score(index, score);
                    return true;
                }
                leaf.remove(index, 1);
                false
            }
            Self::Inner(inner) => {
                let child = inner.child_of(place);
                let stayed = inner.children[child].rescore(place, score, slots);
                if !stayed {
                    inner.counts[child] -= 1;
                    inner.tidy(child);
                }
                stayed
            }
        }
    }

    fn remove_ranks(&mut self, ranks: Range<usize>) {
        match self {
            Self::Leaf(leaf) => leaf.remove(ranks.start, ranks.len()),
            Self::Inner(inner) => {
                let mut before = 0;
                let mut child = 0;
                let mut left = ranks.len();
                while child < inner.children.len() && left > 0 {
                    let count = inner.counts[child];
                    let from = ranks.start.saturating_sub(before);
                    // The elements removed from children before do not count any more, so the start stays
                    // where it is.
                    if from < count {
                        let here = (count - from).min(left);
                        left -= here;
                        if here == count {
                            inner.remove_child(child);
                            continue;
                        }
                        inner.children[child].remove_ranks(from..from + here);
                        inner.counts[child] -= here;
                    }
                    before += inner.counts[child];
                    child += 1;
                }
                // At most two children, those at the range's borders, were cut.
                for cut in [child, child.wrapping_sub(1), child.wrapping_sub(2)] {
                    inner.tidy(cut);
                }
            }
        }
    }

    /// Appends the next node's content where both fit into one. Returns whether it did.
    fn absorb(&mut self, next: &mut Self, score: f64, member: &[u8]) -> bool {
        match (self, next) {
            (Self::Leaf(left), Self::Leaf(right)) if left.len() + right.len() <= MAX_LEAF => {
                left.append(right);
                true
            }
            (Self::Inner(left), Self::Inner(right))
                if left.children.len() + right.children.len() <= FANOUT =>
            {
                if let (Some(first_score), Some(first_member)) =
                    (right.scores.first_mut(), right.members.first_mut())
                {
                    *first_score = score;
                    *first_member = member.into();
                }
                left.scores.append(&mut right.scores);
                left.members.append(&mut right.members);
                left.counts.append(&mut right.counts);
                left.children.append(&mut right.children);
                true
            }
            _ => false,
        }
    }

    #[cfg(test)]
    fn assert_invariants(&self, slots: &Slots, is_root: bool) -> (usize, usize) {
        assert!(is_root || !self.is_empty());
        match self {
            Self::Leaf(leaf) => {
                leaf.assert_invariants(slots);
                (leaf.len(), 0)
            }
            Self::Inner(inner) => {
                let len = inner.children.len();
                assert!((1..=FANOUT).contains(&len) && (!is_root || len > 1));
                assert!(
                    [inner.scores.len(), inner.members.len(), inner.counts.len()]
                        .iter()
                        .all(|&other| other == len)
                );
                let mut depths = Vec::new();
                for (index, (child, &count)) in inner.children.iter().zip(&inner.counts).enumerate() {
                    let (below, depth) = child.assert_invariants(slots, false);
                    assert_eq!(below, count);
                    depths.push(depth);
                    if index > 0 {
                        let (score, member) = (inner.scores[index], &*inner.members[index]);
                        let last = inner.children[index - 1].last(slots);
                        let first = child.first(slots);
                        assert!(last.0 < score || last.0 == score && *last.1 < *member);
                        assert!(score < first.0 || score == first.0 && *member <= *first.1);
                    }
                }
                depths.dedup();
                assert_eq!(depths.len(), 1, "all leaves at one depth");
                (inner.counts.iter().sum(), depths[0] + 1)
            }
        }
    }

    #[cfg(test)]
    fn first(&self, slots: &Slots) -> (f64, Vec<u8>) {
        match self {
            Self::Leaf(leaf) => (leaf.score(0), resolve(leaf.raw_member(0), slots).to_vec()),
            Self::Inner(inner) => inner.children[0].first(slots),
        }
    }

    #[cfg(test)]
    fn last(&self, slots: &Slots) -> (f64, Vec<u8>) {
        match self {
            Self::Leaf(leaf) => {
                (leaf.score(leaf.len() - 1), resolve(leaf.raw_member(leaf.len() - 1), slots).to_vec())
            }
            Self::Inner(inner) => inner.children[inner.children.len() - 1].last(slots),
        }
    }
}

impl Inner {
    /// The child in which the place lies.
    fn child_of(&self, place: &Place<'_>) -> usize {
        let scores = self.scores.get(1..).unwrap_or(&[]);
        let lower = scores.partition_point(|&score| score < place.score);
        if scores.get(lower) != Some(&place.score) {
            return lower;
        }
        let equal = scores[lower..].partition_point(|&score| score == place.score);
        let members = &self.members[1 + lower..][..equal];
        lower
            + members.partition_point(|member| place.is_after(place.score, || (**member).cmp(place.member())))
    }

    fn insert_child(&mut self, index: usize, score: f64, member: Box<[u8]>, child: Node) {
        self.make_room();
        self.scores.insert(index, score);
        self.members.insert(index, member);
        self.counts.insert(index, child.len());
        self.children.insert(index, child);
    }

    /// Makes room for one child more. Rows grow by a few entries: doubling would take a third more than they
    /// hold.
    fn make_room(&mut self) {
        if self.children.len() == self.children.capacity() {
            self.scores.reserve_exact(ROW_STEP);
            self.members.reserve_exact(ROW_STEP);
            self.counts.reserve_exact(ROW_STEP);
            self.children.reserve_exact(ROW_STEP);
        }
    }

    /// Frees the room that a node which was split no longer needs.
    fn shrink(&mut self) {
        let capacity = self.children.len() + ROW_STEP;
        self.scores.shrink_to(capacity);
        self.members.shrink_to(capacity);
        self.counts.shrink_to(capacity);
        self.children.shrink_to(capacity);
    }

    fn remove_child(&mut self, index: usize) {
        self.scores.remove(index);
        self.members.remove(index);
        self.counts.remove(index);
        self.children.remove(index);
    }

    /// Splits the node. Like a leaf, it stays full where children come in order.
    fn split(&mut self, grown: usize) -> Split {
        let len = self.children.len();
        let at = if grown + 2 >= len { len - MIN_FANOUT } else { len / 2 };
        let right = Self {
            scores: self.scores.split_off(at),
            members: self.members.split_off(at),
            counts: self.counts.split_off(at),
            children: self.children.split_off(at),
        };
        self.shrink();
        Split {
            score: right.scores.first().copied().unwrap_or_default(),
            member: right.members.first().cloned().unwrap_or_default(),
            right: Node::Inner(Box::new(right)),
        }
    }

    /// Removes an empty child, or joins a small one with a neighbour where both fit into one.
    fn tidy(&mut self, child: usize) {
        let Some(node) = self.children.get(child) else {
            return;
        };
        if node.is_empty() {
            self.remove_child(child);
            return;
        }
        if !node.is_small() {
            return;
        }
        if !self.join_with_next(child)
            && let Some(before) = child.checked_sub(1)
        {
            self.join_with_next(before);
        }
    }

    fn join_with_next(&mut self, child: usize) -> bool {
        let Some((left, right)) = self.children.split_at_mut_checked(child + 1) else {
            return false;
        };
        let (Some(left), Some(right)) = (left.last_mut(), right.first_mut()) else {
            return false;
        };
        if !left.absorb(right, self.scores[child + 1], &self.members[child + 1]) {
            return false;
        }
        self.counts[child] += self.counts[child + 1];
        self.remove_child(child + 1);
        true
    }
}

/// A separator of two leaves, with the shortest member that tells them apart.
fn separator(left: &Leaf, right: &Leaf, slots: &Slots) -> (f64, Box<[u8]>) {
    let score = right.score(0);
    if left.score(left.len() - 1) < score {
        return (score, Box::default());
    }
    let last = resolve(left.raw_member(left.len() - 1), slots);
    let first = resolve(right.raw_member(0), slots);
    let common = last.iter().zip(first.iter()).take_while(|(a, b)| a == b).count();
    (score, first[..(common + 1).min(first.len())].into())
}

/// Path to a leaf: each inner node, and the index of the child taken.
type Path<'a> = SmallVec<[(&'a Inner, usize); 6]>;

/// The elements of a range, the lowest first.
#[derive(Clone)]
pub struct Iter<'a> {
    path: Path<'a>,
    leaf: Option<(&'a Leaf, usize, &'a [u8])>,
    left: usize,
    slots: &'a Slots,
}

impl<'a> Iter<'a> {
    fn descend(&mut self, from: &'a Node, rank: usize) {
        let (leaf, index) = descend(&mut self.path, from, rank);
        self.leaf = Some((leaf, index, leaf.members_from(index)));
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Element<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let (leaf, index, rest) = self.leaf?;
        let (raw, size) = entry::read(rest);
        if index + 1 < leaf.len() {
            self.leaf = Some((leaf, index + 1, &rest[size..]));
        } else {
            self.leaf = None;
            while let Some((inner, child)) = self.path.pop() {
                if let Some(next) = inner.children.get(child + 1) {
                    self.path.push((inner, child + 1));
                    self.descend(next, 0);
                    break;
                }
            }
        }
        Some((leaf::resolve(raw, self.slots), leaf.score(index)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// The elements of a range, the highest first.
#[derive(Clone)]
pub struct IterBack<'a> {
    path: Path<'a>,
    /// The leaf, the number of its members left, and the offset where the last of these ends.
    leaf: Option<(&'a Leaf, usize, usize)>,
    left: usize,
    slots: &'a Slots,
}

impl<'a> IterBack<'a> {
    fn descend(&mut self, from: &'a Node, rank: usize) {
        let (leaf, index) = descend(&mut self.path, from, rank);
        self.leaf = Some((leaf, index + 1, leaf.member_offset(index + 1)));
    }
}

impl<'a> Iterator for IterBack<'a> {
    type Item = (Element<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let (leaf, members, end) = self.leaf?;
        let index = members.checked_sub(1)?;
        let (raw, start) = leaf.member_back(index, end);
        self.leaf = Some((leaf, index, start));
        if index == 0 {
            self.leaf = None;
            while let Some((inner, child)) = self.path.pop() {
                if let Some((before, node)) =
                    child.checked_sub(1).and_then(|before| Some((before, inner.children.get(before)?)))
                {
                    self.path.push((inner, before));
                    self.descend(node, node.len() - 1);
                    break;
                }
            }
        }
        Some((leaf::resolve(raw, self.slots), leaf.score(index)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// Descends to the element of a rank below `from`, and records the path.
fn descend<'a>(path: &mut Path<'a>, from: &'a Node, rank: usize) -> (&'a Leaf, usize) {
    let mut node = from;
    let mut rank = rank;
    loop {
        match node {
            Node::Leaf(leaf) => return (leaf, rank.min(leaf.len().saturating_sub(1))),
            Node::Inner(inner) => {
                let mut child = 0;
                while rank >= inner.counts[child] && child + 1 < inner.counts.len() {
                    rank -= inner.counts[child];
                    child += 1;
                }
                path.push((inner, child));
                node = &inner.children[child];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn build(elements: impl Iterator<Item = (i32, String)>) -> (ScoreTree, BTreeSet<(i32, String)>) {
        let slots = Slots::new();
        let mut tree = ScoreTree::new();
        let mut model = BTreeSet::new();
        for (score, member) in elements {
            if model.insert((score, member.clone())) {
                tree.insert(f64::from(score), member.as_bytes(), Encoded::new(member.as_bytes()), &slots);
            }
        }
        (tree, model)
    }

    fn shown<'a>(iter: impl Iterator<Item = (Element<'a>, f64)>) -> Vec<(i32, String)> {
        iter.map(|(member, score)| (score as i32, String::from_utf8(member.to_vec()).expect("ascii")))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn behaves_like_an_ordered_set(
            scores in 1i32..2000,
            seed: u64,
            first in 0usize..6000,
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0usize..2500), 1..8),
        ) {
            let slots = Slots::new();
            let mut rng = fastrand::Rng::with_seed(seed);
            let elements = (0..first).map(|number| (rng.i32(0..scores), format!("member:{}", number % 977)));
            let (mut tree, mut model) = build(elements);
            prop_assert_eq!(tree.assert_invariants(&slots), model.len());
            for (place, amount) in changes {
                let all: Vec<(i32, String)> = model.iter().cloned().collect();
                let start = place.index(all.len() + 1);
                let end = (start + amount).min(all.len());
                prop_assert_eq!(&shown(tree.iter(start..end, &slots)), &all[start..end]);
                let mut back = shown(tree.iter_back(start..end, &slots));
                back.reverse();
                prop_assert_eq!(&back, &all[start..end]);
                if let Some((score, member)) = all.get(start) {
                    let place = |before| Place { score: f64::from(*score), before };
                    prop_assert_eq!(tree.rank_of(&place(Before::LowerThan(member.as_bytes())), &slots), start);
                    prop_assert_eq!(tree.rank_of(&place(Before::UpTo(member.as_bytes())), &slots), start + 1);
                    let below = all.iter().filter(|(other, _)| other < score).count();
                    prop_assert_eq!(tree.rank_of(&place(Before::Nothing), &slots), below);
                    let up_to = all.iter().filter(|(other, _)| other <= score).count();
                    prop_assert_eq!(tree.rank_of(&place(Before::Everything), &slots), up_to);
                }
                match amount % 3 {
                    0 => {
                        tree.remove_ranks(start..end);
                        all[start..end].iter().for_each(|element| { model.remove(element); });
                    }
                    1 => {
                        for (score, member) in &all[start..end] {
                            prop_assert!(tree.remove(f64::from(*score), member.as_bytes(), &slots));
                            prop_assert!(!tree.remove(f64::from(*score), member.as_bytes(), &slots));
                            model.remove(&(*score, member.clone()));
                        }
                    }
                    _ => {
                        for number in 0..amount {
                            let (score, member) = (rng.i32(0..scores), format!("added:{number}"));
                            if model.insert((score, member.clone())) {
                                tree.insert(
                                    f64::from(score),
                                    member.as_bytes(),
                                    Encoded::new(member.as_bytes()),
                                    &slots,
                                );
                            }
                        }
                    }
                }
                prop_assert_eq!(tree.assert_invariants(&slots), model.len());
            }
        }
    }

    #[test]
    fn ordered_input_fills_the_leaves() {
        let (ascending, _) = build((0..50_000).map(|number| (number, format!("member:{number}"))));
        let (descending, _) = build((0..50_000).rev().map(|number| (number, format!("member:{number}"))));
        let (equal, model) = build((0..50_000).map(|number| (0, format!("member:{number:06}"))));
        for tree in [&ascending, &descending, &equal] {
            assert_eq!(tree.assert_invariants(&Slots::new()), 50_000);
            assert!(tree.memory_bytes() / 50_000 < 20, "{}", tree.memory_bytes() / 50_000);
        }
        assert_eq!(shown(equal.iter(0..50_000, &Slots::new())), model.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_score_changes_in_place_or_moves() {
        let slots = Slots::new();
        let (mut tree, _) = build((0..200).map(|number| (number * 10, format!("m{number}"))));
        for (old, new, rank) in [(500, 509, 50), (509, 510, 50), (510, 3, 1), (3, 2000, 199)] {
            tree.rescore(f64::from(old), f64::from(new), b"m50", Encoded::new(b"m50"), &slots);
            assert_eq!(tree.assert_invariants(&slots), 200);
            assert_eq!(shown(tree.iter(rank..rank + 1, &slots)), [(new, "m50".to_owned())]);
        }
    }

    /// How many inner nodes are looked at on the way to a rank; each has at most [`FANOUT`] children.
    fn way_down(tree: &ScoreTree, rank: usize) -> usize {
        let mut path = Path::new();
        descend(&mut path, &tree.root, rank);
        path.len()
    }

    #[test]
    fn ranks_are_found_by_the_way_down_however_many_there_are() {
        const STEP: usize = 7_919;
        let slots = Slots::new();
        let mut tree = ScoreTree::new();
        let mut count = 0;
        for (size, most_nodes) in [(100, 0), (5_000, 1), (100_000, 2), (1_000_000, 3)] {
            while count < size {
                // Whole runs of ascending scores, one behind the other, between those that are there.
                let score = count * STEP % 1_000_003;
                let member = score.to_string();
                tree.insert(score as f64, member.as_bytes(), Encoded::new(member.as_bytes()), &slots);
                count += 1;
            }
            let mut scores: Vec<usize> = (0..size).map(|index| index * STEP % 1_000_003).collect();
            scores.sort_unstable();
            for rank in (0..size).step_by(size / 97 + 1).chain([size - 1]) {
                assert!(
                    way_down(&tree, rank) <= most_nodes,
                    "rank {rank} of {size}: {}",
                    way_down(&tree, rank)
                );
                let member = scores[rank].to_string();
                let place =
                    Place { score: scores[rank] as f64, before: Before::LowerThan(member.as_bytes()) };
                assert_eq!(tree.rank_of(&place, &slots), rank);
                let (found, score) =
                    tree.iter(rank..rank + 1, &slots).next().expect("a rank below the count");
                assert_eq!((&*found, score), (member.as_bytes(), scores[rank] as f64));
            }
        }
    }
}
