//! A leaf of the score tree: scores and members, ordered by score, then by the bytes of the member.
//!
//! The scores come first, all in the same width, for bisection: whole numbers as offsets of 0, 1, 2 or 4
//! bytes from the leaf's smallest, other scores as doubles. Neighbours have close scores, so most leaves need
//! one or two bytes a score. Then come a row with the size of each member, a byte each, and the members in
//! the encoding of [`crate::types::packed::entry`].

use std::cmp::Ordering;
use std::ops::Range;

use smallvec::SmallVec;

use crate::primitives::thin::Thin;
use crate::types::packed::entry::{self, Element, Encoded, Raw};
use crate::types::packed::slots::Slots;

/// Most members of a leaf.
pub(super) const MAX_LEAF: usize = 128;
/// A leaf with this few members is joined with a neighbour where that fits.
pub(super) const MIN_LEAF: usize = MAX_LEAF / 4;
/// Largest whole number kept as an offset: 2^52, so that one more is still exact as a double.
const MAX_WHOLE: f64 = 4_503_599_627_370_496.0;
const DOUBLE_WIDTH: u8 = 8;

/// A place between the members of a sorted set. Members before it have a lower score, or the same score and
/// come before by the rule `before`.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The score at the place.
    pub score: f64,
    /// Which members of that score are before it.
    pub before: Before<'a>,
}

/// Which members of one score are before a place.
#[derive(Clone, Copy, Debug)]
pub enum Before<'a> {
    /// None of them.
    Nothing,
    /// Members lower than this one.
    LowerThan(&'a [u8]),
    /// This member and lower ones.
    UpTo(&'a [u8]),
    /// All of them.
    Everything,
}

impl Place<'_> {
    /// Whether an element is before the place.
    #[inline]
    pub(super) fn is_after(&self, score: f64, member: impl FnOnce() -> Ordering) -> bool {
        if score != self.score {
            return score < self.score;
        }
        match self.before {
            Before::Nothing => false,
            Before::Everything => true,
            Before::LowerThan(_) => member() == Ordering::Less,
            Before::UpTo(_) => member() != Ordering::Greater,
        }
    }

    /// The member to compare with; empty where none is needed.
    #[inline]
    pub(super) fn member(&self) -> &[u8] {
        match self.before {
            Before::LowerThan(member) | Before::UpTo(member) => member,
            Before::Nothing | Before::Everything => &[],
        }
    }
}

/// Header of a leaf; its alignment keeps that of the block at four.
#[derive(Clone, Copy, Default)]
struct Header {
    /// Smallest score when the width was chosen, as the bytes of an `i64`; scores are offsets from it. Unused
    /// for doubles.
    base: [u8; 8],
    count: u16,
    /// Bytes of a score: 0, 1, 2, 4, or 8 for doubles.
    width: u8,
}

/// Scores of a leaf that is being written anew.
type Scores = SmallVec<[f64; MAX_LEAF]>;

/// The leaf. One word.
#[derive(Clone, Default)]
pub(super) struct Leaf {
    block: Thin<Header>,
}

