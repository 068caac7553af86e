//! The set: only integers in an [`IntSet`], small sets in a [`Packed`] list, the rest in a [`MemberTable`].
//!
//! The encodings, and when one becomes another, are Redis's, since clients and tests look at OBJECT ENCODING.
//! An encoding only ever changes to a larger one, when a member is added.

mod intset;

use crate::primitives::number;
use crate::primitives::occupancy::Occupancy;
use crate::primitives::thin::Owned;
use crate::types::packed::entry::Element;
use crate::types::packed::freeze::Reading;
use crate::types::packed::table::{self, MemberTable};
use crate::types::packed::{self, Packed};
use intset::IntSet;

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

    /// Adds a member. Returns whether it was new.
    pub fn add(&mut self, member: &[u8], limits: &SetLimits) -> bool {
        match &mut self.form {
            Form::Table(table) => table.insert(member),
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

    /// Removes a member. Returns whether it was there.
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
        }
    }

    /// Whether it is a member.
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.form {
            Form::Ints(ints) => number::parse_i64(member).is_some_and(|value| ints.contains(value)),
            Form::Packed(list) => list.find(member, 1).is_some(),
            Form::Table(table) => table.contains(member),
        }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Ints(ints) => ints.len(),
            Form::Packed(list) => list.len(),
            Form::Table(table) => table.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All members: integers ascending, a packed list in the order of insertion, a table in no particular
    /// order.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            form: match &self.form {
                Form::Ints(ints) => IterForm::Ints(ints, 0),
                Form::Packed(list) => IterForm::Packed(list.iter()),
                Form::Table(table) => IterForm::Table(table.iter()),
            },
        }
    }

    /// The members of a part of the set, which begins at 0 or where the part before ended, and where the next
    /// one begins, until the set changes; `None` behind the last.
    pub fn iter_part(&self, part: usize) -> (Iter<'_>, Option<usize>) {
        match &self.form {
            Form::Ints(_) | Form::Packed(_) => (self.iter(), None),
            Form::Table(table) => {
                let (members, next) = table.iter_buckets(part, table::PART_BUCKETS);
                (Iter { form: IterForm::Table(members) }, next)
            }
        }
    }

    /// The members, for writing into a reply; `None` unless the set is a packed list.
    pub fn pieces(&self) -> Option<packed::Pieces<'_>> {
        match &self.form {
            Form::Packed(list) => Some(list.pieces(list.start(), 1, list.len())),
            Form::Ints(_) | Form::Table(_) => None,
        }
    }

    /// A member, each with the same probability.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<Element<'_>> {
        if self.is_empty() {
            return None;
        }
        match &self.form {
            Form::Ints(ints) => ints.get(rng.usize(..ints.len())).map(Element::from_i64),
            Form::Packed(list) => list.get(rng.usize(..list.len())),
            Form::Table(table) => table.random(rng).map(|(member, _)| member),
        }
    }

    /// Calls `visit` with `count` different members, each choice with the same probability; with all members
    /// when there are fewer.
    pub fn random_distinct(&self, count: usize, rng: &mut fastrand::Rng, mut visit: impl FnMut(&[u8])) {
        let len = self.len();
        if let Form::Table(table) = &self.form
            && count < len / 4
        {
            let mut chosen = MemberTable::new(rng.u64(..));
            while chosen.len() < count {
                let Some((member, _)) = table.random(rng) else {
                    return;
                };
                if chosen.insert(&member) {
                    visit(&member);
                }
            }
            return;
        }
        let mut wanted = count.min(len);
        for (passed, member) in self.iter().enumerate() {
            if wanted == 0 {
                return;
            }
            if rng.usize(..len - passed) < wanted {
                wanted -= 1;
                visit(&member);
            }
        }
    }

    /// Removes a member, each with the same probability, and returns it.
    pub fn pop(&mut self, rng: &mut fastrand::Rng) -> Option<Vec<u8>> {
        let member = self.random(rng)?.to_vec();
        self.remove(&member);
        Some(member)
    }

    /// Calls `visit` with some members and returns the cursor for the next call; 0 begins and ends. A set
    /// that is not a table is visited whole. A member that is present from the first call to the last is
    /// visited, whatever is added and removed between them.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        if let Form::Table(table) = &self.form {
            return table.scan(cursor, count, |member, _| visit(&member));
        }
        self.iter().for_each(|member| visit(&member));
        0
    }

    /// Whether it is a table, which [`freeze`](Self::freeze) needs.
    pub fn is_table(&self) -> bool {
        matches!(self.form, Form::Table(_))
    }

    /// Marks the instant whose members [`read_frozen`](Self::read_frozen) returns. Only for a table.
    pub fn freeze(&mut self, reading: Reading) {
        if let Form::Table(table) = &mut self.form {
            table.freeze(reading);
        }
    }

    /// The number of the reading that is going on.
    pub fn reading(&self) -> Option<u64> {
        if let Form::Table(table) = &self.form { table.reading() } else { None }
    }

    /// Ends a reading that nobody wants any more.
    pub fn thaw(&mut self) {
        if let Form::Table(table) = &mut self.form {
            table.thaw();
        }
    }

    /// Calls `visit` with about `count` more of the members of the instant. Returns whether that was all.
    pub fn read_frozen(&mut self, count: usize, mut visit: impl FnMut(&[u8])) -> bool {
        match &mut self.form {
            Form::Table(table) => table.read_frozen(count, |_| None, |member, _, _| visit(&member)),
            _ => true,
        }
    }

    /// Prefetches the cache line that a lookup reads first; only tables have one. For a batch of commands,
    /// before they run.
    pub fn prefetch(&self, member: &[u8]) {
        if let Form::Table(table) = &self.form {
            table.prefetch(member);
        }
    }

    /// Occupancy of the hash table, if there is one (DEBUG HTSTATS-KEY).
    pub fn occupancy(&self) -> Option<Occupancy> {
        match &self.form {
            Form::Ints(_) | Form::Packed(_) => None,
            Form::Table(table) => Some(table.occupancy()),
        }
    }

    /// The word that OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        match self.form {
            Form::Ints(_) => "intset",
            Form::Packed(_) => "listpack",
            Form::Table(_) => "hashtable",
        }
    }

    /// Bytes that the set takes from the allocator, its own nine bytes not included.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Ints(ints) => ints.memory_bytes(),
            Form::Packed(list) => list.memory_bytes(),
            Form::Table(table) => size_of::<MemberTable>() + table.memory_bytes(),
        }
    }

    fn make_packed(&mut self) {
        let mut list = Packed::new();
        self.iter().for_each(|member| list.push(&member));
        self.form = Form::Packed(list);
    }

    fn make_table(&mut self) {
        let mut table = new_table();
        self.iter().for_each(|member| {
            table.insert(&member);
        });
        self.form = Form::Table(table);
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    fn assert_invariants(&self) {
        match &self.form {
            Form::Ints(ints) => ints.assert_invariants(),
            Form::Packed(list) => list.assert_invariants(),
            Form::Table(table) => table.assert_invariants(),
        }
    }
}

