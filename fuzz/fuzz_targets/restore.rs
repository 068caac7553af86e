//! Whatever payload RESTORE is given: it is refused, or it makes a value that DUMP writes so that it reads
//! back the same.
#![no_main]

use kvarts::rdb::{self, FooterCheck, Limits};
use kvarts::types::hash::HashLimits;
use kvarts::types::list::ListLimits;
use kvarts::types::set::SetLimits;
use kvarts::types::stream::StreamLimits;
use kvarts::types::zset::ZSetLimits;
use libfuzzer_sys::fuzz_target;

/// A version, and a checksum of zero, which stands for none.
const FOOTER: [u8; 10] = [11, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fuzz_target!(|body: &[u8]| {
    let limits = Limits {
        footer: FooterCheck::default(),
        set: SetLimits::default(),
        hash: HashLimits::default(),
        list: ListLimits::default(),
        zset: ZSetLimits::default(),
        stream: StreamLimits::default(),
        string_max: 1 << 20,
    };
    drop(rdb::restore(body, &limits));
    let Ok(restored) = rdb::restore(&[body, &FOOTER].concat(), &limits) else { return };
    let record = restored.into_record(b"key", None);
    let dumped = rdb::dump(&record);
    let again = rdb::restore(&dumped, &limits).expect("what DUMP writes is read").into_record(b"key", None);
    assert_eq!(record.encoding(), again.encoding());
    assert_eq!(rdb::dump(&again).len(), dumped.len());
});
