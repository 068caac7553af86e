//! What several elements begin with: it is written once, before the first of them.

use super::entry::PREFIX_MAX;

/// What two elements begin with. Digits at its end are left out, as others will differ there; and so no integer begins with it, for an
/// integer is kept as one.
pub(super) fn common_prefix<'a>(a: &'a [u8], b: &[u8]) -> &'a [u8] {
    let mut prefix = &a[..common_len(a, b).min(PREFIX_MAX)];
    while let [shorter @ .., b'0'..=b'9'] = prefix {
        prefix = shorter;
    }
    if prefix == b"-" { &[] } else { prefix }
}

/// How many bytes are the same in both up to the first that are not.
pub(in crate::types) fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_ends_with_a_digit_or_is_a_sign() {
        for (a, b, common) in
            [("x:10", "x:11", "x:"), ("10", "11", ""), ("-a", "-b", ""), ("-a1", "-a2", "-a"), ("a", "b", "")]
        {
            assert_eq!(common_prefix(a.as_bytes(), b.as_bytes()), common.as_bytes(), "{a} {b}");
        }
        let long = [b'x'; 40];
        assert_eq!(common_prefix(&long, &long).len(), PREFIX_MAX);
    }
}
