//! A leaf of the score tree: scores and members, ordered by score, then by the bytes of the member.
//!
//! The scores come first, all in the same width, so that they can be searched by halves: whole numbers as offsets of 0, 1, 2 or 4 bytes from
//! the leaf's smallest, anything else as doubles. Then come the members as [`super::entry`] writes them. Neighbours have
//! scores that are close, so most leaves need one or two bytes a score.

use std::cmp::Ordering;

use super::entry::{self, Element, Encoded, Raw};
use super::slots::Slots;
use super::thin::Thin;

/// The most members of a leaf.
pub(super) const MAX_LEAF: usize = 64;
/// A leaf with this few members is joined with a neighbour where that fits.
pub(super) const MIN_LEAF: usize = MAX_LEAF / 4;
/// Doubles beyond this may skip whole numbers: they are not kept as offsets.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
const DOUBLE_WIDTH: u8 = 8;

/// A place between the members of a sorted set: those before it have a lower score, or the same score and a member that the rule puts before.
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
    /// Those lower than this one.
    LowerThan(&'a [u8]),
    /// This one and those lower than it.
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

    /// The member the place is at, for comparing with it.
    #[inline]
    pub(super) fn member(&self) -> &[u8] {
        match self.before {
            Before::LowerThan(member) | Before::UpTo(member) => member,
            Before::Nothing | Before::Everything => &[],
        }
    }
}

