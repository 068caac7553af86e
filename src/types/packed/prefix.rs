//! The prefix that several elements share, which a packed list or a list's node writes once.

use super::entry::PREFIX_MAX;

/// The prefix of two elements that is worth sharing, without digits at its end: others will differ there. So
/// no integer's text begins with it, and integers stay integers.
pub(super) fn common_prefix<'a>(a: &'a [u8], b: &[u8]) -> &'a [u8] {
    let mut prefix = &a[..common_len(a, b).min(PREFIX_MAX)];
    while let [shorter @ .., b'0'..=b'9'] = prefix {
        prefix = shorter;
    }
    if prefix == b"-" { &[] } else { prefix }
}

/// Number of equal bytes at the start of both.
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
