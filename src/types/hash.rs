//! The hash: small ones are a [`Packed`] list of fields and values, the rest a [`FieldTable`]. Where Redis
//! would make a table only because a value is long, a hash of few fields says `hashtable` to OBJECT ENCODING
//! and stays packed.
//!
//! Fields may have an expiry. A hash with such fields is always a table, as in Valkey, with [`Expiries`]
//! beside it. A field whose expiry is due is absent for callers that pass the present time; it stays in the
//! table until [`Hash::take_expired`].

use crate::alloc::box_bytes;
use crate::primitives::occupancy::Occupancy;
use crate::primitives::thin::Owned;
use crate::types::expiries::Expiries;
use crate::types::packed::entry::{Element, Raw};
use crate::types::packed::freeze::Reading;
use crate::types::packed::table::{self, FieldTable};
use crate::types::packed::{self, Packed};

/// Most fields and bytes of a packed hash that calls itself a table.
const NAMED_TABLE_FIELDS: usize = 32;
const NAMED_TABLE_BYTES: usize = 4096;

/// When a hash changes its encoding; the directives `hash-max-...` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashLimits {
    /// The most fields of a listpack.
    pub max_listpack_entries: usize,
    /// The longest field or value of a listpack, in bytes.
    pub max_listpack_value: usize,
}

impl Default for HashLimits {
    fn default() -> Self {
        Self { max_listpack_entries: 512, max_listpack_value: 64 }
    }
}

/// The hash. Nine bytes.
#[derive(Default)]
pub struct Hash {
    form: Form,
}

enum Form {
    Packed(Packed, Name),
    Table(Owned<Large>),
}

/// What OBJECT ENCODING says of a packed hash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Listpack,
    /// A field or value was longer than a listpack may have. Redis makes a table of such a hash for good; for
    /// few fields, as sessions have, a table would take half as much memory again.
    Hashtable,
}

impl Default for Form {
    fn default() -> Self {
        Self::Packed(Packed::new(), Name::Listpack)
    }
}

struct Large {
    fields: FieldTable,
    expiries: Option<Box<Expiries>>,
}

