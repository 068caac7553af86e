//! MurmurHash2 in its 64 bit variant for 64 bit machines ("64A"), by which Redis places the elements of a
//! HyperLogLog.

const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
const SHIFT: u32 = 47;

/// Hashes bytes, in little endian words.
pub fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mixed = shift_xor(u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
        hash = (hash ^ mixed).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(MULTIPLIER);
    }
    shift_xor(shift_xor(hash).wrapping_mul(MULTIPLIER))
}

fn shift_xor(value: u64) -> u64 {
    value ^ value >> SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_with_seed_zero_is_zero() {
        assert_eq!(murmur64a(b"", 0), 0);
    }

    #[test]
    fn every_byte_counts() {
        let bytes: Vec<u8> = (0..40).collect();
        let mut seen = std::collections::HashSet::new();
        for len in 0..bytes.len() {
            assert!(seen.insert(murmur64a(&bytes[..len], 1)));
            for index in 0..len {
                let mut changed = bytes[..len].to_vec();
                changed[index] ^= 0x80;
                assert!(seen.insert(murmur64a(&changed, 1)), "{len} {index}");
            }
        }
    }
}
