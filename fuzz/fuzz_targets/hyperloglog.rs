//! Whatever bytes claim to be a HyperLogLog: they are refused or counted, without a panic, and both forms
//! count the same.
#![no_main]

use kvarts::types::hyperloglog::{self, Registers};
use libfuzzer_sys::fuzz_target;

/// As `hll-sparse-max-bytes`.
const SPARSE_MAX: usize = 3000;

fn registers(bytes: &[u8]) -> Option<Registers> {
    let mut registers = Registers::default();
    registers.join(bytes).ok().map(|()| registers)
}

fuzz_target!(|input: (bool, Vec<u8>, Vec<Vec<u8>>)| {
    let (whole, given, elements) = input;
    // Mostly with a right header, else hardly any input would come past it.
    let mut bytes = if whole { given } else { [&hyperloglog::empty()[..16], &given[..]].concat() };
    drop(hyperloglog::describe(&bytes));
    let _ = hyperloglog::estimate(&bytes);
    let valid = registers(&bytes).is_some();
    for element in &elements {
        let added = hyperloglog::add(&mut bytes, element, SPARSE_MAX);
        assert!(added.is_ok() || !valid, "a valid one takes every element");
    }
    if !valid {
        return;
    }
    let before = registers(&bytes).expect("still valid");
    let mut dense = bytes.clone();
    hyperloglog::make_dense(&mut dense).expect("a valid one has a dense form");
    let after = registers(&dense).expect("valid as well");
    assert_eq!(before.as_slice(), after.as_slice());
    for element in &elements {
        assert_eq!(hyperloglog::add(&mut dense, element, SPARSE_MAX).ok(), Some(false), "it was added before");
    }
});