impl Hash {
    /// An empty hash.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes to the encoding of large hashes at once when `fields` fields are about to be set.
    pub fn expect(&mut self, fields: usize, limits: &HashLimits) {
        if fields > limits.max_listpack_entries {
            self.large();
        }
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8], now_ms: u64) -> Option<Element<'_>> {
        match &self.form {
            Form::Packed(list, _) => list.at(list.skip(list.find(field, 2)?, 1)),
            Form::Table(large) => {
                let value = large.fields.get(field)?;
                (!large.is_expired(field, now_ms)).then_some(value)
            }
        }
    }

    /// Whether the field is there.
    pub fn contains(&self, field: &[u8], now_ms: u64) -> bool {
        match &self.form {
            Form::Packed(list, _) => list.find(field, 2).is_some(),
            Form::Table(large) => large.fields.contains(field) && !large.is_expired(field, now_ms),
        }
    }

    /// Sets a field's value and removes its expiry. Returns whether the field is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], now_ms: u64, limits: &HashLimits) -> bool {
        let expired = self.forget_expiry(field).is_some_and(|at_ms| at_ms <= now_ms);
        self.put(field, value, limits) || expired
    }

    /// Sets a field's value and keeps its expiry unless that is due. Returns whether the field is new.
    pub fn set_keeping_expiry(
        &mut self,
        field: &[u8],
        value: &[u8],
        now_ms: u64,
        limits: &HashLimits,
    ) -> bool {
        match self.expire_at_ms(field) {
            Some(at_ms) if at_ms <= now_ms => self.set(field, value, now_ms, limits),
            _ => self.put(field, value, limits),
        }
    }

    /// Removes a field. Returns whether it was there and not expired.
    pub fn remove(&mut self, field: &[u8], now_ms: u64) -> bool {
        let expired = self.forget_expiry(field).is_some_and(|at_ms| at_ms <= now_ms);
        let removed = match &mut self.form {
            Form::Packed(list, _) => match list.find(field, 2) {
                Some(position) => {
                    list.remove(position, 2);
                    true
                }
                None => false,
            },
            Form::Table(large) => large.fields.remove(field),
        };
        removed && !expired
    }

    /// Number of fields, expired ones that were not removed yet included, as HLEN counts.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Packed(list, _) => list.len() / 2,
            Form::Table(large) => large.fields.len(),
        }
    }

    /// Whether there is no field at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of fields that have not expired.
    pub fn live_len(&self, now_ms: u64) -> usize {
        self.len() - self.expiries().map_or(0, |expiries| expiries.due(now_ms).count())
    }

    /// The fields with their values: in the order they were added in a small hash, in no particular order in
    /// a large one.
    pub fn iter(&self, now_ms: u64) -> Iter<'_> {
        Iter {
            form: match &self.form {
                Form::Packed(list, _) => IterForm::Packed(list.iter()),
                Form::Table(large) => IterForm::Table(large.fields.iter(), large, now_ms),
            },
        }
    }

    /// The live fields of a part of the hash, which begins at 0 or where the part before ended, and where the
    /// next one begins, until the hash changes; `None` behind the last.
    pub fn iter_part(&self, part: usize, now_ms: u64) -> (Iter<'_>, Option<usize>) {
        match &self.form {
            Form::Packed(..) => (self.iter(now_ms), None),
            Form::Table(large) => {
                let (fields, next) = large.fields.iter_buckets(part, table::PART_BUCKETS);
                (Iter { form: IterForm::Table(fields, large, now_ms) }, next)
            }
        }
    }

    /// Fields and values in turn, for writing into a reply; `None` unless the hash is packed.
    pub fn pieces(&self) -> Option<packed::Pieces<'_>> {
        match &self.form {
            Form::Packed(list, _) => Some(list.pieces(list.start(), 1, list.len())),
            Form::Table(_) => None,
        }
    }

    /// A field with its value, each with the same probability.
    pub fn random(&self, rng: &mut fastrand::Rng, now_ms: u64) -> Option<(Element<'_>, Element<'_>)> {
        if self.is_empty() {
            return None;
        }
        match &self.form {
            Form::Packed(list, _) => {
                let mut pair = list.iter_from(list.position(2 * rng.usize(..list.len() / 2))?);
                Some((pair.next()?, pair.next()?))
            }
            Form::Table(large) => {
                let live = self.live_len(now_ms);
                if live == 0 {
                    return None;
                }
                if live >= self.len() / 4 {
                    loop {
                        let (field, value) = large.fields.random(rng)?;
                        if !large.is_expired(&field, now_ms) {
                            return Some((field, value));
                        }
                    }
                }
                self.iter(now_ms).nth(rng.usize(..live))
            }
        }
    }

    /// Calls `visit` with `count` different fields and their values, each choice with the same probability;
    /// with all fields when there are fewer.
    pub fn random_distinct(
        &self,
        count: usize,
        rng: &mut fastrand::Rng,
        now_ms: u64,
        mut visit: impl FnMut(&[u8], &[u8]),
    ) {
        let len = self.live_len(now_ms);
        if let Form::Table(_) = &self.form
            && count < len / 4
        {
            let mut chosen = table::MemberTable::new(rng.u64(..));
            while chosen.len() < count {
                let Some((field, value)) = self.random(rng, now_ms) else {
                    return;
                };
                if chosen.insert(&field) {
                    visit(&field, &value);
                }
            }
            return;
        }
        let mut wanted = count.min(len);
        for (passed, (field, value)) in self.iter(now_ms).enumerate() {
            if wanted == 0 {
                return;
            }
            if rng.usize(..len - passed) < wanted {
                wanted -= 1;
                visit(&field, &value);
            }
        }
    }

    /// Calls `visit` with some fields and their values and returns the cursor for the next call; 0 begins and
    /// ends. A hash that is not a table is visited whole. A field that is present from the first call to the
    /// last is visited, whatever is added and removed between them.
    pub fn scan(&self, cursor: u64, count: usize, now_ms: u64, mut visit: impl FnMut(&[u8], &[u8])) -> u64 {
        if let Form::Table(large) = &self.form {
            return large.fields.scan(cursor, count, |field, value| {
                if !large.is_expired(&field, now_ms) {
                    visit(&field, &value);
                }
            });
        }
        self.iter(now_ms).for_each(|(field, value)| visit(&field, &value));
        0
    }

    /// Prefetches the cache line that a lookup reads first; only tables have one. For a batch of commands,
    /// before they run.
    pub fn prefetch(&self, field: &[u8]) {
        if let Form::Table(large) = &self.form {
            large.fields.prefetch(field);
        }
    }

    /// Occupancy of the hash table, if there is one (DEBUG HTSTATS-KEY).
    pub fn occupancy(&self) -> Option<Occupancy> {
        match &self.form {
            Form::Packed(..) => None,
            Form::Table(large) => Some(large.fields.occupancy()),
        }
    }

    /// The word that OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        match self.form {
            Form::Packed(_, Name::Listpack) => "listpack",
            Form::Packed(_, Name::Hashtable) | Form::Table(_) => "hashtable",
        }
    }

    /// Bytes that the hash takes from the allocator, its own nine bytes not included.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Packed(list, _) => list.memory_bytes(),
            Form::Table(large) => {
                let of = |expiries: &Expiries| box_bytes::<Expiries>() + expiries.memory_bytes();
                let expiries = large.expiries.as_deref().map_or(0, of);
                box_bytes::<Large>() + large.fields.memory_bytes() + expiries
            }
        }
    }

    /// Expiry of a field, in milliseconds of Unix time; `None` if it has none or is not there.
    pub fn expire_at_ms(&self, field: &[u8]) -> Option<u64> {
        self.expiries()?.get(field)
    }

    /// Sets a field's expiry. Returns whether the field is there.
    pub fn set_expire(&mut self, field: &[u8], at_ms: u64) -> bool {
        let there = match &self.form {
            Form::Packed(list, _) => list.find(field, 2).is_some(),
            Form::Table(large) => large.fields.contains(field),
        };
        if there {
            let large = self.large();
            large.keep_frozen(field);
            large.expiries.get_or_insert_default().set(field, at_ms);
        }
        there
    }

    /// Removes a field's expiry. Returns whether it had one.
    pub fn persist(&mut self, field: &[u8]) -> bool {
        self.forget_expiry(field).is_some()
    }

    /// Whether any field has an expiry.
    pub fn has_expiries(&self) -> bool {
        self.expiries().is_some()
    }

    /// Earliest expiry of any field, in milliseconds of Unix time.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        self.expiries()?.first_ms()
    }

    /// Removes up to `limit` fields that have expired, the earliest first, and returns their names.
    pub fn take_expired(&mut self, now_ms: u64, limit: usize) -> Vec<Box<[u8]>> {
        let mut taken = Vec::new();
        if let Form::Table(large) = &mut self.form {
            while taken.len() < limit {
                large.keep_first_due(now_ms);
                let Some(field) = large.expiries.as_mut().and_then(|expiries| expiries.pop_due(now_ms))
                else {
                    break;
                };
                large.fields.remove(&field);
                large.drop_empty_expiries();
                taken.push(field);
            }
        }
        taken
    }

    /// Whether it is a table, which [`freeze`](Self::freeze) needs.
    pub fn is_table(&self) -> bool {
        matches!(self.form, Form::Table(_))
    }

    /// Marks the instant whose fields [`read_frozen`](Self::read_frozen) returns. Only for a table.
    pub fn freeze(&mut self, reading: Reading) {
        if let Form::Table(large) = &mut self.form {
            large.fields.freeze(reading);
        }
    }

    /// The number of the reading that is going on.
    pub fn reading(&self) -> Option<u64> {
        if let Form::Table(large) = &self.form { large.fields.reading() } else { None }
    }

    /// Ends a reading that nobody wants any more.
    pub fn thaw(&mut self) {
        if let Form::Table(large) = &mut self.form {
            large.fields.thaw();
        }
    }

    /// Calls `visit` with about `count` more of the fields of the instant, expired ones included: name,
    /// value, and when it ended then, in milliseconds of Unix time. Returns whether that was all.
    pub fn read_frozen(&mut self, count: usize, mut visit: impl FnMut(&[u8], &[u8], Option<u64>)) -> bool {
        match &mut self.form {
            Form::Table(large) => {
                let Large { fields, expiries } = &mut **large;
                let end_ms = |field: &[u8]| expiries.as_ref()?.get(field);
                let visit = |field: Element<'_>, value: Raw<'_>, end_ms| {
                    visit(&field, &Element::from(value), end_ms);
                };
                fields.read_frozen(count, end_ms, visit)
            }
            Form::Packed(..) => true,
        }
    }

    fn expiries(&self) -> Option<&Expiries> {
        match &self.form {
            Form::Packed(..) => None,
            Form::Table(large) => large.expiries.as_deref(),
        }
    }

    fn forget_expiry(&mut self, field: &[u8]) -> Option<u64> {
        let Form::Table(large) = &mut self.form else {
            return None;
        };
        large.keep_frozen(field);
        let at_ms = large.expiries.as_mut()?.remove(field)?;
        large.drop_empty_expiries();
        Some(at_ms)
    }

    fn put(&mut self, field: &[u8], value: &[u8], limits: &HashLimits) -> bool {
        let (list, name) = match &mut self.form {
            Form::Table(large) => {
                large.keep_frozen(field);
                return large.fields.set(field, value);
            }
            Form::Packed(list, name) => (list, name),
        };
        if field.len().max(value.len()) > limits.max_listpack_value {
            *name = Name::Hashtable;
        }
        let has_room = match name {
            Name::Listpack => list.has_room(field.len() + value.len()),
            Name::Hashtable => {
                list.len() / 2 < NAMED_TABLE_FIELDS
                    && list.byte_len() + field.len() + value.len() <= NAMED_TABLE_BYTES
            }
        };
        if !has_room {
            return self.large().fields.set(field, value);
        }
        if let Some(position) = list.find(field, 2) {
            list.replace(list.skip(position, 1), value);
            return false;
        }
        list.push_pair(field, value);
        if list.len() / 2 > limits.max_listpack_entries {
            *name = Name::Hashtable;
            if list.len() / 2 > NAMED_TABLE_FIELDS {
                self.large();
            }
        }
        true
    }

    /// The hash as a table, into which a packed one is changed.
    fn large(&mut self) -> &mut Large {
        if let Form::Packed(list, _) = &self.form {
            let mut fields = new_table();
            let mut elements = list.iter();
            while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
                fields.set(&field, &value);
            }
            self.form = Form::Table(Owned::new(Large { fields, expiries: None }));
        }
        match &mut self.form {
            Form::Table(large) => large,
            Form::Packed(..) => unreachable!("made a table above"),
        }
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    fn assert_invariants(&self) {
        match &self.form {
            Form::Packed(list, name) => {
                list.assert_invariants();
                assert_eq!(list.len() % 2, 0);
                if *name == Name::Hashtable {
                    assert!(
                        list.len() / 2 <= NAMED_TABLE_FIELDS && list.byte_len() <= NAMED_TABLE_BYTES + 32
                    );
                }
            }
            Form::Table(large) => {
                large.fields.assert_invariants();
                if let Some(expiries) = &large.expiries {
                    assert!(!expiries.is_empty(), "empty ones are dropped");
                    expiries.assert_invariants(|field| large.fields.contains(field));
                }
            }
        }
    }
}

