//! [`slot_tag`]: a short hash tag for each slot.

use crate::keyspace::key_hash::{SLOT_COUNT, key_slot};

/// Characters of tags, in their order.
const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The shortest text of digits and letters whose slot is this one, and among equally short ones the first, so
/// that all nodes know the same. Slot 0 has `06S`.
pub fn slot_tag(slot: usize) -> Vec<u8> {
    debug_assert!(slot < SLOT_COUNT);
    let is_it = |text: &[u8]| key_slot(text) == slot;
    let one = LETTERS.iter().map(|letter| [*letter]).find(|text| is_it(text));
    if let Some(text) = one {
        return text.to_vec();
    }
    let pairs = || LETTERS.iter().flat_map(|first| LETTERS.iter().map(move |second| [*first, *second]));
    if let Some(text) = pairs().find(|text| is_it(text)) {
        return text.to_vec();
    }
    // A CRC is linear: what the last letter adds to the slot of the two before it does not depend on them.
    let zero = key_slot(&[0, 0, 0]);
    let adds: Vec<(u8, usize)> =
        LETTERS.iter().map(|last| (*last, key_slot(&[0, 0, *last]) ^ zero)).collect();
    let mut last_of = vec![0; SLOT_COUNT];
    adds.iter().for_each(|(last, adds)| last_of[*adds] = *last);
    pairs()
        .find_map(|[first, second]| match last_of[key_slot(&[first, second, 0]) ^ slot] {
            0 => None,
            last => Some(vec![first, second, last]),
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_their_slots() {
        for slot in 0..SLOT_COUNT {
            let tag = slot_tag(slot);
            assert_eq!(key_slot(&tag), slot);
            assert!((1..=3).contains(&tag.len()) && tag.iter().all(u8::is_ascii_alphanumeric));
        }
        let known = [(0, "06S"), (1, "Qi"), (5061, "bar"), (12182, "9Le"), (16383, "6ZJ")];
        for (slot, tag) in known {
            assert_eq!(slot_tag(slot), tag.as_bytes(), "the same as Valkey's");
        }
    }
}
