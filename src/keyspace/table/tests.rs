use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::keyspace::key_hash::hash_of_parts;

fn hasher() -> KeyHasher {
    KeyHasher::with_seed(11)
}

fn name(number: u32) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

fn insert(table: &mut SlotTable, number: u32, value: u64) {
    let (name, hasher) = (name(number), hasher());
    let record = Record::new_int(&name, value as i64, None);
    insert_new(table, hasher.hash(&name), record, &hasher);
}

fn value_of(record: &Record) -> u64 {
    match record.value() {
        super::super::record::ValueRef::Int(value) => value as u64,
        other => panic!("{other:?}"),
    }
}

/// Checks the invariants of a table: entries are in or behind their home buckets, buckets between are full,
/// and their overflow counters count what passed them.
fn check(table: &SlotTable) {
    let hasher = hasher();
    let count = table.count as usize;
    let mut passed = vec![0usize; count];
    let mut len = 0;
    for (position, bucket) in table.buckets().iter().enumerate() {
        assert!(bucket.used() <= ENTRIES);
        for index in 0..bucket.used() {
            len += 1;
            let word = bucket.word(index);
            let record = table.record((position, index));
            let fingerprint = hasher.fingerprint(record.key());
            let (tag, extra) = window_of(fingerprint, level(table.count));
            assert_eq!((bucket.tags[index], word >> EXTRA_SHIFT & EXTRA_MASK), (tag, extra));
            let mut at = home(fingerprint, table.count);
            assert_eq!(word & DISPLACED != 0, at != position);
            if at == position {
                let range = Range::of(position, table.count);
                assert!((range.first..=range.last).contains(&u64::from(fingerprint)));
            }
            while at != position {
                passed[at] += 1;
                at = table.next(at);
            }
        }
    }
    assert_eq!(len, table.len());
    assert!(len <= capacity(count));
    for (bucket, passed) in table.buckets().iter().zip(passed) {
        // Once at its highest the counter stays there.
        let overflow = usize::from(bucket.overflow());
        assert!(overflow == passed || overflow == usize::from(OVERFLOW_MAX), "{overflow} {passed}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u32),
    Remove(u32),
    Replace(u32),
    Overwrite(u32),
    RemoveMany(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0u32..600;
    prop_oneof![
        8 => key.clone().prop_map(Step::Insert),
        3 => key.clone().prop_map(Step::Remove),
        1 => key.clone().prop_map(Step::Replace),
        1 => key.clone().prop_map(Step::Overwrite),
        1 => (0u32..20).prop_map(Step::RemoveMany),
    ]
}

fn remove(table: &mut SlotTable, key: &HashedKey<'_>, hasher: &KeyHasher) -> Option<RecordBox> {
    let at = locate(table, key)?;
    let record = remove_at(table, key, at);
    shrink_if_sparse(table, hasher);
    Some(record)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_table_is_a_map(steps in prop::collection::vec(step(), 0..1500), keep: bool) {
        let hasher = hasher();
        let (mut table, mut model) = (SlotTable::new(), HashMap::new());
        for (time, step) in steps.into_iter().enumerate() {
            let value = time as u64;
            match step {
                Step::Insert(number) => {
                    let name = name(number);
                    let key = hasher.key(&name);
                    prop_assert_eq!(find(&table, &key).map(value_of), model.get(&number).copied());
                    if let std::collections::hash_map::Entry::Vacant(entry) = model.entry(number) {
                        entry.insert(value);
                        insert(&mut table, number, value);
                    }
                }
                Step::Remove(number) => {
                    let removed = remove(&mut table, &hasher.key(&name(number)), &hasher);
                    prop_assert_eq!(removed.map(|record| value_of(&record)), model.remove(&number));
                }
                Step::Replace(number) => {
                    let name = name(number);
                    let place = find_owner(&mut table, &hasher.key(&name));
                    prop_assert_eq!(place.is_some(), model.contains_key(&number));
                    if let Some(mut place) = place {
                        *place = Record::new_int(&name, value as i64, Some(value));
                        model.insert(number, value);
                    }
                }
                Step::Overwrite(number) => {
                    if let Some(at) = locate(&table, &hasher.key(&name(number))) {
 let record = at_mut(&mut table, at);
                        prop_assert!(record.overwrite_int(value as i64));
                        model.insert(number, value);
                    }
                }
                Step::RemoveMany(from) => {
                    if keep { continue }
                    for number in from * 30..from * 30 + 60 {
                        let removed = remove(&mut table, &hasher.key(&name(number)), &hasher);
                        prop_assert_eq!(removed.map(|record| value_of(&record)), model.remove(&number));
                    }
                }
            }
            if time % 16 == 0 {
                check(&table);
            }
        }
        check(&table);
        let mut all: Vec<_> = iter(&table).map(|record| (record.key().to_vec(), value_of(record))).collect();
        let mut expected: Vec<_> = model.iter().map(|(number, value)| (name(*number), *value)).collect();
        all.sort();
        expected.sort();
        prop_assert_eq!(all, expected);
    }

    #[test]
    fn the_bits_of_an_entry_tell_its_home_after_growth(fingerprint: u32, count in 1u32..5000, grown in 1u32..5000) {
        if level(count) != level(grown) {
            return Ok(());
        }
        let (tag, extra) = window_of(fingerprint, level(count));
        let known = Range::of(home(fingerprint, count), count).home_in(grown, tag, extra);
        if let Some(known) = known {
            prop_assert_eq!(known, home(fingerprint, grown));
        }
    }

    #[test]
    fn an_entry_keeps_address_and_bits(address in 1u64..1 << 45, extra in 0u64..4, index in 0..ENTRIES) {
        let address = NonNull::new(std::ptr::without_provenance_mut::<u8>((address << 3) as usize)).unwrap();
        let mut bucket = Bucket { tags: [0; ENTRIES], counts: 0, words: [[0xff; 6]; ENTRIES] };
        bucket.set_word(index, word_of(address, extra) | DISPLACED);
        let word = bucket.word(index);
        prop_assert_eq!(address_of(word).as_ptr().addr(), address.as_ptr().addr());
        prop_assert_eq!((word >> EXTRA_SHIFT & EXTRA_MASK, word & DISPLACED), (extra, DISPLACED));
    }
}

/// Almost all homes are told by the bits, or growing would read every record.
#[test]
fn few_records_are_read_for_growth() {
    let mut rng = fastrand::Rng::with_seed(5);
    for (count, grown) in [(1u32, 2), (3, 4), (5, 6), (7, 8), (8, 10), (14, 16), (20, 24), (200, 224)] {
        let unknown = (0..10_000)
            .filter(|_| {
                let fingerprint = rng.u32(..);
                let (tag, extra) = window_of(fingerprint, level(count));
                Range::of(home(fingerprint, count), count).home_in(grown, tag, extra).is_none()
            })
            .count();
        assert!(unknown < 200, "{count} {grown} {unknown}");
    }
}

#[test]
fn a_table_of_thousands_grows_and_shrinks() {
    let (mut table, hasher) = (SlotTable::new(), hasher());
    for number in 0..50_000 {
        insert(&mut table, number, number.into());
        if number % 5_000 == 0 {
            check(&table);
        }
    }
    check(&table);
    assert!(table.memory_bytes() < 50_000 * 11);
    for number in 0..50_000 {
        let key = name(number);
        let key = hasher.key(&key);
        assert_eq!(find(&table, &key).map(value_of), Some(number.into()));
        if number > 100 {
            assert!(remove(&mut table, &key, &hasher).is_some());
            assert!(find(&table, &key).is_none());
        }
    }
    check(&table);
    assert_eq!(table.len(), 101);
    assert!(table.memory_bytes() < 5_000, "{}", table.memory_bytes());
}

/// Keys whose fingerprints are equal, or share home and tag, are told apart by themselves.
#[test]
fn colliding_fingerprints_are_told_apart() {
    // The table is told the same hash for all: it never grows here, so it does not ask the hasher.
    let hasher = hasher();
    let mut table = SlotTable::with_buckets(40);
    for fingerprint in [7, 0xffff_ffff] {
        let hash = hash_of_parts(0, fingerprint);
        for number in 0..100u32 {
            let name = name(number * 2 + fingerprint % 2);
            insert_new(&mut table, hash, Record::new_int(&name, number.into(), None), &hasher);
        }
    }
    assert_eq!(table.count, 40);
    for fingerprint in [7u32, 0xffff_ffff] {
        let hash = hash_of_parts(0, fingerprint);
        for number in 0..100u32 {
            let name = name(number * 2 + fingerprint % 2);
            let key = HashedKey { bytes: &name, hash };
            assert_eq!(find(&table, &key).map(value_of), Some(number.into()));
            let taken = remove_where(&mut table, hash, |record| record.key() == name);
            assert_eq!(taken.as_deref().map(value_of), Some(number.into()));
            assert!(find(&table, &key).is_none());
        }
    }
    assert!(table.is_empty());
}

#[test]
fn a_search_in_an_empty_table_finds_nothing() {
    let (mut table, hasher) = (SlotTable::new(), hasher());
    let key = hasher.key(b"nothing");
    assert!(find(&table, &key).is_none() && remove(&mut table, &key, &hasher).is_none());
    assert!(iter(&table).next().is_none() && random(&table, &mut fastrand::Rng::with_seed(1)).is_none());
    prefetch_hinted(table.hint(), key.hash);
    prefetch_record(&table, key.hash);
    assert_eq!(table.memory_bytes(), 0);
}

#[test]
fn steps_of_growth_fill_the_allocators_blocks() {
    let mut count = 0;
    for expected in [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40] {
        count = count_after(count);
        assert_eq!(count, expected);
    }
    while count < 100_000_000 {
        let after = count_after(count);
        assert!(after * 100 >= count * 109, "{count} {after}");
        count = after;
    }
}
