//! The sorted set: small ones are a [`Packed`] list of members and scores in order, large ones a table from
//! member to score and a [`ScoreTree`] that holds the members in order.
//!
//! Ranges of every kind become ranges of ranks first ([`ZSet::score_range`], [`ZSet::lex_range`]), so
//! counting needs no walk. Both halves of a large set hold the bytes of short members: a table entry and a
//! leaf entry together are smaller than one node of a skip list, and a range reads only leaves. Long members
//! are kept once.

mod leaf;
mod tree;

use std::ops::Range;

use smallvec::SmallVec;

use crate::alloc::box_bytes;
use crate::primitives::occupancy::Occupancy;
use crate::primitives::thin::Owned;
use crate::types::packed::entry::{Element, Encoded, Raw};
use crate::types::packed::freeze::Reading;
use crate::types::packed::table::{FieldTable, MemberTable};
use crate::types::packed::{self, Packed, Position};
pub use leaf::{Before, Place};
use leaf::{MAX_LEAF, is_whole};
use tree::ScoreTree;

/// Number of elements of a range that are removed at a time, which bounds how many names are copied at once.
const REMOVAL_CHUNK: usize = 512;

/// When a sorted set changes its encoding; the directives `zset-max-...` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZSetLimits {
    /// The most members of a listpack.
    pub max_listpack_entries: usize,
    /// The longest member of a listpack, in bytes.
    pub max_listpack_value: usize,
}

impl Default for ZSetLimits {
    fn default() -> Self {
        Self { max_listpack_entries: 128, max_listpack_value: 64 }
    }
}

/// One end of a range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScoreBound {
    /// The score itself is in the range.
    Inclusive(f64),
    /// The score itself is not in the range.
    Exclusive(f64),
}

