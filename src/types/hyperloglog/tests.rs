use super::*;
use proptest::prelude::*;

const SPARSE_MAX: usize = 3000;

fn registers_of(bytes: &[u8]) -> Vec<u8> {
    let mut registers = Registers::default();
    registers.join(bytes).unwrap();
    registers.0.into()
}

/// A HyperLogLog with these registers, and a model of them.
fn raised(steps: &[(u16, u8)], sparse_max: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut bytes, mut model) = (empty(), vec![0; REGISTERS]);
    for (index, value) in steps {
        let (index, value) = (usize::from(*index) % REGISTERS, value % 51 + 1);
        let raises = model[index] < value;
        assert_eq!(raise(&mut bytes, index, value, sparse_max), Ok(raises));
        model[index] = model[index].max(value);
    }
    (bytes, model)
}

/// Registers close together, so that runs meet, with mostly small values.
fn steps() -> impl Strategy<Value = Vec<(u16, u8)>> {
    let index = prop_oneof![0u16..40, 16_340u16..16_384, any::<u16>()];
    let value = prop_oneof![4 => 0u8..3, 1 => any::<u8>()];
    prop::collection::vec((index, value), 0..200)
}

proptest! {
    #[test]
    fn registers_agree_with_an_array(steps in steps(), sparse_max in 16usize..400) {
        let (bytes, model) = raised(&steps, sparse_max);
        prop_assert_eq!(registers_of(&bytes), model.clone());
        let sparse = form(&bytes) == Ok(Form::Sparse);
        prop_assert!(!sparse || bytes.len() <= sparse_max.max(empty().len()));
        let mut dense = bytes.clone();
        prop_assert_eq!(make_dense(&mut dense), Ok(sparse));
        prop_assert_eq!(dense.len(), DENSE_LEN);
        prop_assert_eq!(registers_of(&dense), model);
        prop_assert_eq!(estimate(&dense), estimate(&bytes));
    }

    #[test]
    fn joining_takes_the_higher_registers(first in steps(), second in steps(), dense: bool) {
        let ((first, first_model), (mut second, second_model)) =
            (raised(&first, SPARSE_MAX), raised(&second, SPARSE_MAX));
        let expected: Vec<u8> = first_model.iter().zip(&second_model).map(|(a, b)| *a.max(b)).collect();
        let mut registers = Registers::default();
        registers.join(&first).unwrap();
        prop_assert_eq!(raise_all(&mut second, &registers, dense, SPARSE_MAX), Ok(()));
        prop_assert_eq!(registers_of(&second), expected.clone());
        prop_assert!(!dense || form(&second) == Ok(Form::Dense));
        prop_assert_eq!(known_estimate(&second), None);
        registers.join(&second).unwrap();
        prop_assert_eq!(registers.as_slice(), &expected);
        prop_assert_eq!(Ok(registers.estimate()), estimate(&second));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(tail in prop::collection::vec(any::<u8>(), 0..60), form: u8) {
        let mut bytes = empty();
        bytes.truncate(HEADER);
        bytes[FORM_AT] = form % 3;
        bytes.extend(tail);
        let before = bytes.clone();
        let whole = check(&bytes);
        prop_assert_eq!(estimate(&bytes).err(), whole.err());
        prop_assert_eq!(describe(&bytes).err(), whole.err());
        prop_assert_eq!(Registers::default().join(&bytes), whole);
        if whole.is_err() {
            prop_assert_eq!(make_dense(&mut bytes), whole.map(|()| true));
            prop_assert_eq!(raise_all(&mut bytes, &Registers::default(), false, SPARSE_MAX), whole);
            prop_assert_eq!(&bytes, &before);
            if add(&mut bytes, b"element", SPARSE_MAX).is_err() {
                prop_assert_eq!(&bytes, &before);
            }
        }
    }
}

#[test]
fn estimates_are_close() {
    let mut bytes = empty();
    let mut seen = 0u64;
    for wanted in [1u64, 10, 100, 1000, 10_000, 100_000] {
        while seen < wanted {
            seen += 1;
            add(&mut bytes, seen.to_string().as_bytes(), SPARSE_MAX).unwrap();
        }
        let estimate = estimate(&bytes).unwrap();
        // The standard error is 1.04 / sqrt(16384): 0.81 %.
        assert!(estimate.abs_diff(wanted) as f64 <= wanted as f64 * 0.03, "{estimate} for {wanted}");
    }
    assert_eq!(form(&bytes), Ok(Form::Dense));
}

#[test]
fn nothing_seen_is_nothing() {
    let bytes = empty();
    assert_eq!(bytes.len(), HEADER + 2);
    assert_eq!(known_estimate(&bytes), Some(0));
    assert_eq!(estimate(&bytes), Ok(0));
    assert_eq!(describe(&bytes).unwrap(), "Z:16384");
}

/// As a running Valkey writes it after PFADD key a b c.
#[test]
fn the_bytes_are_those_of_valkey() {
    let mut bytes = empty();
    for element in [b"a", b"b", b"c"] {
        assert_eq!(add(&mut bytes, element, SPARSE_MAX), Ok(true));
        assert_eq!(add(&mut bytes, element, SPARSE_MAX), Ok(false));
    }
    assert_eq!(describe(&bytes).unwrap(), "Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603");
    assert_eq!(bytes, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x60\xf3\x80\x50\xb1\x84\x4b\xfb\x80\x42\x5a");
    assert_eq!(known_estimate(&bytes), None);
    assert_eq!(estimate(&bytes), Ok(3));
    keep_estimate(&mut bytes, 3);
    assert_eq!(known_estimate(&bytes), Some(3));
}

#[test]
fn values_beyond_the_sparse_form_make_it_dense() {
    let mut bytes = empty();
    assert_eq!(raise(&mut bytes, 5, 32, SPARSE_MAX), Ok(true));
    assert_eq!(form(&bytes), Ok(Form::Sparse));
    assert_eq!(raise(&mut bytes, 5, 33, SPARSE_MAX), Ok(true));
    assert_eq!(form(&bytes), Ok(Form::Dense));
    assert_eq!(dense_get(&bytes, 5), 33);
}

#[test]
fn other_strings_are_foreign() {
    let mut short = empty();
    short[FORM_AT] = DENSE;
    for bytes in [&b""[..], b"HYLL", b"XYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff", &short] {
        assert_eq!(form(bytes), Err(Invalid::Foreign));
    }
}
