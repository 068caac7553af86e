//! A slot's table with its records does what a map does, whatever the keys, values and expiries.
#![no_main]

use std::collections::HashMap;

use kvarts::keyspace::key_hash::KeyHasher;
use kvarts::keyspace::record::{Record, RecordBox, ValueRef};
use kvarts::keyspace::table::{self, SlotTable};
use kvarts::keyspace::value::Object;
use kvarts::types::hash::{Hash, HashLimits};
use libfuzzer_sys::fuzz_target;

/// One step: what to do, with which key, value and expiry.
type Step = (u8, u16, Vec<u8>, Option<u64>);

fn key_of(number: u16) -> Vec<u8> {
    // Some are longer than a byte can say.
    let padding = if number % 97 == 0 { 300 } else { usize::from(number % 23) };
    format!("{number}{}", "k".repeat(padding)).into_bytes()
}

fn new_record(what: u8, key: &[u8], value: &[u8], expire_at_ms: Option<u64>) -> RecordBox {
    match what % 3 {
        0 => Record::new_string(key, value, expire_at_ms, what % 2 == 0),
        1 => Record::new_int(key, value.len() as i64, expire_at_ms),
        _ => {
            let mut hash = Hash::new();
            hash.set(b"field", value, 0, &HashLimits::default());
            Record::new_object(key, Object::Hash(hash), expire_at_ms)
        }
    }
}

/// What a record holds, as bytes that tell values apart.
fn value_of(record: &Record) -> Vec<u8> {
    match record.value() {
        ValueRef::Bytes(bytes) => [b"s", bytes].concat(),
        ValueRef::Int(value) => format!("i{value}").into_bytes(),
        ValueRef::Object(Object::Text(bytes)) => [b"s", &bytes[..]].concat(),
        ValueRef::Object(Object::Hash(hash)) => {
            let field = hash.get(b"field", 0).map(|element| element.to_vec());
            [b"h", &field.unwrap_or_default()[..]].concat()
        }
        ValueRef::Object(other) => panic!("{other:?}"),
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let hasher = KeyHasher::with_seed(1);
    let mut table = SlotTable::new();
    let mut model: HashMap<Vec<u8>, (Vec<u8>, Option<u64>)> = HashMap::new();
    for (what, number, value, expire_at_ms) in steps {
        let bytes = key_of(number);
        let key = hasher.key(&bytes);
        match (what % 8, table::locate(&table, &key)) {
            (0..=2, None) => {
                let record = new_record(what, &bytes, &value, expire_at_ms);
                model.insert(bytes.clone(), (value_of(&record), expire_at_ms));
                table::insert_new(&mut table, key.hash, record, &hasher);
            }
            (0..=2, Some(at)) => {
                let record = new_record(what, &bytes, &value, expire_at_ms);
                model.insert(bytes.clone(), (value_of(&record), expire_at_ms));
                *table::owner_at(&mut table, at) = record;
            }
            (3, Some(at)) => {
                let record = table::remove_at(&mut table, &key, at, &hasher);
                let (value, expire_at_ms) = model.remove(&bytes).expect("the model has it too");
                assert_eq!((value_of(&record), record.expire_at_ms()), (value, expire_at_ms));
            }
            (4, Some(at)) => {
                table::owner_at(&mut table, at).set_expire_at_ms(expire_at_ms);
                model.get_mut(&bytes).expect("the model has it too").1 = expire_at_ms;
            }
            (5, Some(at)) if table::at_mut(&mut table, at).overwrite_string(&value) => {
                model.get_mut(&bytes).expect("the model has it too").0 = [b"s", &value[..]].concat();
            }
            (6, Some(at)) if table::at_mut(&mut table, at).overwrite_int(i64::from(number)) => {
                model.get_mut(&bytes).expect("the model has it too").0 = format!("i{number}").into_bytes();
            }
            (7, at) => {
                table::prefetch_hinted(table.hint(), key.hash);
                assert_eq!(at.is_some(), model.contains_key(&bytes));
            }
            _ => {}
        }
        assert_eq!(table.len(), model.len());
    }
    for (bytes, (value, expire_at_ms)) in &model {
        let record = table::find(&table, &hasher.key(bytes)).expect("what the model has is there");
        assert_eq!((&value_of(record), record.expire_at_ms()), (value, *expire_at_ms));
    }
    assert_eq!(table::iter(&table).count(), model.len());
});
