//! Byte strings as arrays of bits, whose first bit is the highest of the first byte: counting, searching, and
//! integers of any width at any offset. Bits beyond the end read as zero.

/// Words that are added up side by side, as many as the processor's vectors hold or more.
type Lanes = [u64; LANES];
const LANES: usize = 4;

/// Bytes of sixteen [`Lanes`], which [`count_ones`] takes at a time.
const BLOCK: usize = 16 * 8 * LANES;

/// Number of bits set.
pub fn count_ones(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    count_blocks(blocks) + count_words(rest)
}

/// Adds three bits in each place: the sum and the carry.
#[inline]
fn add(a: Lanes, b: Lanes, c: Lanes) -> (Lanes, Lanes) {
    let (mut sum, mut carry) = ([0; LANES], [0; LANES]);
    for lane in 0..LANES {
        let either = a[lane] ^ b[lane];
        sum[lane] = either ^ c[lane];
        carry[lane] = (a[lane] & b[lane]) | (either & c[lane]);
    }
    (sum, carry)
}

fn ones_of(lanes: Lanes) -> u64 {
    lanes.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// Adds up sixteen words in each lane with a tree of adders, so that one word in sixteen has to be counted:
/// its bits stand for sixteen each.
fn count_blocks(blocks: &[[u8; BLOCK]]) -> u64 {
    let (mut ones, mut twos, mut fours, mut eights) = ([0; LANES], [0; LANES], [0; LANES], [0; LANES]);
    let mut total = 0;
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        let lanes =
            |at: usize| -> Lanes { std::array::from_fn(|lane| u64::from_ne_bytes(words[LANES * at + lane])) };
        let mut half = |at: usize| {
            let mut quarter = |at: usize| {
                let carry;
                let other;
                (ones, carry) = add(ones, lanes(at), lanes(at + 1));
                (ones, other) = add(ones, lanes(at + 2), lanes(at + 3));
                let fours;
                (twos, fours) = add(twos, carry, other);
                fours
            };
            let (first, second) = (quarter(at), quarter(at + 4));
            let eights;
            (fours, eights) = add(fours, first, second);
            eights
        };
        let (first, second) = (half(0), half(8));
        let sixteens;
        (eights, sixteens) = add(eights, first, second);
        total += ones_of(sixteens);
    }
    16 * total + 8 * ones_of(eights) + 4 * ones_of(fours) + 2 * ones_of(twos) + ones_of(ones)
}

fn count_words(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let in_words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    in_words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// Number of bits set from bit `first` to bit `last`, both included; `last` has to be within the bytes.
pub fn count_ones_between(bytes: &[u8], first: u64, last: u64) -> u64 {
    if first > last {
        return 0;
    }
    let (first_byte, last_byte) = ((first / 8) as usize, (last / 8) as usize);
    let before = bytes[first_byte] & !(0xFF >> (first % 8));
    let after = bytes[last_byte] & (0x7F >> (last % 8));
    count_ones(&bytes[first_byte..=last_byte]) - u64::from(before.count_ones() + after.count_ones())
}

/// Index of the first bit with this value from bit `first` to bit `last`, both included; `last` has to be
/// within the bytes.
pub fn find(bytes: &[u8], wanted: bool, first: u64, last: u64) -> Option<u64> {
    if first > last {
        return None;
    }
    // A clear bit is a set one in the complement.
    let flip = if wanted { 0 } else { 0xFF };
    let first_byte = (first / 8) as usize;
    let bytes = &bytes[..=(last / 8) as usize];
    let head = (bytes[first_byte] ^ flip) & (0xFF >> (first % 8));
    let (byte, value) = if head != 0 {
        (first_byte, head)
    } else {
        let idle = u64::from_ne_bytes([flip; 8]);
        let (words, _) = bytes[first_byte + 1..].as_chunks::<8>();
        let idle_words = words.iter().take_while(|word| u64::from_ne_bytes(**word) == idle).count();
        let from = first_byte + 1 + 8 * idle_words;
        let found = from + bytes[from..].iter().position(|byte| *byte != flip)?;
        (found, bytes[found] ^ flip)
    };
    let bit = 8 * byte as u64 + u64::from(value.leading_zeros());
    (bit <= last).then_some(bit)
}

/// An operation of BITOP on two byte strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    And,
    Or,
    Xor,
    /// The bits of the first that the second has not.
    AndNot,
}

impl Join {
    /// Combines `other` into `bytes`. The shorter of the two counts as padded with zero bytes.
    pub fn apply(self, bytes: &mut Vec<u8>, other: &[u8]) {
        if bytes.len() < other.len() {
            bytes.resize(other.len(), 0);
        }
        let (common, beyond) = bytes.split_at_mut(other.len());
        let pairs = common.iter_mut().zip(other);
        match self {
            Join::And => {
                pairs.for_each(|(byte, other)| *byte &= other);
                beyond.fill(0);
            }
            Join::Or => pairs.for_each(|(byte, other)| *byte |= other),
            Join::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
            Join::AndNot => pairs.for_each(|(byte, other)| *byte &= !other),
        }
    }
}

