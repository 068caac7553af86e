//! The set: only integers in an [`IntSet`], small sets in a [`Packed`] list, the rest in a [`MemberTable`].
//!
//! The encodings, and when one becomes another, are Redis's, since clients and tests look at OBJECT ENCODING.
//! An encoding only ever changes to a larger one, when a member is added or given an expiry.
//!
//! Members may have an expiry. A set with such members is always a table, with [`Expiries`] beside it, and a
//! plain table again when the last expiry goes; other sets pay nothing for it. Members are read through
//! [`Live`], the set as it is at a time. A member whose expiry is due is absent there; it stays in the table
//! until [`Set::take_expired`].
//!
//! [`Expiries`]: crate::types::expiries::Expiries

mod ending;
mod intset;
mod live;

use crate::alloc::box_bytes;
use crate::primitives::number;
use crate::primitives::occupancy::Occupancy;
use crate::primitives::thin::Owned;
use crate::types::packed::Packed;
use crate::types::packed::freeze::Reading;
use crate::types::packed::table::MemberTable;
use ending::Ending;
use intset::IntSet;
pub use live::{Iter, Live};

/// Most integers of an intset, whatever the configuration says.
const MAX_INTSET_ENTRIES: usize = 1 << 30;

/// When a set changes its encoding; the directives `set-max-...` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetLimits {
    /// The most members of an intset.
    pub max_intset_entries: usize,
    /// The most members of a listpack.
    pub max_listpack_entries: usize,
    /// The longest member of a listpack, in bytes.
    pub max_listpack_value: usize,
}

impl Default for SetLimits {
    fn default() -> Self {
        Self { max_intset_entries: 512, max_listpack_entries: 128, max_listpack_value: 64 }
    }
}

/// The set. Nine bytes in size.
pub struct Set {
    form: Form,
}

enum Form {
    Ints(IntSet),
    Packed(Packed),
    Table(Owned<MemberTable>),
    /// A table of which some members have an expiry.
    Ending(Owned<Ending>),
}

impl Set {
    /// An empty set in the encoding that suits its first member and the number of members expected.
    pub fn new_for(first: &[u8], limits: &SetLimits, size_hint: usize) -> Self {
        let form = if size_hint <= limits.max_intset_entries && number::parse_i64(first).is_some() {
            Form::Ints(IntSet::new())
        } else if size_hint <= limits.max_listpack_entries {
            Form::Packed(Packed::new())
        } else {
            Form::Table(new_table())
        };
        Self { form }
    }

    /// Changes to the encoding of large sets at once when `size_hint` members are about to be added.
    pub fn expect(&mut self, size_hint: usize, limits: &SetLimits) {
        match &self.form {
            Form::Ints(_) if size_hint > limits.max_intset_entries => self.make_table(),
            Form::Packed(_) if size_hint > limits.max_listpack_entries => self.make_table(),
            _ => {}
        }
    }

