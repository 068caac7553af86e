//! Where a key lives: its cluster slot, and the 64-bit hash that picks its place inside that slot's table.
//!
//! | bits   | meaning                                             | read by             |
//! |--------|-----------------------------------------------------|---------------------|
//! | 43..57 | cluster slot (crc16 of the key or of its hash tag)  | dashmap, the shard  |
//! | 0..32  | fingerprint: a seeded fast hash of the key          | the slot's table    |
//!
//! The whole value can be rebuilt from slot and fingerprint, so an index entry (the expiry heap, a SCAN
//! cursor) needs only the 32-bit fingerprint.

use std::hash::{BuildHasher, Hasher};

/// Cluster slots in the Redis cluster protocol, and shards in a database.
pub const SLOT_COUNT: usize = 16384;

const SLOT_SHIFT: u32 = 43;

/// A key together with its hash, computed once a request.
#[derive(Clone, Copy, Debug)]
pub struct HashedKey<'a> {
    /// The key as sent.
    pub bytes: &'a [u8],
    /// Slot and fingerprint, as the module's table shows.
    pub hash: u64,
}

impl HashedKey<'_> {
    /// The key's cluster slot, below [`SLOT_COUNT`].
    #[inline]
    pub fn slot(&self) -> usize {
        slot_of_hash(self.hash)
    }
}

/// The cluster slot within a hash made by [`KeyHasher`].
#[inline]
pub fn slot_of_hash(hash: u64) -> usize {
    (hash >> SLOT_SHIFT) as usize & (SLOT_COUNT - 1)
}

/// The 32-bit fingerprint within a hash made by [`KeyHasher`].
#[inline]
pub fn fingerprint_of_hash(hash: u64) -> u32 {
    hash as u32
}

/// The hash of a key with this slot and fingerprint.
#[inline]
pub fn hash_of_parts(slot: usize, fingerprint: u32) -> u64 {
    ((slot as u64) << SLOT_SHIFT) | u64::from(fingerprint)
}

/// The cluster slot of a key: crc16 (XMODEM) of the part between the first `{` and the next `}`, where there
/// is one and it is not empty, else of the whole key (Redis cluster specification).
#[inline]
pub fn key_slot(key: &[u8]) -> usize {
    let (crc, has_brace) = checksum(key);
    usize::from(if has_brace { checksum(hash_tag(key)).0 } else { crc }) & (SLOT_COUNT - 1)
}

/// crc16 (XMODEM) of the bytes, and whether one of them is `{`. Takes eight bytes a step: a lookup for each
/// byte, each waiting for the one before, was a twentieth of a GET.
#[inline]
fn checksum(bytes: &[u8]) -> (u16, bool) {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let (head, steps) = bytes.as_rchunks::<8>();
    let mut crc = crc16::State::<crc16::XMODEM>::calculate(head);
    let mut found = 0;
    for step in steps {
        let word = u64::from_le_bytes(*step);
        // A byte that is a brace becomes zero, and the only bytes that borrow from above their lowest seven
        // bits are zeros.
        let zero = word ^ (EACH * u64::from(b'{'));
        found |= zero.wrapping_sub(EACH) & !zero & (EACH << 7);
        let [a, b, c, d, e, f, g, h] = (word ^ u64::from(crc.swap_bytes())).to_le_bytes();
        let at = |zeros: usize, byte: u8| BEFORE_ZEROS[zeros][usize::from(byte)];
        crc = (at(7, a) ^ at(6, b) ^ at(5, c) ^ at(4, d)) ^ (at(3, e) ^ at(2, f) ^ at(1, g) ^ at(0, h));
    }
    (crc, found != 0 || head.contains(&b'{'))
}

/// The checksum of each byte with 0 to 7 zero bytes behind it.
static BEFORE_ZEROS: [[u16; 256]; 8] = before_zeros();

const fn before_zeros() -> [[u16; 256]; 8] {
    const POLYNOMIAL: u16 = 0x1021;
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut zeros = 0;
        while zeros < 8 {
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 != 0 { (crc << 1) ^ POLYNOMIAL } else { crc << 1 };
                bit += 1;
            }
            tables[zeros][byte] = crc;
            zeros += 1;
        }
        byte += 1;
    }
    tables
}