/// The bits that exactly one of several byte strings has.
#[derive(Clone, Debug, Default)]
pub struct OnlyOnce {
    /// Bits that an odd number of strings have.
    odd: Vec<u8>,
    /// Bits that more than one string has.
    again: Vec<u8>,
}

impl OnlyOnce {
    /// Takes another string into account.
    pub fn add(&mut self, bytes: &[u8]) {
        let mut both = self.odd.clone();
        Join::And.apply(&mut both, bytes);
        Join::Or.apply(&mut self.again, &both);
        Join::Xor.apply(&mut self.odd, bytes);
    }

    /// The bits, in as many bytes as the longest string has.
    pub fn finish(mut self) -> Vec<u8> {
        Join::AndNot.apply(&mut self.odd, &self.again);
        self.odd
    }
}

/// What becomes of a value that does not fit its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The lower bits are kept.
    Wrap,
    /// The nearest value that fits is taken.
    Saturate,
    /// The field stays as it is.
    Fail,
}

/// Width and sign of an integer: up to 64 bits with a sign, up to 63 without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntKind {
    signed: bool,
    bits: u32,
}

impl IntKind {
    /// A kind of integer; `None` for a width that is not allowed.
    pub fn new(signed: bool, bits: u64) -> Option<IntKind> {
        let max = if signed { 64 } else { 63 };
        (1..=max).contains(&bits).then_some(IntKind { signed, bits: bits as u32 })
    }

    /// Width in bits.
    pub fn bits(self) -> u64 {
        u64::from(self.bits)
    }

    /// Reads the integer that begins at a bit.
    pub fn read(self, bytes: &[u8], bit: u64) -> i64 {
        let raw = (window(bytes, bit) >> self.shift(bit)) as u64 & self.mask();
        self.widen(raw)
    }

    /// Writes the integer that begins at a bit and lies within the bytes.
    pub fn write(self, bytes: &mut [u8], bit: u64, value: i64) {
        let shift = self.shift(bit);
        let cleared = window(bytes, bit) & !(u128::from(self.mask()) << shift);
        let changed = cleared | u128::from(value as u64 & self.mask()) << shift;
        let from = (bit / 8) as usize;
        let to = bytes.len().min(from + 16);
        bytes[from..to].copy_from_slice(&changed.to_be_bytes()[..to - from]);
    }

    /// The value that is stored, `None` if the write fails.
    pub fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = self.range();
        if (min..=max).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Fail => None,
            Overflow::Saturate => Some(if value > max { max as i64 } else { min as i64 }),
            Overflow::Wrap => Some(self.widen(value as u64 & self.mask())),
        }
    }

    /// The value of a client's number. Without a sign it is taken for its bits. One so low that its distance
    /// to the highest value does not fit 64 bits counts as too high in Redis, which shows where it saturates.
    pub fn given(self, value: i64) -> i128 {
        let (_, max) = self.range();
        let taken_for_bits = !self.signed || max - i128::from(value) > i128::from(i64::MAX) && self.bits < 64;
        if taken_for_bits { i128::from(value as u64) } else { i128::from(value) }
    }

    fn range(self) -> (i128, i128) {
        if self.signed {
            let half = 1i128 << (self.bits - 1);
            (-half, half - 1)
        } else {
            (0, (1i128 << self.bits) - 1)
        }
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// Distance of the integer's last bit from the end of the 16-byte window that begins at its first byte.
    fn shift(self, bit: u64) -> u32 {
        128 - (bit % 8) as u32 - self.bits
    }

    fn widen(self, raw: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed { (raw << unused) as i64 >> unused } else { raw as i64 }
    }
}

