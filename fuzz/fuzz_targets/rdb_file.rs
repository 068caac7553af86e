//! Whatever follows the header of an RDB file, in pieces of any length: there is an end or an error, and each
//! value that is read is written so that it reads back the same.
#![no_main]

use kvarts::rdb::file::read::{Accept, FileReader, Item, Next};
use kvarts::rdb::{self, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&[family, piece], items)) = input.split_first_chunk() else { return };
    let magic: &[u8] = if family % 2 == 0 { b"REDIS0014" } else { b"VALKEY081" };
    let limits = Limits { string_max: 1 << 20, ..Limits::default() };
    let accept = Accept { any_version: false, any_checksum: true, string_max: 1 << 20 };
    let mut reader = FileReader::new(accept);
    for piece in [magic, items].concat().chunks(1 + usize::from(piece)) {
        reader.feed(piece);
        loop {
            match reader.read_next() {
                Ok(Next::Item(Item::Key(key))) => {
                    let Ok(Ok(record)) = key.record(&limits, 0) else { continue };
                    let dumped = rdb::dump(&record);
                    let again = rdb::restore(&dumped, &limits).expect("what DUMP writes is read");
                    assert_eq!(rdb::dump(&again.into_record(b"key", None)).len(), dumped.len());
                }
                Ok(Next::Item(_)) => {}
                Ok(Next::More) => break,
                Ok(Next::End) => return,
                Err(error) => return assert!(!error.to_string().is_empty()),
            }
        }
    }
});
