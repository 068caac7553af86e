//! [`Live`]: a set's members as they are at a time.

use super::ending::Ending;
use super::intset::IntSet;
use super::{Form, Set, new_table};
use crate::primitives::number;
use crate::primitives::thin::Owned;
use crate::types::packed;
use crate::types::packed::entry::Element;
use crate::types::packed::table::{self, MemberTable};

/// The members of a set that have not ended at a time.
#[derive(Clone, Copy)]
pub struct Live<'a> {
    pub(super) form: &'a Form,
    /// Milliseconds of Unix time.
    pub(super) now_ms: u64,
}

impl<'a> Live<'a> {
    /// Whether it is a member.
    #[inline]
    pub fn contains(self, member: &[u8]) -> bool {
        match self.form {
            Form::Ints(ints) => number::parse_i64(member).is_some_and(|value| ints.contains(value)),
            Form::Packed(list) => list.find(member, 1).is_some(),
            Form::Table(table) => table.contains(member),
            Form::Ending(ending) => ending.members.contains(member) && !ending.has_ended(member, self.now_ms),
        }
    }

    /// Number of members.
    #[inline]
    pub fn len(self) -> usize {
        match self.form {
            Form::Ints(ints) => ints.len(),
            Form::Packed(list) => list.len(),
            Form::Table(table) => table.len(),
            Form::Ending(ending) => ending.live_len(self.now_ms),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// All members: integers ascending, a packed list in the order of insertion, a table in no particular
    /// order.
    pub fn iter(self) -> Iter<'a> {
        Iter {
            form: match self.form {
                Form::Ints(ints) => IterForm::Ints(ints, 0),
                Form::Packed(list) => IterForm::Packed(list.iter()),
                Form::Table(table) => IterForm::Table(table.iter()),
                Form::Ending(ending) => IterForm::Ending(ending.members.iter(), ending, self.now_ms),
            },
        }
    }

    /// The members of a part of the set, which begins at 0 or where the part before ended, and where the next
    /// one begins, until the set changes; `None` behind the last.
    pub fn iter_part(self, part: usize) -> (Iter<'a>, Option<usize>) {
        let (form, next) = match self.form {
            Form::Ints(_) | Form::Packed(_) => return (self.iter(), None),
            Form::Table(table) => {
                let (members, next) = table.iter_buckets(part, table::PART_BUCKETS);
                (IterForm::Table(members), next)
            }
            Form::Ending(ending) => {
                let (members, next) = ending.members.iter_buckets(part, table::PART_BUCKETS);
                (IterForm::Ending(members, ending, self.now_ms), next)
            }
        };
        (Iter { form }, next)
    }

    /// The members, for writing into a reply; `None` unless the set is a packed list.
    pub fn pieces(self) -> Option<packed::Pieces<'a>> {
        match self.form {
            Form::Packed(list) => Some(list.pieces(list.start(), 1, list.len())),
            Form::Ints(_) | Form::Table(_) | Form::Ending(_) => None,
        }
    }

    /// A member, each with the same probability.
    pub fn random(self, rng: &mut fastrand::Rng) -> Option<Element<'a>> {
        self.random_of(self.len(), rng)
    }

    /// [`random`](Self::random), where the caller has asked for the number of members before.
    pub fn random_of(self, len: usize, rng: &mut fastrand::Rng) -> Option<Element<'a>> {
        if len == 0 {
            return None;
        }
        match self.form {
            Form::Ints(ints) => ints.get(rng.usize(..len)).map(Element::from_i64),
            Form::Packed(list) => list.get(rng.usize(..len)),
            Form::Table(table) => table.random(rng).map(|(member, _)| member),
            // Where most have ended, they are passed over in their order.
            Form::Ending(ending) if len < ending.members.len() / 4 => self.iter().nth(rng.usize(..len)),
            Form::Ending(ending) => loop {
                let (member, _) = ending.members.random(rng)?;
                if !ending.has_ended(&member, self.now_ms) {
                    return Some(member);
                }
            },
        }
    }

    /// Calls `visit` with `count` different members, each choice with the same probability; with all members
    /// when there are fewer.
    pub fn random_distinct(self, count: usize, rng: &mut fastrand::Rng, mut visit: impl FnMut(&[u8])) {
        let len = self.len();
        if let Form::Table(_) | Form::Ending(_) = self.form
            && count < len / 4
        {
            let mut chosen = MemberTable::new(rng.u64(..));
            while chosen.len() < count {
                let Some(member) = self.random_of(len, rng) else {
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

    /// Calls `visit` with some members and returns the cursor for the next call; 0 begins and ends. A set
    /// that is not a table is visited whole. A member that is present from the first call to the last is
    /// visited, whatever is added and removed between them.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        match self.form {
            Form::Table(table) => table.scan(cursor, count, |member, _| visit(&member)),
            Form::Ending(ending) => ending.members.scan(cursor, count, |member, _| {
                if !ending.has_ended(&member, self.now_ms) {
                    visit(&member);
                }
            }),
            Form::Ints(_) | Form::Packed(_) => {
                self.iter().for_each(|member| visit(&member));
                0
            }
        }
    }

    /// Whether both are views of one set.
    pub fn is_same(self, other: Live<'_>) -> bool {
        std::ptr::eq(self.form, other.form)
    }

    /// Some number that is the set's own while it is borrowed.
    pub fn address(self) -> usize {
        std::ptr::from_ref(self.form).addr()
    }

    /// A set of these members, without expiries.
    pub fn to_set(self) -> Set {
        match self.form {
            Form::Ints(ints) => Set { form: Form::Ints(ints.clone()) },
            Form::Packed(list) => Set { form: Form::Packed(list.clone()) },
            Form::Table(_) | Form::Ending(_) => Set { form: Form::Table(self.to_table()) },
        }
    }

    /// A table of these members.
    pub(super) fn to_table(self) -> Owned<MemberTable> {
        let mut table = new_table();
        self.iter().for_each(|member| {
            table.insert(&member);
        });
        table
    }
}

/// The members of a set.
pub struct Iter<'a> {
    form: IterForm<'a>,
}

enum IterForm<'a> {
    Ints(&'a IntSet, usize),
    Packed(packed::Iter<'a>),
    Table(table::Iter<'a, false>),
    Ending(table::Iter<'a, false>, &'a Ending, u64),
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
            IterForm::Ending(table, ending, now_ms) => {
                table.by_ref().map(|(member, _)| member).find(|member| !ending.has_ended(member, *now_ms))
            }
        }
    }

    /// Exact but for a set of which members have ended.
    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.form {
            IterForm::Ints(ints, index) => (ints.len() - index, Some(ints.len() - index)),
            IterForm::Packed(list) => list.size_hint(),
            IterForm::Table(table) => table.size_hint(),
            IterForm::Ending(table, ..) => (0, table.size_hint().1),
        }
    }
}