/// The header of a leaf; its alignment keeps the block's own at four.
#[derive(Clone, Copy, Default)]
struct Header {
    /// The smallest score at the time the width was chosen, as the bytes of an `i64`; scores are offsets from it. Not used for doubles.
    base: [u8; 8],
    count: u16,
    /// How many bytes a score takes.
    width: u8,
}

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
        let width = usize::from(header.width);
        let bytes = &self.block.bytes()[index * width..][..width];
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(bytes);
        if header.width == DOUBLE_WIDTH {
            return f64::from_le_bytes(wide);
        }
        (i64::from_le_bytes(header.base) + i64::from_le_bytes(wide)) as f64
    }

    /// Where the members begin.
    #[inline]
    fn members_at(&self) -> usize {
        let header = self.block.header();
        usize::from(header.count) * usize::from(header.width)
    }

    /// The offset of a member; that of the count is the end.
    #[inline]
    fn member_offset(&self, index: usize) -> usize {
        let bytes = self.block.bytes();
        let mut offset = self.members_at();
        for _ in 0..index {
            offset += entry::size(&bytes[offset..]);
        }
        offset
    }

    /// The packed bytes from a member on.
    pub(super) fn members_from(&self, index: usize) -> &[u8] {
        &self.block.bytes()[self.member_offset(index)..]
    }

    pub(super) fn raw_member(&self, index: usize) -> Raw<'_> {
        entry::read(self.members_from(index)).0
    }

    /// How many elements are before the place.
    pub(super) fn rank_of(&self, place: &Place<'_>, slots: &Slots) -> usize {
        let header = self.block.header();
        let count = usize::from(header.count);
        let low = partition(0, count, |index| self.score_by(&header, index) < place.score);
        let high = match place.before {
            Before::Nothing => return low,
            _ => partition(low, count, |index| self.score_by(&header, index) == place.score),
        };
        if matches!(place.before, Before::Everything) || low == high {
            return high;
        }
        let mut rest = self.members_from(low);
        for index in low..high {
            let (raw, size) = entry::read(rest);
            if !place.is_after(place.score, || resolve(raw, slots).cmp(place.member())) {
                return index;
            }
            rest = &rest[size..];
        }
        high
    }

    /// Inserts an element at an index.
    pub(super) fn insert(&mut self, index: usize, score: f64, member: Encoded<'_>) {
        self.make_fit(score);
        let offset = self.member_offset(index);
        self.block.splice(offset, 0, &[member.head(), member.data()]);
        let mut header = self.block.header();
        if header.count == 0 {
            // The first bytes made the block, and its header with them.
            (header.base, header.width) = form_of(score, score);
        }
        let (bytes, width) = score_bytes(&header, score);
        self.block.splice(index * width, 0, &[&bytes[..width]]);
        self.block.set_header(Header { count: header.count + 1, ..header });
    }

    /// Gives an element another score that belongs at the same index.
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
        let from = self.member_offset(index);
        let bytes = self.block.bytes();
        let mut to = from;
        for _ in 0..count {
            to += entry::size(&bytes[to..]);
        }
        let width = usize::from(header.width);
        self.block.splice(from, to - from, &[]);
        self.block.splice(index * width, count * width, &[]);
        self.block.set_header(Header { count: header.count - count as u16, ..header });
    }

    /// Cuts off the elements from an index on and returns them. Both parts get the width they need.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let right = self.copy_of(index, self.len());
        *self = self.copy_of(0, index);
        right
    }

    /// Takes the elements of the next leaf behind its own.
    pub(super) fn append(&mut self, next: &Self) {
        let scores: Vec<f64> = (0..self.len()).map(|index| self.score(index)).chain((0..next.len()).map(|index| next.score(index))).collect();
        *self = Self::of(&scores, &[self.members_from(0), next.members_from(0)]);
    }

    fn copy_of(&self, from: usize, to: usize) -> Self {
        let scores: Vec<f64> = (from..to).map(|index| self.score(index)).collect();
        let members = &self.block.bytes()[self.member_offset(from)..self.member_offset(to)];
        Self::of(&scores, &[members])
    }

    /// A leaf of ordered scores and as many members, packed.
    fn of(scores: &[f64], members: &[&[u8]]) -> Self {
        let (Some(first), Some(last)) = (scores.first(), scores.last()) else {
            return Self::new();
        };
        let (base, width) = narrowest(scores, *first, *last);
        let header = Header { base, count: scores.len() as u16, width };
        let mut leaf = Self::new();
        for part in members {
            leaf.block.splice(leaf.block.len(), 0, &[part]);
        }
        let packed = pack(&header, scores.iter().copied());
        leaf.block.splice(0, 0, &[&packed]);
        leaf.block.set_header(header);
        leaf
    }

    /// Sees to it that the scores have a width in which `score` can be written.
    fn make_fit(&mut self, score: f64) {
        let header = self.block.header();
        if header.count == 0 || fits(&header, score) {
            return;
        }
        let scores: Vec<f64> = (0..self.len()).map(|index| self.score_by(&header, index)).collect();
        let (first, last) = (scores.first().copied().unwrap_or(score), scores.last().copied().unwrap_or(score));
        let (base, width) = if is_whole(score) { narrowest(&scores, first.min(score), last.max(score)) } else { ([0; 8], DOUBLE_WIDTH) };
        let wider = Header { base, width, ..header };
        let packed = pack(&wider, scores.into_iter());
        self.block.splice(0, self.members_at(), &[&packed]);
        self.block.set_header(wider);
    }

    /// Checks the representation; for tests.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self, slots: &Slots) {
        assert!(self.len() <= MAX_LEAF);
        assert_eq!(self.len() == 0, self.block.len() == 0);
        let mut rest = self.members_from(0);
        let mut before: Option<(f64, Vec<u8>)> = None;
        for index in 0..self.len() {
            let (raw, size) = entry::read(rest);
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

/// The member of an element.
#[inline]
pub(super) fn resolve<'a>(raw: Raw<'a>, slots: &'a Slots) -> Element<'a> {
    match raw {
        Raw::Slot(slot) => Element::Bytes(slots.get(slot)),
        raw => Element::from(raw),
    }
}

/// The first index of a range that is not before, when all that are before come first.
#[inline]
pub(super) fn partition(mut low: usize, mut high: usize, is_before: impl Fn(usize) -> bool) -> usize {
    while low < high {
        let middle = low.midpoint(high);
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
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

fn pack(header: &Header, scores: impl Iterator<Item = f64>) -> Vec<u8> {
    let mut packed = Vec::with_capacity(MAX_LEAF * usize::from(header.width));
    for score in scores {
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
        fn behaves_like_a_sorted_vec(steps in proptest::collection::vec((score(), "[a-c]{0,3}", any::<bool>(), any::<proptest::sample::Index>()), 1..MAX_LEAF)) {
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
                    prop_assert_eq!(index, model.iter().filter(|(other, name)| *other < score || *other == score && *name < member).count());
                    let up_to = Place { score, before: Before::UpTo(member.as_bytes()) };
                    let there = leaf.rank_of(&up_to, &slots) > index;
                    prop_assert_eq!(there, model.get(index).is_some_and(|(other, name)| *other == score && *name == member));
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
        // One byte a score but the first leaf's base is the first score; two bytes a member.
        assert_eq!(leaf.block.len(), 10 * 3);
        leaf.set_score(9, 1_700_000_000_009.5);
        assert_eq!(leaf.block.len(), 10 * 10);
        assert_eq!((leaf.score(8), leaf.score(9)), (1_700_000_000_008.0, 1_700_000_000_009.5));
        assert_eq!(size_of::<Leaf>(), 8);
    }
}