impl Leaf {
    pub(super) const fn new() -> Self {
        Self { block: Thin::new() }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.block.header().count)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.block.memory_bytes()
    }

    #[inline]
    pub(super) fn score(&self, index: usize) -> f64 {
        let header = self.block.header();
        self.score_by(&header, index)
    }

    #[inline]
    fn score_by(&self, header: &Header, index: usize) -> f64 {
        let bytes = self.block.bytes();
        let offset = match header.width {
            0 => 0,
            1 => i64::from(bytes[index]),
            2 => i64::from(u16::from_le_bytes(bytes.as_chunks().0[index])),
            4 => i64::from(u32::from_le_bytes(bytes.as_chunks().0[index])),
            _ => return f64::from_le_bytes(bytes.as_chunks().0[index]),
        };
        (i64::from_le_bytes(header.base) + offset) as f64
    }

    /// Number of scores lower than `score`, or with `inclusive` not higher.
    #[inline]
    fn scores_below(&self, header: &Header, score: f64, inclusive: bool) -> usize {
        let count = usize::from(header.count);
        let bytes = &self.block.bytes()[..count * usize::from(header.width)];
        if header.width == DOUBLE_WIDTH {
            let is_below = |&bytes: &[u8; 8]| {
                let other = f64::from_le_bytes(bytes);
                other < score || inclusive && other == score
            };
            return bytes.as_chunks().0.partition_point(is_below);
        }
        // Scores here are whole numbers, so the bound is made whole too. Conversions of what is out of range
        // saturate.
        let limit = if inclusive { score.floor() + 1.0 } else { score.ceil() };
        let limit = (limit as i64).saturating_sub(i64::from_le_bytes(header.base));
        let Ok(limit) = u64::try_from(limit) else {
            return 0;
        };
        match header.width {
            0 => {
                if limit > 0 {
                    count
                } else {
                    0
                }
            }
            1 => bytes.partition_point(|&offset| u64::from(offset) < limit),
            2 => bytes.as_chunks().0.partition_point(|&offset| u64::from(u16::from_le_bytes(offset)) < limit),
            _ => bytes.as_chunks().0.partition_point(|&offset| u64::from(u32::from_le_bytes(offset)) < limit),
        }
    }

    /// Offset of a member; for the number of members the end.
    #[inline]
    pub(super) fn member_offset(&self, index: usize) -> usize {
        let header = self.block.header();
        let count = usize::from(header.count);
        let sizes_at = count * usize::from(header.width);
        let sizes = &self.block.bytes()[sizes_at..sizes_at + index];
        sizes_at + count + sizes.iter().map(|&size| u32::from(size)).sum::<u32>() as usize
    }

    /// The packed bytes from a member on.
    #[inline]
    pub(super) fn members_from(&self, index: usize) -> &[u8] {
        &self.block.bytes()[self.member_offset(index)..]
    }

    /// The member at an index, given the offset where its bytes end, and the offset where they begin.
    #[inline]
    pub(super) fn member_back(&self, index: usize, end: usize) -> (Raw<'_>, usize) {
        let start = end - self.sizes(index..index + 1).iter().map(|&size| usize::from(size)).sum::<usize>();
        (entry::read(&self.block.bytes()[start..]).0, start)
    }

    pub(super) fn raw_member(&self, index: usize) -> Raw<'_> {
        entry::read(self.members_from(index)).0
    }

    /// Number of elements before the place.
    pub(super) fn rank_of(&self, place: &Place<'_>, slots: &Slots) -> usize {
        let header = self.block.header();
        if matches!(place.before, Before::Everything) {
            return self.scores_below(&header, place.score, true);
        }
        let low = self.scores_below(&header, place.score, false);
        let count = usize::from(header.count);
        if matches!(place.before, Before::Nothing)
            || low == count
            || self.score_by(&header, low) != place.score
        {
            return low;
        }
        let mut rest = self.members_from(low);
        for index in low..count {
            let (raw, size) = entry::read(rest);
            if !place.is_after(self.score_by(&header, index), || resolve(raw, slots).cmp(place.member())) {
                return index;
            }
            rest = &rest[size..];
        }
        count
    }

    /// Inserts an element at an index.
    pub(super) fn insert(&mut self, index: usize, score: f64, member: Encoded<'_>) {
        if self.len() == 0 {
            *self = Self::of(&[score], &[member.len() as u8], &[member.head(), member.data()]);
            return;
        }
        self.make_fit(score);
        let header = self.block.header();
        let (bytes, width) = score_bytes(&header, score);
        let member_at = self.member_offset(index);
        self.block.insert_many([
            (index * width, &bytes[..width]),
            (usize::from(header.count) * width + index, &[member.len() as u8]),
            (member_at, member.head()),
            (member_at, member.data()),
        ]);
        self.block.set_header(Header { count: header.count + 1, ..header });
    }

    /// Changes the score of an element whose index stays the same.
    pub(super) fn set_score(&mut self, index: usize, score: f64) {
        self.make_fit(score);
        let (bytes, width) = score_bytes(&self.block.header(), score);
        self.block.bytes_mut()[index * width..][..width].copy_from_slice(&bytes[..width]);
    }

    /// Removes `count` elements from an index on.
    pub(super) fn remove(&mut self, index: usize, count: usize) {
        let header = self.block.header();
        if count >= usize::from(header.count) {
            self.block.clear();
            return;
        }
        let (from, to) = (self.member_offset(index), self.member_offset(index + count));
        let width = usize::from(header.width);
        let sizes_at = usize::from(header.count) * width;
        self.block.remove_many([
            (index * width, count * width),
            (sizes_at + index, count),
            (from, to - from),
        ]);
        self.block.set_header(Header { count: header.count - count as u16, ..header });
    }

    /// Splits off the elements from an index on. Both parts choose their width anew.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let right = self.copy_of(index, self.len());
        *self = self.copy_of(0, index);
        right
    }

    /// Appends the elements of the next leaf.
    pub(super) fn append(&mut self, next: &Self) {
        let scores: Scores = self.scores(0..self.len()).chain(next.scores(0..next.len())).collect();
        let sizes = [self.sizes(0..self.len()), next.sizes(0..next.len())].concat();
        *self = Self::of(&scores, &sizes, &[self.members_from(0), next.members_from(0)]);
    }

    fn copy_of(&self, from: usize, to: usize) -> Self {
        let scores: Scores = self.scores(from..to).collect();
        let members = &self.block.bytes()[self.member_offset(from)..self.member_offset(to)];
        Self::of(&scores, self.sizes(from..to), &[members])
    }

    fn scores(&self, range: Range<usize>) -> impl Iterator<Item = f64> {
        let header = self.block.header();
        range.map(move |index| self.score_by(&header, index))
    }

    fn sizes(&self, range: Range<usize>) -> &[u8] {
        let header = self.block.header();
        let sizes_at = usize::from(header.count) * usize::from(header.width);
        &self.block.bytes()[sizes_at + range.start..sizes_at + range.end]
    }

    /// Makes a leaf of ordered scores, the sizes of as many members, and their packed bytes.
    fn of(scores: &[f64], sizes: &[u8], members: &[&[u8]]) -> Self {
        let (Some(first), Some(last)) = (scores.first(), scores.last()) else {
            return Self::new();
        };
        let (base, width) = narrowest(scores, *first, *last);
        let header = Header { base, count: scores.len() as u16, width };
        let packed = pack(&header, scores);
        let pieces: SmallVec<[&[u8]; 4]> =
            [&packed[..], sizes].into_iter().chain(members.iter().copied()).collect();
        let mut leaf = Self::new();
        leaf.block.splice(0, 0, &pieces);
        leaf.block.set_header(header);
        leaf
    }

    /// Rewrites the scores if `score` does not fit their width.
    fn make_fit(&mut self, score: f64) {
        let header = self.block.header();
        if header.count == 0 || fits(&header, score) {
            return;
        }
        let scores: Scores = self.scores(0..self.len()).collect();
        let (first, last) =
            (scores.first().copied().unwrap_or(score), scores.last().copied().unwrap_or(score));
        let (base, width) = if is_whole(score) {
            narrowest(&scores, first.min(score), last.max(score))
        } else {
            ([0; 8], DOUBLE_WIDTH)
        };
        let wider = Header { base, width, ..header };
        let packed = pack(&wider, &scores);
        self.block.splice(0, usize::from(header.count) * usize::from(header.width), &[&packed]);
        self.block.set_header(wider);
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self, slots: &Slots) {
        assert!(self.len() <= MAX_LEAF);
        assert_eq!(self.len() == 0, self.block.len() == 0);
        let mut rest = self.members_from(0);
        let mut before: Option<(f64, Vec<u8>)> = None;
        for index in 0..self.len() {
            let (raw, size) = entry::read(rest);
            assert_eq!(usize::from(self.sizes(index..index + 1)[0]), size);
            let member = resolve(raw, slots).to_vec();
            let score = self.score(index);
            if let Some((lower, lower_member)) = &before {
                assert!(*lower < score || *lower == score && *lower_member < member, "in order");
            }
            before = Some((score, member));
            rest = &rest[size..];
        }
        assert!(rest.is_empty());
    }
}