#[cold]
fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    let rest = &key[open + 1..];
    match memchr::memchr(b'}', rest) {
        None | Some(0) => key,
        Some(close) => &rest[..close],
    }
}

/// Hashes keys with a seed of its own for each server, so that nobody can prepare keys which collide.
#[derive(Clone, Debug)]
pub struct KeyHasher {
    state: foldhash::fast::FixedState,
}

impl KeyHasher {
    /// A hasher whose fingerprints depend on `seed`.
    pub fn with_seed(seed: u64) -> Self {
        Self { state: foldhash::fast::FixedState::with_seed(seed) }
    }

    /// Slot and fingerprint of `key` in one 64-bit value.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        hash_of_parts(key_slot(key), self.fingerprint(key))
    }

    /// The fingerprint alone.
    #[inline]
    pub fn fingerprint(&self, key: &[u8]) -> u32 {
        let mut hasher = self.state.build_hasher();
        hasher.write(key);
        let full = hasher.finish();
        (full >> 32) as u32 ^ full as u32
    }

    /// `key` with its hash.
    #[inline]
    pub fn key<'a>(&self, key: &'a [u8]) -> HashedKey<'a> {
        HashedKey { bytes: key, hash: self.hash(key) }
    }
}

/// Hasher for dashmap's keys, the slot numbers: gives each slot a shard of its own, and the first place in
/// it.
#[derive(Clone, Debug, Default)]
pub struct SlotHasher {
    slot: u16,
}

impl BuildHasher for SlotHasher {
    type Hasher = SlotHasher;

    fn build_hasher(&self) -> SlotHasher {
        SlotHasher::default()
    }
}

impl Hasher for SlotHasher {
    fn write_u16(&mut self, slot: u16) {
        self.slot = slot;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.slot = self.slot << 8 | u16::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        u64::from(self.slot) << SLOT_SHIFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slots_follow_the_cluster_specification() {
        assert_eq!(key_slot(b"123456789"), 0x31C3);
        assert_eq!(key_slot(b"foo"), 12182);
        assert_eq!(key_slot(b"{user1000}.following"), key_slot(b"{user1000}.followers"));
        assert_eq!(
            key_slot(b"foo{}{bar}"),
            usize::from(crc16::State::<crc16::XMODEM>::calculate(b"foo{}{bar}")) % 16384
        );
        assert_eq!(key_slot(b"foo{{bar}}zap"), key_slot(b"{bar"));
        assert_eq!(key_slot(b"foo{bar}{zap}"), key_slot(b"bar"));
    }

    proptest! {
        #[test]
        fn steps_of_eight_give_the_same_checksum(bytes: Vec<u8>) {
            prop_assert_eq!(checksum(&bytes).0, crc16::State::<crc16::XMODEM>::calculate(&bytes));
        }

        #[test]
        fn the_tag_is_found_in_keys_of_any_length(key in "[{}a-c\u{7b}\u{fb}]{0,80}") {
            let naive = || {
                let open = key.find('{')?;
                let close = key[open..].find('}')?;
                (close > 1).then(|| &key[open + 1..open + close])
            };
            prop_assert_eq!(hash_tag(key.as_bytes()), naive().unwrap_or(&key).as_bytes());
            prop_assert_eq!(checksum(key.as_bytes()).1, key.contains('{'));
        }

        #[test]
        fn a_hash_is_rebuilt_from_its_parts(key: Vec<u8>, seed: u64) {
            let hash = KeyHasher::with_seed(seed).hash(&key);
            prop_assert_eq!(slot_of_hash(hash), key_slot(&key));
            prop_assert_eq!(hash_of_parts(slot_of_hash(hash), fingerprint_of_hash(hash)), hash);
        }
    }

    #[test]
    fn dashmap_takes_the_slot_for_its_shard() {
        let map: dashmap::DashMap<u16, (), SlotHasher> =
            dashmap::DashMap::with_hasher_and_shard_amount(SlotHasher::default(), SLOT_COUNT);
        for slot in 0..SLOT_COUNT {
            assert_eq!(map.determine_map(&(slot as u16)), slot);
        }
    }
}