impl Clone for Hash {
    fn clone(&self) -> Self {
        let form = match &self.form {
            Form::Packed(list, name) => Form::Packed(list.clone(), *name),
            Form::Table(large) => {
                let mut fields = new_table();
                large.fields.iter().for_each(|(field, value)| {
                    fields.set(&field, &value);
                });
                let mut expiries = None::<Box<Expiries>>;
                for (at_ms, field) in large.expiries.iter().flat_map(|expiries| expiries.iter()) {
                    expiries.get_or_insert_default().set(field, at_ms);
                }
                Form::Table(Owned::new(Large { fields, expiries }))
            }
        };
        Self { form }
    }
}

impl Large {
    fn is_expired(&self, field: &[u8], now_ms: u64) -> bool {
        self.expiries.as_ref().is_some_and(|expiries| expiries.is_due(field, now_ms))
    }

    /// Called before a field or its expiry changes: where the hash is being read as it was, what is not read
    /// yet is kept with its expiries.
    #[inline]
    fn keep_frozen(&mut self, field: &[u8]) {
        if self.fields.reading().is_some() {
            let expiries = &self.expiries;
            self.fields.copy_frozen(field, |field| expiries.as_ref()?.get(field));
        }
    }

    /// [`keep_frozen`](Self::keep_frozen) of the field that ends first, if it is due.
    fn keep_first_due(&mut self, now_ms: u64) {
        if self.fields.reading().is_some()
            && let Some(expiries) = &self.expiries
            && let Some(field) = expiries.due(now_ms).next()
        {
            self.fields.copy_frozen(field, |field| expiries.get(field));
        }
    }

