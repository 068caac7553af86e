//! Whatever bytes stand in the manifest of an append-only file: they are read or refused, and what was read
//! is the same when it is written and read again.
#![no_main]

use kvarts::aof::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        // Lines that are longer in quotes than they came may be too long then.
        if let Ok(again) = Manifest::parse(&manifest.to_bytes()) {
            assert_eq!(again, manifest);
        }
    }
});