/// One end of a range of members of one score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Lower than any member: `-`.
    Lowest,
    /// Higher than any member: `+`.
    Highest,
    /// The member itself is in the range: `[`.
    Inclusive(&'a [u8]),
    /// The member itself is not in the range: `(`.
    Exclusive(&'a [u8]),
}

/// The sorted set. Nine bytes in size. Scores are never NaN: callers refuse it.
#[derive(Default)]
pub struct ZSet {
    form: Form,
}

enum Form {
    Packed(Packed),
    Tree(Owned<Large>),
}

impl Default for Form {
    fn default() -> Self {
        Self::Packed(Packed::new())
    }
}

struct Large {
    scores: FieldTable,
    order: ScoreTree,
}

impl ZSet {
    /// An empty sorted set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes to the encoding of large sets at once when so many members, or one so long, are about to be
    /// added.
    pub fn expect(&mut self, size_hint: usize, longest: usize, limits: &ZSetLimits) {
        if size_hint > limits.max_listpack_entries || longest > limits.max_listpack_value {
            self.large();
        }
    }

    /// Changes to the encoding of small sets if the limits allow it: for a set that was built as the result
    /// of a command.
    pub fn compact(&mut self, limits: &ZSetLimits) {
        let Form::Tree(large) = &self.form else {
            return;
        };
        let mut list = Packed::new();
        if large.scores.len() > limits.max_listpack_entries {
            return;
        }
        for (member, score) in large.iter(0..large.scores.len()) {
            if member.len() > limits.max_listpack_value || !list.has_room(member.len()) {
                return;
            }
            list.insert_with_raw(list.end(), &member, ScoreForm::of(score).encoded());
        }
        self.form = Form::Packed(list);
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Packed(list) => list.len() / 2,
            Form::Tree(large) => large.scores.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Prefetches the cache line that a lookup reads first; only tables have one. For a batch of commands,
    /// before they run.
    pub fn prefetch(&self, member: &[u8]) {
        if let Form::Tree(large) = &self.form {
            large.scores.prefetch(member);
        }
    }

    /// Occupancy of the hash table, if there is one (DEBUG HTSTATS-KEY).
    pub fn occupancy(&self) -> Option<Occupancy> {
        match &self.form {
            Form::Packed(_) => None,
            Form::Tree(large) => Some(large.scores.occupancy()),
        }
    }

    /// The word that OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        match self.form {
            Form::Packed(_) => "listpack",
            Form::Tree(_) => "skiplist",
        }
    }

    /// Bytes that the set takes from the allocator, its own nine bytes not included. Visits every node of a
    /// large set's order.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Packed(list) => list.memory_bytes(),
            Form::Tree(large) => {
                box_bytes::<Large>() + large.scores.memory_bytes() + large.order.memory_bytes()
            }
        }
    }

    /// About how many nodes the order of a large set has; 0 for a small one.
    pub fn node_count(&self) -> usize {
        match &self.form {
            Form::Packed(_) => 0,
            Form::Tree(large) => large.scores.len() / (MAX_LEAF / 2),
        }
    }

    /// The score of a member; `None` if it is not there.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.form {
            Form::Packed(list) => score_at(list, list.find(member, 2)?),
            Form::Tree(large) => large.scores.get_raw(member).map(read_score),
        }
    }

    /// Sets a member's score and returns the old one. An equal score changes nothing: of 0 and -0 the first
    /// one stays. The packed form does not keep the sign of a zero, as a listpack does not.
    pub fn set(&mut self, member: &[u8], score: f64, limits: &ZSetLimits) -> Option<f64> {
        let list = match &mut self.form {
            Form::Tree(large) => return large.set(member, score),
            Form::Packed(list) => list,
        };
        if let Some(position) = list.find(member, 2) {
            let old = score_at(list, position);
            if old != Some(score) {
                list.remove(position, 2);
                insert_packed(list, member, score + 0.0);
            }
            return old;
        }
        if list.len() / 2 >= limits.max_listpack_entries
            || member.len() > limits.max_listpack_value
            || !list.has_room(member.len())
        {
            return self.large().set(member, score);
        }
        insert_packed(list, member, score + 0.0);
        None
    }

    /// Removes a member and returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.form {
            Form::Packed(list) => {
                let position = list.find(member, 2)?;
                let score = score_at(list, position);
                list.remove(position, 2);
                score
            }
            Form::Tree(large) => {
                let large = &mut **large;
                let score = large.scores.get_raw(member).map(read_score)?;
                large.order.remove(score, member, large.scores.slots());
                large.scores.remove(member);
                Some(score)
            }
        }
    }

    /// Rank of a member (members before it), and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match &self.form {
            Form::Packed(list) => {
                let position = list.find(member, 2)?;
                Some((position.index / 2, score_at(list, position)?))
            }
            Form::Tree(large) => {
                let score = large.scores.get_raw(member).map(read_score)?;
                let place = Place { score, before: Before::LowerThan(member) };
                Some((large.order.rank_of(&place, large.scores.slots()), score))
            }
        }
    }

    /// Number of members before a place.
    pub fn rank_of(&self, place: &Place<'_>) -> usize {
        match &self.form {
            Form::Packed(list) => packed_rank_of(list, place).index / 2,
            Form::Tree(large) => large.order.rank_of(place, large.scores.slots()),
        }
    }

    /// The member at an index; `None` beyond the end.
    pub fn get(&self, rank: usize) -> Option<(Element<'_>, f64)> {
        self.iter_ranks(rank..rank.saturating_add(1)).next()
    }

    /// Ranks of the members with a score from `min` to `max`.
    pub fn score_range(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        let (ScoreBound::Inclusive(low) | ScoreBound::Exclusive(low)) = min;
        let (ScoreBound::Inclusive(high) | ScoreBound::Exclusive(high)) = max;
        let before = match min {
            ScoreBound::Inclusive(_) => Before::Nothing,
            ScoreBound::Exclusive(_) => Before::Everything,
        };
        let start = self.rank_of(&Place { score: low, before });
        let before = match max {
            ScoreBound::Inclusive(_) => Before::Everything,
            ScoreBound::Exclusive(_) => Before::Nothing,
        };
        let end = self.rank_of(&Place { score: high, before });
        start..end.max(start)
    }

    /// Ranks of the members from `min` to `max`, for a set whose members all have the same score. For other
    /// sets the result is undefined, as in Redis.
    pub fn lex_range(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        let score = self.get(0).map_or(0.0, |(_, score)| score);
        let rank_of = |before| self.rank_of(&Place { score, before });
        let start = match min {
            LexBound::Lowest => 0,
            LexBound::Highest => self.len(),
            LexBound::Inclusive(member) => rank_of(Before::LowerThan(member)),
            LexBound::Exclusive(member) => rank_of(Before::UpTo(member)),
        };
        let end = match max {
            LexBound::Lowest => 0,
            LexBound::Highest => self.len(),
            LexBound::Inclusive(member) => rank_of(Before::UpTo(member)),
            LexBound::Exclusive(member) => rank_of(Before::LowerThan(member)),
        };
        start..end.max(start)
    }

    /// The members with their scores, the lowest first.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_ranks(0..self.len())
    }

    /// The members of a range of ranks with their scores, the lowest first.
    pub fn iter_ranks(&self, ranks: Range<usize>) -> Iter<'_> {
        let ranks = self.within(ranks);
        Iter {
            form: match &self.form {
                Form::Packed(list) => {
                    let from = list.skip(list.start(), 2 * ranks.start);
                    IterForm::Packed(list.iter_from(from), ranks.len())
                }
                Form::Tree(large) => IterForm::Tree(large.iter(ranks)),
            },
        }
    }

    /// The members of a range of ranks, lowest first, for writing into a reply; `None` unless the set is
    /// packed.
    pub fn pieces(&self, ranks: Range<usize>) -> Option<packed::Pieces<'_>> {
        let ranks = self.within(ranks);
        match &self.form {
            Form::Packed(list) => Some(list.pieces(list.skip(list.start(), 2 * ranks.start), 2, ranks.len())),
            Form::Tree(_) => None,
        }
    }

    /// The members of a range of ranks with their scores, the highest first.
    pub fn iter_ranks_back(&self, ranks: Range<usize>) -> IterBack<'_> {
        let ranks = self.within(ranks);
        IterBack {
            form: match &self.form {
                Form::Packed(list) => {
                    let mut position = list.skip(list.start(), 2 * ranks.start);
                    let positions = ranks.map(|_| {
                        let next = list.skip(position, 2);
                        std::mem::replace(&mut position, next)
                    });
                    IterBackForm::Packed(list, positions.collect())
                }
                Form::Tree(large) => IterBackForm::Tree(large.order.iter_back(ranks, large.scores.slots())),
            },
        }
    }

    /// Removes the members of a range of ranks and hands each to `visit`, in no particular order.
    pub fn remove_ranks(&mut self, ranks: Range<usize>, mut visit: impl FnMut(&[u8], f64)) {
        let ranks = self.within(ranks);
        match &mut self.form {
            Form::Packed(list) => {
                let from = list.skip(list.start(), 2 * ranks.start);
                let mut pairs = list.iter_from(from);
                for _ in ranks.clone() {
                    if let (Some(member), Some(score)) = (pairs.next(), pairs.next_raw()) {
                        visit(&member, read_score(score));
                    }
                }
                list.remove(from, 2 * ranks.len());
            }
            Form::Tree(large) => {
                let mut end = ranks.end;
                while end > ranks.start {
                    let chunk = end.saturating_sub(REMOVAL_CHUNK).max(ranks.start)..end;
                    end = chunk.start;
                    large.remove_chunk(chunk, &mut visit);
                }
            }
        }
    }

    /// Removes the member with the lowest score.
    pub fn pop_min(&mut self) -> Option<(Vec<u8>, f64)> {
        self.pop(0)
    }

    /// Removes the member with the highest score.
    pub fn pop_max(&mut self) -> Option<(Vec<u8>, f64)> {
        self.pop(self.len().checked_sub(1)?)
    }

    /// A member with its score, each with the same probability.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<(Element<'_>, f64)> {
        if self.is_empty() {
            return None;
        }
        self.get(rng.usize(..self.len()))
    }

    /// Calls `visit` with `count` different members, each choice with the same probability; with all members
    /// when there are fewer.
    pub fn random_distinct(&self, count: usize, rng: &mut fastrand::Rng, mut visit: impl FnMut(&[u8], f64)) {
        let len = self.len();
        if matches!(self.form, Form::Tree(_)) && count < len / 8 {
            let mut chosen = MemberTable::new(rng.u64(..));
            while chosen.len() < count {
                let Some((member, score)) = self.random(rng) else {
                    return;
                };
                if chosen.insert(&member) {
                    visit(&member, score);
                }
            }
            return;
        }
        let mut wanted = count.min(len);
        for (passed, (member, score)) in self.iter().enumerate() {
            if wanted == 0 {
                return;
            }
            if rng.usize(..len - passed) < wanted {
                wanted -= 1;
                visit(&member, score);
            }
        }
    }

    /// Calls `visit` with some members and their scores and returns the cursor for the next call; 0 begins
    /// and ends. A small set is visited whole. A member that is present from the first call to the last is
    /// visited, whatever is added, removed and scored anew between them.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        if let Form::Tree(large) = &self.form {
            return large.scores.scan_raw(cursor, count, |member, score| visit(&member, read_score(score)));
        }
        self.iter().for_each(|(member, score)| visit(&member, score));
        0
    }

    /// Whether it has the form of large sorted sets, which [`freeze`](Self::freeze) needs.
    pub fn is_table(&self) -> bool {
        matches!(self.form, Form::Tree(_))
    }

    /// Marks the instant whose members [`read_frozen`](Self::read_frozen) returns. Only for the large form.
    pub fn freeze(&mut self, reading: Reading) {
        if let Form::Tree(large) = &mut self.form {
            large.scores.freeze(reading);
        }
    }

    /// The number of the reading that is going on.
    pub fn reading(&self) -> Option<u64> {
        if let Form::Tree(large) = &self.form { large.scores.reading() } else { None }
    }

    /// Ends a reading that nobody wants any more.
    pub fn thaw(&mut self) {
        if let Form::Tree(large) = &mut self.form {
            large.scores.thaw();
        }
    }

    /// Calls `visit` with about `count` more of the members of the instant and their scores, in no particular
    /// order. Returns whether that was all.
    pub fn read_frozen(&mut self, count: usize, mut visit: impl FnMut(&[u8], f64)) -> bool {
        match &mut self.form {
            Form::Tree(large) => {
                let visit = |member: Element<'_>, score: Raw<'_>, _| visit(&member, read_score(score));
                large.scores.read_frozen(count, |_| None, visit)
            }
            Form::Packed(_) => true,
        }
    }

    fn pop(&mut self, rank: usize) -> Option<(Vec<u8>, f64)> {
        let (member, score) = self.get(rank)?;
        let member = member.to_vec();
        match &mut self.form {
            Form::Packed(list) => list.remove(list.skip(list.start(), 2 * rank), 2),
            Form::Tree(large) => {
                large.order.remove_ranks(rank..rank + 1);
                large.scores.remove(&member);
            }
        }
        Some((member, score))
    }

    fn within(&self, ranks: Range<usize>) -> Range<usize> {
        let end = ranks.end.min(self.len());
        ranks.start.min(end)..end
    }

    /// The set as a table and a tree, into which a packed one is changed.
    fn large(&mut self) -> &mut Large {
        if let Form::Packed(_) = &self.form {
            let mut large = Large::new();
            for (member, score) in self.iter() {
                large.set(&member, score);
            }
            self.form = Form::Tree(large);
        }
        match &mut self.form {
            Form::Tree(large) => large,
            Form::Packed(_) => unreachable!("made large above"),
        }
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    fn assert_invariants(&self) {
        match &self.form {
            Form::Packed(list) => {
                list.assert_invariants();
                assert_eq!(list.len() % 2, 0);
                let all: Vec<(f64, Vec<u8>)> =
                    self.iter().map(|(member, score)| (score, member.to_vec())).collect();
                assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "in order");
            }
            Form::Tree(large) => {
                large.scores.assert_invariants();
                assert_eq!(large.order.assert_invariants(large.scores.slots()), large.scores.len());
                for (member, score) in self.iter() {
                    assert_eq!(self.score(&member), Some(score));
                }
            }
        }
    }
}