/// The bytes of a member, from its slot if it is long.
#[inline]
pub(super) fn resolve<'a>(raw: Raw<'a>, slots: &'a Slots) -> Element<'a> {
    match raw {
        Raw::Slot(slot) => Element::Bytes(slots.get(slot)),
        raw => Element::from(raw),
    }
}

/// Whether a score can be kept as a whole number and read back as the same double.
#[inline]
pub(super) fn is_whole(score: f64) -> bool {
    score.abs() <= MAX_WHOLE && score.trunc() == score && !(score == 0.0 && score.is_sign_negative())
}

/// The base and width in which whole scores from `first` to `last` can be written.
fn form_of(first: f64, last: f64) -> ([u8; 8], u8) {
    if !is_whole(first) || !is_whole(last) {
        return ([0; 8], DOUBLE_WIDTH);
    }
    let span = last - first;
    let width = if span == 0.0 {
        0
    } else if span <= f64::from(u8::MAX) {
        1
    } else if span <= f64::from(u16::MAX) {
        2
    } else if span <= f64::from(u32::MAX) {
        4
    } else {
        return ([0; 8], DOUBLE_WIDTH);
    };
    ((first as i64).to_le_bytes(), width)
}

fn narrowest(scores: &[f64], first: f64, last: f64) -> ([u8; 8], u8) {
    if scores.iter().all(|&score| is_whole(score)) { form_of(first, last) } else { ([0; 8], DOUBLE_WIDTH) }
}