    /// The members that have not ended at `now_ms`, in milliseconds of Unix time. At time 0 none has ended, so
    /// these are all that the set holds.
    #[inline]
    pub fn at(&self, now_ms: u64) -> Live<'_> {
        Live { form: &self.form, now_ms }
    }

    /// Adds a member, without an expiry. Returns whether it was new; one that is there, ended or not, keeps its
    /// expiry: the caller takes those that have ended before ([`take_expired`](Self::take_expired)).
    pub fn add(&mut self, member: &[u8], limits: &SetLimits) -> bool {
        match &mut self.form {
            Form::Table(table) => table.insert(member),
            Form::Ending(ending) => ending.add(member),
            Form::Packed(list) => {
                if list.find(member, 1).is_some() {
                    return false;
                }
                if list.len() < limits.max_listpack_entries
                    && member.len() <= limits.max_listpack_value
                    && list.has_room(member.len())
                {
                    list.push(member);
                    return true;
                }
                self.make_table();
                self.add(member, limits)
            }
            Form::Ints(ints) => {
                if let Some(value) = number::parse_i64(member) {
                    let added = ints.add(value);
                    if added && ints.len() > limits.max_intset_entries.min(MAX_INTSET_ENTRIES) {
                        self.make_table();
                    }
                    return added;
                }
                let longest = [ints.get(0), ints.get(ints.len().wrapping_sub(1))]
                    .into_iter()
                    .flatten()
                    .map(number::integer_len)
                    .max()
                    .unwrap_or(0);
                if ints.len() < limits.max_listpack_entries
                    && longest.max(member.len()) <= limits.max_listpack_value
                {
                    self.make_packed();
                } else {
                    self.make_table();
                }
                self.add(member, limits)
            }
        }
    }

    /// Removes a member with its expiry. Returns whether it was there, ended or not.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.form {
            Form::Ints(ints) => number::parse_i64(member).is_some_and(|value| ints.remove(value)),
            Form::Packed(list) => match list.find(member, 1) {
                Some(position) => {
                    list.remove(position, 1);
                    true
                }
                None => false,
            },
            Form::Table(table) => table.remove(member),
            Form::Ending(ending) => {
                let removed = ending.remove(member);
                self.settle();
                removed
            }
        }
    }

    /// Whether no member is left, ended or not.
    pub fn is_empty(&self) -> bool {
        self.at(0).is_empty()
    }

    /// Removes a member, each with the same probability, and returns it. None may have ended.
    pub fn pop(&mut self, rng: &mut fastrand::Rng) -> Option<Vec<u8>> {
        let member = self.at(0).random(rng)?.to_vec();
        self.remove(&member);
        Some(member)
    }

    /// Expiry of a member, in milliseconds of Unix time; `None` if it has none or is not there.
    pub fn expire_at_ms(&self, member: &[u8]) -> Option<u64> {
        if let Form::Ending(ending) = &self.form { ending.expiries.get(member) } else { None }
    }

    /// Sets a member's expiry. Returns whether the member is there.
    pub fn set_expire(&mut self, member: &[u8], at_ms: u64) -> bool {
        let there = self.at(0).contains(member);
        if there {
            self.make_ending().set_expire(member, at_ms);
        }
        there
    }

    /// Removes a member's expiry. Returns whether it had one.
    pub fn persist(&mut self, member: &[u8]) -> bool {
        let Form::Ending(ending) = &mut self.form else { return false };
        let had = ending.forget_expiry(member);
        self.settle();
        had
    }

    /// Whether any member has an expiry.
    #[inline]
    pub fn has_expiries(&self) -> bool {
        matches!(self.form, Form::Ending(_))
    }

    /// Earliest expiry of any member, in milliseconds of Unix time.
    #[inline]
    pub fn next_expiry_ms(&self) -> Option<u64> {
        if let Form::Ending(ending) = &self.form { ending.expiries.first_ms() } else { None }
    }

    /// Whether any member has ended at `now_ms` and was not taken yet.
    #[inline]
    pub fn has_ended(&self, now_ms: u64) -> bool {
        self.next_expiry_ms().is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// All expiries with their members, the earliest first.
    pub fn expiries(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let ending = if let Form::Ending(ending) = &self.form { Some(ending) } else { None };
        ending.into_iter().flat_map(|ending| ending.expiries.iter())
    }

    /// The members that have ended at `now_ms` and were not taken yet, the earliest first.
    pub fn ended(&self, now_ms: u64) -> impl Iterator<Item = &[u8]> {
        self.expiries().take_while(move |(at_ms, _)| *at_ms <= now_ms).map(|(_, member)| member)
    }

    /// Removes up to `limit` members that have ended, the earliest first, and returns them.
    pub fn take_expired(&mut self, now_ms: u64, limit: usize) -> Vec<Box<[u8]>> {
        let Form::Ending(ending) = &mut self.form else { return Vec::new() };
        let taken = ending.take_expired(now_ms, limit);
        self.settle();
        taken
    }

    /// Whether it is a table, which [`freeze`](Self::freeze) needs.
    pub fn is_table(&self) -> bool {
        self.table().is_some()
    }

    /// Marks the instant whose members [`read_frozen`](Self::read_frozen) returns. Only for a table.
    pub fn freeze(&mut self, reading: Reading) {
        if let Some(table) = self.table_mut() {
            table.freeze(reading);
        }
    }

    /// The number of the reading that is going on.
    pub fn reading(&self) -> Option<u64> {
        self.table()?.reading()
    }

    /// Ends a reading that nobody wants any more.
    pub fn thaw(&mut self) {
        if let Some(table) = self.table_mut() {
            table.thaw();
        }
    }

    /// Calls `visit` with about `count` more of the members of the instant, ended ones included, and when each
    /// ended then, in milliseconds of Unix time. Returns whether that was all.
    pub fn read_frozen(&mut self, count: usize, mut visit: impl FnMut(&[u8], Option<u64>)) -> bool {
        match &mut self.form {
            Form::Table(table) => {
                table.read_frozen(count, |_| None, |member, _, end_ms| visit(&member, end_ms))
            }
            Form::Ending(ending) => {
                let Ending { members, expiries } = &mut **ending;
                let end_ms = |member: &[u8]| expiries.get(member);
                members.read_frozen(count, end_ms, |member, _, end_ms| visit(&member, end_ms))
            }
            Form::Ints(_) | Form::Packed(_) => true,
        }
    }

    /// Prefetches the cache line that a lookup reads first; only tables have one. For a batch of commands,
    /// before they run.
    pub fn prefetch(&self, member: &[u8]) {
        if let Some(table) = self.table() {
            table.prefetch(member);
        }
    }

    /// Occupancy of the hash table, if there is one (DEBUG HTSTATS-KEY).
    pub fn occupancy(&self) -> Option<Occupancy> {
        self.table().map(MemberTable::occupancy)
    }

    /// The word that OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        match self.form {
            Form::Ints(_) => "intset",
            Form::Packed(_) => "listpack",
            Form::Table(_) | Form::Ending(_) => "hashtable",
        }
    }

    /// Bytes that the set takes from the allocator, its own nine bytes not included.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Ints(ints) => ints.memory_bytes(),
            Form::Packed(list) => list.memory_bytes(),
            Form::Table(table) => box_bytes::<MemberTable>() + table.memory_bytes(),
            Form::Ending(ending) => ending.memory_bytes(),
        }
    }

    #[inline]
    fn table(&self) -> Option<&MemberTable> {
        match &self.form {
            Form::Ints(_) | Form::Packed(_) => None,
            Form::Table(table) => Some(table),
            Form::Ending(ending) => Some(&ending.members),
        }
    }

    fn table_mut(&mut self) -> Option<&mut MemberTable> {
        match &mut self.form {
            Form::Ints(_) | Form::Packed(_) => None,
            Form::Table(table) => Some(table),
            Form::Ending(ending) => Some(&mut ending.members),
        }
    }

    fn make_packed(&mut self) {
        let mut list = Packed::new();
        self.at(0).iter().for_each(|member| list.push(&member));
        self.form = Form::Packed(list);
    }

    fn make_table(&mut self) {
        self.form = Form::Table(self.at(0).to_table());
    }

    /// The set as one of which members end.
    fn make_ending(&mut self) -> &mut Ending {
        if !self.has_expiries() {
            // A table stays the same one: it may be read as it was at an instant.
            let members = match std::mem::replace(&mut self.form, Form::Packed(Packed::new())) {
                Form::Table(table) => table.into_inner(),
                form => Live { form: &form, now_ms: 0 }.to_table().into_inner(),
            };
            self.form = Form::Ending(Owned::new(Ending::new(members)));
        }
        match &mut self.form {
            Form::Ending(ending) => ending,
            _ => unreachable!("made one above"),
        }
    }

    /// Makes the set a plain table again where no expiry is left.
    fn settle(&mut self) {
        if matches!(&self.form, Form::Ending(ending) if ending.expiries.is_empty())
            && let Form::Ending(ending) = std::mem::replace(&mut self.form, Form::Packed(Packed::new()))
        {
            self.form = Form::Table(Owned::new(ending.into_inner().members));
        }
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    fn assert_invariants(&self) {
        match &self.form {
            Form::Ints(ints) => ints.assert_invariants(),
            Form::Packed(list) => list.assert_invariants(),
            Form::Table(table) => table.assert_invariants(),
            Form::Ending(ending) => ending.assert_invariants(),
        }
    }
}