impl Clone for ZSet {
    fn clone(&self) -> Self {
        let form = match &self.form {
            Form::Packed(list) => Form::Packed(list.clone()),
            Form::Tree(_) => {
                let mut large = Large::new();
                for (member, score) in self.iter() {
                    large.set(&member, score);
                }
                Form::Tree(large)
            }
        };
        Self { form }
    }
}

impl Large {
    fn new() -> Owned<Self> {
        Owned::new(Self { scores: FieldTable::new(fastrand::u64(..)), order: ScoreTree::new() })
    }

    fn set(&mut self, member: &[u8], score: f64) -> Option<f64> {
        if score == 0.0
            && let Some(old) = self.scores.get_raw(member).map(read_score)
            && old == 0.0
        {
            return Some(old);
        }
        let old = self.scores.replace_encoded(member, ScoreForm::of(score).encoded(), read_score);
        let (form, slots) = (self.scores.key_form(member), self.scores.slots());
        match old {
            None => self.order.insert(score, member, form, slots),
            Some(old) if old != score => self.order.rescore(old, score, member, form, slots),
            Some(_) => {}
        }
        old
    }

    fn iter(&self, ranks: Range<usize>) -> tree::Iter<'_> {
        self.order.iter(ranks, self.scores.slots())
    }

    fn remove_chunk(&mut self, ranks: Range<usize>, visit: &mut impl FnMut(&[u8], f64)) {
        let mut members = Packed::new();
        for (member, score) in self.iter(ranks.clone()) {
            visit(&member, score);
            members.push(&member);
        }
        self.order.remove_ranks(ranks);
        for member in members.iter() {
            self.scores.remove(&member);
        }
    }
}