fn fits(header: &Header, score: f64) -> bool {
    if header.width == DOUBLE_WIDTH {
        return true;
    }
    let offset = score - i64::from_le_bytes(header.base) as f64;
    is_whole(score) && offset >= 0.0 && offset < (1u64 << (8 * u32::from(header.width))) as f64
}

#[inline]
fn score_bytes(header: &Header, score: f64) -> ([u8; 8], usize) {
    if header.width == DOUBLE_WIDTH {
        return (score.to_le_bytes(), 8);
    }
    ((score as i64 - i64::from_le_bytes(header.base)).to_le_bytes(), usize::from(header.width))
}

fn pack(header: &Header, scores: &[f64]) -> SmallVec<[u8; MAX_LEAF * 8]> {
    let mut packed = SmallVec::new();
    for &score in scores {
        let (bytes, width) = score_bytes(header, score);
        packed.extend_from_slice(&bytes[..width]);
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn score() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-5i32..5).prop_map(f64::from),
            2 => any::<i32>().prop_map(f64::from),
            1 => any::<i64>().prop_map(|value| value as f64),
            1 => (-100i32..100).prop_map(|value| f64::from(value) / 8.0),
            1 => proptest::sample::select(vec![f64::INFINITY, f64::NEG_INFINITY, 0.0, 9e15, -9e15]),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_vec(
            steps in proptest::collection::vec(
                (score(), "[a-c]{0,3}", any::<bool>(), any::<proptest::sample::Index>()),
                1..MAX_LEAF,
            ),
        ) {
            let slots = Slots::new();
            let mut leaf = Leaf::new();
            let mut model: Vec<(f64, String)> = Vec::new();
            for (score, member, remove, place) in steps {
                if remove && !model.is_empty() {
                    let index = place.index(model.len());
                    let count = (model.len() - index).min(2);
                    leaf.remove(index, count);
                    model.drain(index..index + count);
                } else {
                    let place = Place { score, before: Before::LowerThan(member.as_bytes()) };
                    let index = leaf.rank_of(&place, &slots);
                    prop_assert_eq!(
                        index,
                        model
                            .iter()
                            .filter(|(other, name)| *other < score || *other == score && *name < member)
                            .count()
                    );
                    let up_to = Place { score, before: Before::UpTo(member.as_bytes()) };
                    let there = leaf.rank_of(&up_to, &slots) > index;
                    prop_assert_eq!(
                        there,
                        model.get(index).is_some_and(|(other, name)| *other == score && *name == member)
                    );
                    if !there {
                        leaf.insert(index, score, Encoded::new(member.as_bytes()));
                        model.insert(index, (score, member));
                    }
                }
                leaf.assert_invariants(&slots);
                prop_assert_eq!(leaf.len(), model.len());
                for (index, (score, member)) in model.iter().enumerate() {
                    prop_assert_eq!(leaf.score(index), *score);
                    prop_assert_eq!(&*resolve(leaf.raw_member(index), &slots), member.as_bytes());
                }
                let everything = leaf.rank_of(&Place { score, before: Before::Everything }, &slots);
                prop_assert_eq!(everything, model.iter().filter(|(other, _)| *other <= score).count());
            }
            let middle = model.len() / 2;
            let right = leaf.split_off(middle);
            prop_assert_eq!((leaf.len(), right.len()), (middle, model.len() - middle));
            leaf.append(&right);
            leaf.assert_invariants(&slots);
            prop_assert!((0..leaf.len()).map(|index| leaf.score(index)).eq(model.iter().map(|(score, _)| *score)));
        }
    }

    #[test]
    fn close_scores_take_few_bytes() {
        let mut leaf = Leaf::new();
        for index in 0..10 {
            leaf.insert(index, 1_700_000_000_000.0 + index as f64, Encoded::new(b"a"));
        }
        // A byte for the score, one for the size, two for the member.
        assert_eq!(leaf.block.len(), 10 * 4);
        leaf.set_score(9, 1_700_000_000_009.5);
        assert_eq!(leaf.block.len(), 10 * 11);
        assert_eq!((leaf.score(8), leaf.score(9)), (1_700_000_000_008.0, 1_700_000_000_009.5));
        assert_eq!(size_of::<Leaf>(), 8);
    }
}
