//! Equality of short texts without a function call: names of commands and keys are compared for every
//! request.

/// Longest text, in bytes, that is compared inline.
const SHORT: usize = 32;

/// Whether both texts are equal.
#[inline]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if a.len() > SHORT {
        return a == b;
    }
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    if let (Some(last_a), Some(last_b)) = (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        let (steps_a, steps_b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        let steps = steps_a.iter().zip(steps_b);
        // The last eight bytes overlap those before them.
        return steps.fold(word(last_a) ^ word(last_b), |all, (a, b)| all | word(a) ^ word(b)) == 0;
    }
    if let (Some(first_a), Some(first_b), Some(last_a), Some(last_b)) =
        (a.first_chunk::<4>(), b.first_chunk::<4>(), a.last_chunk::<4>(), b.last_chunk::<4>())
    {
        return first_a == first_b && last_a == last_b;
    }
    a.iter().zip(b).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_around_the_limits() {
        for length in 0..=SHORT + 9 {
            let text: Vec<u8> = (0..length as u8).collect();
            assert!(same(&text, &text.clone()), "{length}");
            assert!(!same(&text, &[&text[..], b"x"].concat()), "{length}");
            for at in 0..length {
                let mut other = text.clone();
                other[at] ^= 1;
                assert!(!same(&text, &other), "{length}, {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_equality(a: Vec<u8>, b: Vec<u8>) {
            prop_assert_eq!(same(&a, &b), a == b);
            prop_assert!(same(&a, &a.clone()));
        }
    }
}