/// Encoding of a score: a whole number as an integer, others as the bytes of the double.
struct ScoreForm {
    score: f64,
    bytes: [u8; 8],
}

impl ScoreForm {
    fn of(score: f64) -> Self {
        Self { score, bytes: score.to_le_bytes() }
    }

    fn encoded(&self) -> Encoded<'_> {
        if is_whole(self.score) { Encoded::int(self.score as i64) } else { Encoded::bytes(&self.bytes) }
    }
}

fn read_score(raw: Raw<'_>) -> f64 {
    match raw {
        Raw::Int(whole) => whole as f64,
        Raw::Bytes(bytes) => bytes.first_chunk().map_or(0.0, |&bytes| f64::from_le_bytes(bytes)),
        Raw::Slot(_) | Raw::Rest(_) => 0.0,
    }
}

/// The score beside the member at a position of a packed list.
fn score_at(list: &Packed, member: Position) -> Option<f64> {
    list.raw_at(list.skip(member, 1)).map(read_score)
}

/// The position of the first element of a packed list that is not before the place.
fn packed_rank_of(list: &Packed, place: &Place<'_>) -> Position {
    let mut position = list.start();
    while let Some(score) = score_at(list, position) {
        if !place.is_after(score, || list.at(position).as_deref().cmp(&Some(place.member()))) {
            break;
        }
        position = list.skip(position, 2);
    }
    position
}