    fn drop_empty_expiries(&mut self) {
        if self.expiries.as_ref().is_some_and(|expiries| expiries.is_empty()) {
            self.expiries = None;
        }
    }
}

fn new_table() -> FieldTable {
    FieldTable::new(fastrand::u64(..))
}

/// The fields of a hash with their values.
pub struct Iter<'a> {
    form: IterForm<'a>,
}

enum IterForm<'a> {
    Packed(packed::Iter<'a>),
    Table(table::Iter<'a, true>, &'a Large, u64),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Element<'a>, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.form {
            IterForm::Packed(list) => Some((list.next()?, list.next()?)),
            IterForm::Table(table, large, now_ms) => {
                table.find(|(field, _)| !large.is_expired(field, *now_ms))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SMALL: HashLimits = HashLimits { max_listpack_entries: 10, max_listpack_value: 12 };

    fn field() -> impl Strategy<Value = Vec<u8>> {
        (0u32..30).prop_map(|number| {
            if number % 3 == 0 { number.to_string() } else { format!("field:{number}") }.into_bytes()
        })
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => proptest::collection::vec(any::<u8>(), 0..9),
            2 => any::<i32>().prop_map(|value| value.to_string().into_bytes()),
            1 => Just(b"longer than the limit".to_vec()),
        ]
    }

    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

    fn live(model: &Model, now_ms: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let alive = |expiry: &Option<u64>| expiry.is_none_or(|at_ms| at_ms > now_ms);
        model
            .iter()
            .filter(|(_, (_, expiry))| alive(expiry))
            .map(|(field, (value, _))| (field.clone(), value.clone()))
            .collect()
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_with_times(
            steps in proptest::collection::vec((0u8..12, field(), value(), 0u64..100), 1..150),
            seed: u64,
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut hash = Hash::new();
            let mut model = Model::new();
            let mut now_ms = 0;
            for (kind, field, value, time) in steps {
                let before = live(&model, now_ms);
                match kind {
                    0..=4 => {
                        prop_assert_eq!(hash.set(&field, &value, now_ms, &SMALL), !before.contains_key(&field));
                        model.insert(field.clone(), (value, None));
                    }
                    5 => {
                        prop_assert_eq!(
                            hash.set_keeping_expiry(&field, &value, now_ms, &SMALL),
                            !before.contains_key(&field)
                        );
                        let kept = before.contains_key(&field).then(|| model[&field].1).flatten();
                        model.insert(field.clone(), (value, kept));
                    }
                    6 | 7 => {
                        prop_assert_eq!(hash.remove(&field, now_ms), before.contains_key(&field));
                        model.remove(&field);
                    }
                    8 | 9 => {
                        let at_ms = now_ms + time;
                        prop_assert_eq!(hash.set_expire(&field, at_ms), model.contains_key(&field));
                        if let Some((_, expiry)) = model.get_mut(&field) { *expiry = Some(at_ms); }
                    }
                    10 => {
                        let had = model.get_mut(&field).and_then(|(_, expiry)| expiry.take()).is_some();
                        prop_assert_eq!(hash.persist(&field), had);
                    }
                    _ => {
                        now_ms += time;
                        if time % 2 == 0 {
                            let mut taken: Vec<Vec<u8>> =
                                hash.take_expired(now_ms, usize::MAX).into_iter().map(Vec::from).collect();
                            taken.sort();
                            let alive = live(&model, now_ms);
                            let due: Vec<Vec<u8>> =
                                model.keys().filter(|field| !alive.contains_key(*field)).cloned().collect();
                            prop_assert_eq!(taken, due);
                            model.retain(|field, _| alive.contains_key(field));
                        }
                    }
                }
                hash.assert_invariants();
                let alive = live(&model, now_ms);
                prop_assert_eq!(hash.len(), model.len());
                prop_assert_eq!(hash.live_len(now_ms), alive.len());
                prop_assert_eq!(hash.next_expiry_ms(), model.values().filter_map(|(_, expiry)| *expiry).min());
                prop_assert_eq!(hash.expire_at_ms(&field), model.get(&field).and_then(|(_, expiry)| *expiry));
                prop_assert_eq!(hash.get(&field, now_ms).map(|value| value.to_vec()), alive.get(&field).cloned());
                prop_assert_eq!(hash.contains(&field, now_ms), alive.contains_key(&field));
                match hash.random(&mut rng, now_ms) {
                    Some((field, value)) => prop_assert_eq!(alive.get(&*field), Some(&value.to_vec())),
                    None => prop_assert!(alive.is_empty()),
                }
            }
            let alive = live(&model, now_ms);
            let all: BTreeMap<Vec<u8>, Vec<u8>> =
                hash.iter(now_ms).map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
            prop_assert_eq!(&all, &alive);
            let mut scanned = BTreeMap::new();
            let mut cursor = 0;
            loop {
                cursor = hash.scan(cursor, 3, now_ms, |field, value| {
                    scanned.insert(field.to_vec(), value.to_vec());
                });
                if cursor == 0 { break; }
            }
            prop_assert_eq!(&scanned, &alive);
            for count in [0, alive.len() / 5, alive.len() / 2, alive.len() + 1] {
                let mut chosen = BTreeMap::new();
                hash.random_distinct(count, &mut rng, now_ms, |field, value| {
                    chosen.insert(field.to_vec(), value.to_vec());
                });
                prop_assert_eq!(chosen.len(), count.min(alive.len()));
                prop_assert!(chosen.iter().all(|(field, value)| alive.get(field) == Some(value)));
            }
            let copy = hash.clone();
            copy.assert_invariants();
            prop_assert_eq!(copy.iter(now_ms).count(), alive.len());
            prop_assert_eq!(copy.next_expiry_ms(), hash.next_expiry_ms());
        }
    }

    #[test]
    fn encodings_change_where_redis_changes_them() {
        let limits = HashLimits { max_listpack_entries: 3, max_listpack_value: 4 };
        let mut hash = Hash::new();
        for field in [b"c", b"a", b"b"] {
            assert!(hash.set(field, b"1", 0, &limits));
        }
        assert_eq!(hash.encoding(), "listpack");
        assert!(
            hash.iter(0).map(|(field, _)| field.to_vec()).eq([b"c", b"a", b"b"].map(|field| field.to_vec()))
        );
        assert!(!hash.set(b"a", b"2", 0, &limits));
        assert_eq!(hash.encoding(), "listpack");
        assert!(hash.set(b"d", b"1", 0, &limits));
        assert_eq!((hash.encoding(), hash.len()), ("hashtable", 4));

        let mut hash = Hash::new();
        hash.set(b"a", b"12345", 0, &limits);
        assert_eq!(hash.encoding(), "hashtable");
        assert!(matches!(hash.form, Form::Packed(..)), "one field is no reason for a table");
        hash.set(b"b", &[b'x'; NAMED_TABLE_BYTES], 0, &limits);
        assert!(matches!(hash.form, Form::Table(_)));
        assert_eq!(hash.get(b"a", 0).as_deref(), Some(&b"12345"[..]));
        let mut hash = Hash::new();
        for number in 0..=NAMED_TABLE_FIELDS {
            assert!(matches!(hash.form, Form::Packed(..)));
            hash.set(number.to_string().as_bytes(), b"longer", 0, &limits);
        }
        assert!(matches!(hash.form, Form::Table(_)));
        assert_eq!(hash.len(), NAMED_TABLE_FIELDS + 1);
        let mut hash = Hash::new();
        hash.expect(4, &limits);
        assert_eq!(hash.encoding(), "hashtable");
        let mut hash = Hash::new();
        hash.set(b"a", b"1", 0, &limits);
        assert!(!hash.set_expire(b"b", 5));
        assert_eq!(hash.encoding(), "listpack");
        assert!(hash.set_expire(b"a", 5));
        assert_eq!(hash.encoding(), "hashtable");
        assert!(size_of::<Hash>() <= 16);
    }
}