/// Sixteen bytes from the one that holds this bit on.
fn window(bytes: &[u8], bit: u64) -> u128 {
    let from = usize::try_from(bit / 8).unwrap_or(usize::MAX).min(bytes.len());
    let there = &bytes[from..bytes.len().min(from + 16)];
    let mut window = [0; 16];
    window[..there.len()].copy_from_slice(there);
    u128::from_be_bytes(window)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(bytes: &[u8]) -> Vec<bool> {
        bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & 0x80 >> bit != 0)).collect()
    }

    /// Mostly runs of the same byte, as bitmaps have them, so that words matter.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let run = (prop::sample::select(vec![0u8, 0xFF, 0x01, 0x80, 0xA5]), 1usize..30);
        prop::collection::vec(run, 0..5)
            .prop_map(|runs| runs.into_iter().flat_map(|(byte, len)| vec![byte; len]).collect())
    }

    /// Blocks are added up otherwise than single words.
    #[test]
    fn ones_are_counted_in_runs_of_any_length() {
        let mut rng = fastrand::Rng::with_seed(1);
        for length in [0, 7, 8, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK, 40 * BLOCK + 13] {
            let bytes: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
            let expected: u64 = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
            assert_eq!(count_ones(&bytes), expected, "{length}");
            assert_eq!(count_ones(&vec![0xFF; length]), 8 * length as u64);
        }
    }

    proptest! {
        #[test]
        fn counting_and_finding_agree_with_single_bits(bytes in bytes(), ends: (u16, u16), wanted: bool) {
            let bits = bits(&bytes);
            prop_assert_eq!(count_ones(&bytes), bits.iter().filter(|bit| **bit).count() as u64);
            if !bits.is_empty() {
                let (first, last) = (usize::from(ends.0) % bits.len(), usize::from(ends.1) % bits.len());
                let range = if first <= last { &bits[first..=last] } else { &[] };
                let count = range.iter().filter(|bit| **bit).count() as u64;
                prop_assert_eq!(count_ones_between(&bytes, first as u64, last as u64), count);
                let place = range.iter().position(|bit| *bit == wanted).map(|at| (first + at) as u64);
                prop_assert_eq!(find(&bytes, wanted, first as u64, last as u64), place);
            }
        }

        #[test]
        fn joining_agrees_with_single_bytes(inputs in prop::collection::vec(bytes(), 1..5)) {
            let len = inputs.iter().map(Vec::len).max().unwrap();
            for (join, one) in [
                (Join::AndNot, (|a, b| a & !b) as fn(u8, u8) -> u8),
                (Join::And, (|a, b| a & b) as fn(u8, u8) -> u8),
                (Join::Or, |a, b| a | b),
                (Join::Xor, |a, b| a ^ b),
            ] {
                let mut joined = inputs[0].clone();
                inputs[1..].iter().for_each(|input| join.apply(&mut joined, input));
                let at = |input: &Vec<u8>, index| input.get(index).copied().unwrap_or(0);
                let expected: Vec<u8> = (0..len)
                    .map(|index| {
                        let first = at(&inputs[0], index);
                        inputs[1..].iter().fold(first, |byte, input| one(byte, at(input, index)))
                    })
                    .collect();
                prop_assert_eq!(joined, expected);
            }
        }

        #[test]
        fn integers_read_back_and_touch_nothing_else(
            mut bytes in prop::collection::vec(any::<u8>(), 16..40),
            signed: bool,
            width in 1u64..65,
            at: u16,
            value: i64,
        ) {
            if let Some(kind) = IntKind::new(signed, width) {
                let bit = u64::from(at) % (8 * bytes.len() as u64 - width + 1);
                let mut model = bits(&bytes);
                let fitting = kind.fit(kind.given(value), Overflow::Wrap).unwrap();
                kind.write(&mut bytes, bit, fitting);
                prop_assert_eq!(kind.read(&bytes, bit), fitting);
                for index in 0..width {
                    model[(bit + index) as usize] = fitting >> (width - 1 - index) & 1 != 0;
                }
                prop_assert_eq!(bits(&bytes), model);
            }
        }
    }

    #[test]
    fn kinds_have_their_ranges() {
        for (signed, bits) in [(true, 0), (true, 65), (false, 64), (false, u64::MAX)] {
            assert_eq!(IntKind::new(signed, bits), None);
        }
        let (i8, u8) = (IntKind::new(true, 8).unwrap(), IntKind::new(false, 8).unwrap());
        let (i64, u63) = (IntKind::new(true, 64).unwrap(), IntKind::new(false, 63).unwrap());
        assert_eq!(i8.fit(200, Overflow::Wrap), Some(-56));
        assert_eq!(i8.fit(200, Overflow::Saturate), Some(127));
        assert_eq!(i8.fit(-129, Overflow::Saturate), Some(-128));
        assert_eq!(i8.fit(200, Overflow::Fail), None);
        assert_eq!(u8.fit(-1, Overflow::Saturate), Some(0));
        assert_eq!(u8.fit(256, Overflow::Wrap), Some(0));
        for (bits, lowest) in [(1, -i64::MAX), (8, -9_223_372_036_854_775_680), (63, -(1 << 62))] {
            let kind = IntKind::new(true, bits).unwrap();
            assert_eq!(kind.fit(kind.given(lowest), Overflow::Saturate), Some(-1 << (bits - 1)));
            let high = if bits == 1 { 0 } else { (1i64 << (bits - 1)) - 1 };
            assert_eq!(kind.fit(kind.given(lowest - 1), Overflow::Saturate), Some(high));
        }
        assert_eq!(i64.fit(i64.given(i64::MIN), Overflow::Saturate), Some(i64::MIN));
        assert_eq!(u8.fit(u8.given(-1), Overflow::Saturate), Some(255));
        assert_eq!(i64.fit(i128::from(i64::MAX) + 1, Overflow::Wrap), Some(i64::MIN));
        assert_eq!(u63.fit(u63.given(-1), Overflow::Wrap), Some(i64::MAX));
    }

    #[test]
    fn beyond_the_end_is_nothing() {
        let u8 = IntKind::new(false, 8).unwrap();
        assert_eq!(u8.read(b"\xFF", 4), 0xF0);
        assert_eq!(u8.read(b"\xFF", 8), 0);
        assert_eq!(u8.read(b"\xFF", u64::MAX - 64), 0);
        assert_eq!(u8.read(b"", 0), 0);
    }
}