fn insert_packed(list: &mut Packed, member: &[u8], score: f64) {
    let position = packed_rank_of(list, &Place { score, before: Before::LowerThan(member) });
    list.insert_with_raw(position, member, ScoreForm::of(score).encoded());
}

/// The members of a range with their scores, the lowest first.
#[derive(Clone)]
pub struct Iter<'a> {
    form: IterForm<'a>,
}

#[derive(Clone)]
enum IterForm<'a> {
    /// With the number of members left.
    Packed(packed::Iter<'a>, usize),
    Tree(tree::Iter<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Element<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.form {
            IterForm::Packed(list, left) => {
                *left = left.checked_sub(1)?;
                Some((list.next()?, read_score(list.next_raw()?)))
            }
            IterForm::Tree(tree) => tree.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.form {
            IterForm::Packed(_, left) => (*left, Some(*left)),
            IterForm::Tree(tree) => tree.size_hint(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// The members of a range with their scores, the highest first.
#[derive(Clone)]
pub struct IterBack<'a> {
    form: IterBackForm<'a>,
}

#[derive(Clone)]
enum IterBackForm<'a> {
    /// With the positions still to come, the next one last.
    Packed(&'a Packed, SmallVec<[Position; 16]>),
    Tree(tree::IterBack<'a>),
}

impl<'a> Iterator for IterBack<'a> {
    type Item = (Element<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.form {
            IterBackForm::Packed(list, positions) => {
                let position = positions.pop()?;
                Some((list.at(position)?, score_at(list, position)?))
            }
            IterBackForm::Tree(tree) => tree.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.form {
            IterBackForm::Packed(_, positions) => (positions.len(), Some(positions.len())),
            IterBackForm::Tree(tree) => tree.size_hint(),
        }
    }
}

impl ExactSizeIterator for IterBack<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn score() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (-10i32..10).prop_map(f64::from),
            2 => (-1000i32..1000).prop_map(|value| f64::from(value) / 4.0),
            1 => any::<i64>().prop_map(|value| value as f64),
            1 => proptest::sample::select(vec![f64::INFINITY, f64::NEG_INFINITY, -0.0]),
        ]
    }

    fn member() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            10 => (0u32..120).prop_map(|number| format!("m{number}").into_bytes()),
            3 => (-20i32..20).prop_map(|number| number.to_string().into_bytes()),
            1 => (120usize..160).prop_map(|len| vec![b'l'; len]),
        ]
    }

    fn ordered(model: &BTreeMap<Vec<u8>, f64>) -> Vec<(f64, Vec<u8>)> {
        let mut all: Vec<(f64, Vec<u8>)> =
            model.iter().map(|(member, score)| (*score, member.clone())).collect();
        all.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
        all
    }

    fn shown<'a>(iter: impl Iterator<Item = (Element<'a>, f64)>) -> Vec<(f64, Vec<u8>)> {
        iter.map(|(member, score)| (score, member.to_vec())).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn behaves_like_a_sorted_map(
            max_listpack_entries in proptest::sample::select(vec![0usize, 10, 1000]),
            steps in proptest::collection::vec(
                (0u8..12, member(), score(), score(), any::<proptest::sample::Index>()),
                1..250,
            ),
        ) {
            let limits = ZSetLimits { max_listpack_entries, max_listpack_value: 200 };
            let mut zset = ZSet::new();
            let mut model: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
            for (kind, member, score, other_score, place) in steps {
                let all = ordered(&model);
                match kind {
                    0..=6 => {
                        prop_assert_eq!(
                            zset.set(&member, score, &limits),
                            model.insert(member.clone(), score + 0.0)
                        );
                    }
                    7 => prop_assert_eq!(zset.remove(&member), model.remove(&member)),
                    8 => {
                        let popped = if score < 0.0 { zset.pop_min() } else { zset.pop_max() };
                        let expected = if score < 0.0 { all.first() } else { all.last() };
                        let popped = popped.map(|(member, score)| (score, member));
                        prop_assert_eq!(popped.as_ref(), expected);
                        if let Some((_, member)) = expected { model.remove(member); }
                    }
                    9 => {
                        let start = place.index(all.len() + 1);
                        let end = (start + 6).min(all.len());
                        let mut removed = Vec::new();
                        zset.remove_ranks(start..start + 6, |member, score| removed.push((score, member.to_vec())));
                        prop_assert_eq!(&removed[..], &all[start..end]);
                        for (_, member) in &all[start..end] { model.remove(member); }
                    }
                    _ => {
                        let (low, high) = (score.min(other_score), score.max(other_score));
                        for (min, max) in [
                            (ScoreBound::Inclusive(low), ScoreBound::Inclusive(high)),
                            (ScoreBound::Exclusive(low), ScoreBound::Exclusive(high)),
                            (ScoreBound::Exclusive(low), ScoreBound::Inclusive(low)),
                        ] {
                            let inside = |score: f64| {
                                let above = match min {
                                    ScoreBound::Inclusive(min) => score >= min,
                                    ScoreBound::Exclusive(min) => score > min,
                                };
                                let below = match max {
                                    ScoreBound::Inclusive(max) => score <= max,
                                    ScoreBound::Exclusive(max) => score < max,
                                };
                                above && below
                            };
                            let expected: Vec<(f64, Vec<u8>)> =
                                all.iter().filter(|(score, _)| inside(*score)).cloned().collect();
                            let ranks = zset.score_range(min, max);
                            prop_assert_eq!(ranks.len(), expected.len());
                            prop_assert_eq!(shown(zset.iter_ranks(ranks)), expected);
                        }
                    }
                }
                zset.assert_invariants();
                let all = ordered(&model);
                prop_assert_eq!(zset.len(), all.len());
                prop_assert_eq!(zset.score(&member), model.get(&member).copied());
                let rank = all.iter().position(|(_, other)| *other == member);
                prop_assert_eq!(zset.rank(&member).map(|(rank, _)| rank), rank);
                let start = place.index(all.len() + 1);
                prop_assert_eq!(&shown(zset.iter_ranks(start..usize::MAX))[..], &all[start..]);
                let mut back = shown(zset.iter_ranks_back(0..start));
                back.reverse();
                prop_assert_eq!(&back[..], &all[..start]);
            }
            let all = ordered(&model);
            let mut scanned = BTreeMap::new();
            let mut cursor = 0;
            loop {
                cursor = zset.scan(cursor, 5, |member, score| { scanned.insert(member.to_vec(), score); });
                if cursor == 0 { break; }
            }
            prop_assert_eq!(&scanned, &model);
            let mut rng = fastrand::Rng::with_seed(1);
            for count in [0, 1, all.len() / 9, all.len() / 2, all.len() + 1] {
                let mut chosen = BTreeMap::new();
                zset.random_distinct(count, &mut rng, |member, score| { chosen.insert(member.to_vec(), score); });
                prop_assert_eq!(chosen.len(), count.min(all.len()));
                prop_assert!(chosen.iter().all(|(member, score)| model.get(member) == Some(score)));
            }
            let mut copy = zset.clone();
            copy.compact(&ZSetLimits { max_listpack_entries: 1000, max_listpack_value: 200 });
            prop_assert_eq!(copy.encoding(), "listpack");
            prop_assert_eq!(shown(copy.iter()), all);
        }

        #[test]
        fn lex_ranges(
            large: bool,
            members in proptest::collection::btree_set("[a-d]{0,3}", 0..40),
            low in "[a-d]{0,3}",
            high in "[a-d]{0,3}",
            kind in 0u8..5,
        ) {
            let limits = ZSetLimits { max_listpack_entries: if large { 0 } else { 100 }, max_listpack_value: 64 };
            let mut zset = ZSet::new();
            for member in &members {
                zset.set(member.as_bytes(), 2.0, &limits);
            }
            let (low, high) = (low.as_bytes(), high.as_bytes());
            let (min, max) = match kind {
                0 => (LexBound::Inclusive(low), LexBound::Inclusive(high)),
                1 => (LexBound::Exclusive(low), LexBound::Exclusive(high)),
                2 => (LexBound::Lowest, LexBound::Exclusive(high)),
                3 => (LexBound::Inclusive(low), LexBound::Highest),
                _ => (LexBound::Highest, LexBound::Lowest),
            };
            let inside = |member: &[u8]| {
                let above = match min {
                    LexBound::Lowest => true,
                    LexBound::Highest => false,
                    LexBound::Inclusive(min) => member >= min,
                    LexBound::Exclusive(min) => member > min,
                };
                let below = match max {
                    LexBound::Lowest => false,
                    LexBound::Highest => true,
                    LexBound::Inclusive(max) => member <= max,
                    LexBound::Exclusive(max) => member < max,
                };
                above && below
            };
            let expected: Vec<Vec<u8>> = members
                .iter()
                .map(|member| member.as_bytes().to_vec())
                .filter(|member| inside(member))
                .collect();
            let found: Vec<Vec<u8>> =
                zset.iter_ranks(zset.lex_range(min, max)).map(|(member, _)| member.to_vec()).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn encodings_change_where_redis_changes_them() {
        let limits = ZSetLimits::default();
        let mut zset = ZSet::new();
        for number in 0..128 {
            zset.set(format!("m{number}").as_bytes(), 1.0, &limits);
        }
        zset.set(b"m5", 7.0, &limits);
        assert_eq!(zset.encoding(), "listpack");
        zset.set(b"m128", 1.0, &limits);
        assert_eq!((zset.encoding(), zset.len()), ("skiplist", 129));
        let mut zset = ZSet::new();
        zset.set(&[b'x'; 65], 1.0, &limits);
        assert_eq!(zset.encoding(), "skiplist");
        let mut zset = ZSet::new();
        zset.expect(129, 1, &limits);
        assert_eq!(zset.encoding(), "skiplist");
        zset.compact(&limits);
        assert_eq!(zset.encoding(), "listpack");
        assert!(size_of::<ZSet>() <= 16);
    }

    #[test]
    fn large_ranges_are_removed_in_chunks() {
        let limits = ZSetLimits { max_listpack_entries: 0, max_listpack_value: 64 };
        let mut zset = ZSet::new();
        for number in 0..5000 {
            zset.set(format!("m{number}").as_bytes(), f64::from(number), &limits);
        }
        let mut removed = 0;
        zset.remove_ranks(100..4900, |_, _| removed += 1);
        zset.assert_invariants();
        assert_eq!((removed, zset.len()), (4800, 200));
    }
}