impl Clone for Set {
    fn clone(&self) -> Self {
        let form = match &self.form {
            Form::Ints(ints) => Form::Ints(ints.clone()),
            Form::Packed(list) => Form::Packed(list.clone()),
            Form::Table(_) => Form::Table(self.at(0).to_table()),
            Form::Ending(ending) => {
                let mut copy = Ending::new(self.at(0).to_table().into_inner());
                ending.expiries.iter().for_each(|(at_ms, member)| copy.set_expire(member, at_ms));
                Form::Ending(Owned::new(copy))
            }
        };
        Self { form }
    }
}

fn new_table() -> Owned<MemberTable> {
    Owned::new(MemberTable::new(fastrand::u64(..)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    const SMALL: SetLimits =
        SetLimits { max_intset_entries: 16, max_listpack_entries: 12, max_listpack_value: 8 };

    fn member() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            6 => (-30i64..30).prop_map(|number| number.to_string().into_bytes()),
            1 => (0u32..40).prop_map(|number| format!("m{number}").into_bytes()),
            1 => Just(b"longer than that".to_vec()),
            1 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(
            first in member(),
            steps in proptest::collection::vec((0u8..5, member()), 1..200),
            seed: u64,
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut set = Set::new_for(&first, &SMALL, 1);
            let mut model = BTreeSet::new();
            for (kind, member) in steps {
                match kind {
                    0 => prop_assert_eq!(set.remove(&member), model.remove(&member)),
                    1 => match set.pop(&mut rng) {
                        Some(popped) => prop_assert!(model.remove(&popped)),
                        None => prop_assert!(model.is_empty()),
                    },
                    _ => prop_assert_eq!(set.add(&member, &SMALL), model.insert(member.clone())),
                }
                set.assert_invariants();
                prop_assert_eq!(set.at(0).len(), model.len());
                prop_assert_eq!(set.at(0).iter().count(), model.len());
                prop_assert_eq!(set.at(0).contains(&member), model.contains(&member));
            }
            let all: BTreeSet<Vec<u8>> = set.at(0).iter().map(|member| member.to_vec()).collect();
            prop_assert_eq!(&all, &model);
            let mut scanned = BTreeSet::new();
            let mut cursor = 0;
            loop {
                cursor = set.at(0).scan(cursor, 3, |member| { scanned.insert(member.to_vec()); });
                if cursor == 0 { break; }
            }
            prop_assert_eq!(&scanned, &model);
            for count in [0, 1, model.len() / 5, model.len() / 2, model.len() + 3] {
                let mut chosen = Vec::new();
                set.at(0).random_distinct(count, &mut rng, |member| chosen.push(member.to_vec()));
                let distinct: BTreeSet<Vec<u8>> = chosen.iter().cloned().collect();
                prop_assert_eq!(chosen.len(), count.min(model.len()));
                prop_assert_eq!(distinct.len(), chosen.len());
                prop_assert!(distinct.is_subset(&model));
            }
            let copy: BTreeSet<Vec<u8>> = set.clone().at(0).iter().map(|member| member.to_vec()).collect();
            prop_assert_eq!(copy, model);
        }
    }

    proptest! {
        /// Against members with their ends in a map; a reading of an instant goes on meanwhile.
        #[test]
        fn members_end_when_they_should(
            steps in proptest::collection::vec((0u8..10, member(), 0u64..60), 1..150),
            seed: u64,
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut set = Set::new_for(b"1", &SMALL, 1);
            let mut model = BTreeMap::<Vec<u8>, Option<u64>>::new();
            let mut now_ms = 100;
            let mut frozen: Option<BTreeMap<Vec<u8>, Option<u64>>> = None;
            let mut read = BTreeMap::new();
            for (kind, member, number) in steps {
                let there = model.contains_key(&member);
                match kind {
                    0 => {
                        prop_assert_eq!(set.remove(&member), there);
                        model.remove(&member);
                    }
                    1 | 2 => {
                        prop_assert_eq!(set.set_expire(&member, now_ms + number), there);
                        if there {
                            model.insert(member.clone(), Some(now_ms + number));
                        }
                    }
                    3 => {
                        let had = model.get_mut(&member).and_then(Option::take);
                        prop_assert_eq!(set.persist(&member), had.is_some());
                    }
                    4 => now_ms += number / 4,
                    5 => {
                        let mut taken = set.take_expired(now_ms, number as usize % 5);
                        let due = model.iter().filter(|(_, end_ms)| end_ms.is_some_and(|end_ms| end_ms <= now_ms));
                        prop_assert_eq!(taken.len(), due.count().min(number as usize % 5));
                        taken.sort();
                        for member in &taken {
                            let end_ms = model.remove(&**member).expect("it was there");
                            prop_assert!(end_ms.is_some_and(|end_ms| end_ms <= now_ms));
                        }
                    }
                    6 if set.is_table() && frozen.is_none() => {
                        set.freeze(Reading { id: 1, lost: Arc::default() });
                        frozen = Some(model.clone());
                    }
                    7 if frozen.is_some() => {
                        let over = set.read_frozen(1, |member, end_ms| {
                            read.insert(member.to_vec(), end_ms);
                        });
                        if over {
                            prop_assert_eq!(Some(std::mem::take(&mut read)), frozen.take());
                        }
                    }
                    _ => {
                        prop_assert_eq!(set.add(&member, &SMALL), !there);
                        model.entry(member.clone()).or_default();
                    }
                }
                set.assert_invariants();
                let live: BTreeSet<Vec<u8>> = model
                    .iter()
                    .filter(|(_, end_ms)| end_ms.is_none_or(|end_ms| end_ms > now_ms))
                    .map(|(member, _)| member.clone())
                    .collect();
                let seen = set.at(now_ms);
                prop_assert_eq!((seen.len(), set.at(0).len()), (live.len(), model.len()));
                prop_assert_eq!(seen.contains(&member), live.contains(&member));
                prop_assert_eq!(set.expire_at_ms(&member), model.get(&member).copied().flatten());
                prop_assert_eq!(set.next_expiry_ms(), model.values().copied().flatten().min());
                prop_assert_eq!(&seen.iter().map(|member| member.to_vec()).collect::<BTreeSet<_>>(), &live);
                prop_assert_eq!(seen.random(&mut rng).is_some(), !live.is_empty());
                prop_assert!(seen.random(&mut rng).is_none_or(|member| live.contains(&*member)));
                let mut chosen = BTreeSet::new();
                seen.random_distinct(3, &mut rng, |member| { chosen.insert(member.to_vec()); });
                prop_assert_eq!(chosen.len(), live.len().min(3));
                prop_assert!(chosen.is_subset(&live));
            }
            let copy = set.clone();
            copy.assert_invariants();
            prop_assert!(model.iter().all(|(member, end_ms)| copy.expire_at_ms(member) == *end_ms));
            let mut scanned = BTreeSet::new();
            let mut cursor = 0;
            loop {
                cursor = copy.at(now_ms).scan(cursor, 3, |member| { scanned.insert(member.to_vec()); });
                if cursor == 0 { break; }
            }
            prop_assert_eq!(scanned.len(), copy.at(now_ms).len());
        }
    }

    #[test]
    fn encodings_change_where_redis_changes_them() {
        let limits = SetLimits::default();
        let mut set = Set::new_for(b"1", &limits, 1);
        for value in 0..512 {
            set.add(value.to_string().as_bytes(), &limits);
        }
        assert_eq!(set.encoding(), "intset");
        set.add(b"512", &limits);
        assert_eq!((set.encoding(), set.at(0).len()), ("hashtable", 513));

        let mut set = Set::new_for(b"1", &limits, 1);
        set.add(b"1", &limits);
        set.add(b"a", &limits);
        assert_eq!(set.encoding(), "listpack");
        assert!(set.at(0).iter().map(|member| member.to_vec()).eq([b"1".to_vec(), b"a".to_vec()]));
        set.add(&[b'x'; 65], &limits);
        assert_eq!(set.encoding(), "hashtable");

        let mut set = Set::new_for(b"a", &limits, 1);
        for number in 0..128 {
            set.add(format!("m{number}").as_bytes(), &limits);
        }
        assert_eq!(set.encoding(), "listpack");
        assert!(!set.add(b"m5", &limits));
        assert_eq!(set.encoding(), "listpack");
        set.add(b"m128", &limits);
        assert_eq!(set.encoding(), "hashtable");

        let mut set = Set::new_for(b"1", &limits, 1);
        (0..128).for_each(|value| {
            set.add(value.to_string().as_bytes(), &limits);
        });
        set.add(b"a", &limits);
        assert_eq!(set.encoding(), "hashtable");

        assert_eq!(Set::new_for(b"1", &limits, 513).encoding(), "hashtable");
        assert_eq!(Set::new_for(b"a", &limits, 129).encoding(), "hashtable");
        let mut set = Set::new_for(b"1", &limits, 1);
        set.add(b"1", &limits);
        set.expect(513, &limits);
        assert_eq!((set.encoding(), set.at(0).len()), ("hashtable", 1));
        assert!(size_of::<Set>() <= 16);
    }
}