impl Clone for Set {
    fn clone(&self) -> Self {
        let form = match &self.form {
            Form::Ints(ints) => Form::Ints(ints.clone()),
            Form::Packed(list) => Form::Packed(list.clone()),
            Form::Table(table) => {
                let mut copy = new_table();
                table.iter().for_each(|(member, _)| {
                    copy.insert(&member);
                });
                Form::Table(copy)
            }
        };
        Self { form }
    }
}

fn new_table() -> Owned<MemberTable> {
    Owned::new(MemberTable::new(fastrand::u64(..)))
}

/// The members of a set.
pub struct Iter<'a> {
    form: IterForm<'a>,
}

enum IterForm<'a> {
    Ints(&'a IntSet, usize),
    Packed(packed::Iter<'a>),
    Table(table::Iter<'a, false>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        match &mut self.form {
            IterForm::Ints(ints, index) => {
                let value = ints.get(*index)?;
                *index += 1;
                Some(Element::from_i64(value))
            }
            IterForm::Packed(list) => list.next(),
            IterForm::Table(table) => table.next().map(|(member, _)| member),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.form {
            IterForm::Ints(ints, index) => (ints.len() - index, Some(ints.len() - index)),
            IterForm::Packed(list) => list.size_hint(),
            IterForm::Table(table) => table.size_hint(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.iter().len(), model.len());
                prop_assert_eq!(set.contains(&member), model.contains(&member));
            }
            let all: BTreeSet<Vec<u8>> = set.iter().map(|member| member.to_vec()).collect();
            prop_assert_eq!(&all, &model);
            let mut scanned = BTreeSet::new();
            let mut cursor = 0;
            loop {
                cursor = set.scan(cursor, 3, |member| { scanned.insert(member.to_vec()); });
                if cursor == 0 { break; }
            }
            prop_assert_eq!(&scanned, &model);
            for count in [0, 1, model.len() / 5, model.len() / 2, model.len() + 3] {
                let mut chosen = Vec::new();
                set.random_distinct(count, &mut rng, |member| chosen.push(member.to_vec()));
                let distinct: BTreeSet<Vec<u8>> = chosen.iter().cloned().collect();
                prop_assert_eq!(chosen.len(), count.min(model.len()));
                prop_assert_eq!(distinct.len(), chosen.len());
                prop_assert!(distinct.is_subset(&model));
            }
            let copy: BTreeSet<Vec<u8>> = set.clone().iter().map(|member| member.to_vec()).collect();
            prop_assert_eq!(copy, model);
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
        assert_eq!((set.encoding(), set.len()), ("hashtable", 513));

        let mut set = Set::new_for(b"1", &limits, 1);
        set.add(b"1", &limits);
        set.add(b"a", &limits);
        assert_eq!(set.encoding(), "listpack");
        assert!(set.iter().map(|member| member.to_vec()).eq([b"1".to_vec(), b"a".to_vec()]));
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
        assert_eq!((set.encoding(), set.len()), ("hashtable", 1));
        assert!(size_of::<Set>() <= 16);
    }
}
