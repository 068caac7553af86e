//! LZF, with which Redis compresses long strings.

/// Decompresses `packed` to `len` bytes; `None` when it is not LZF or gives another number of bytes.
///
/// A control byte below 32 is followed by one more literal byte than it says; any other has a length in its
/// upper three bits (7: more in the next byte) and a distance back in the rest and the byte that follows.
pub fn decompress(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    // One control sequence of three bytes yields 264 at most, so a short text cannot claim a long result.
    const EXPANSION_MAX: usize = 264;
    if len > packed.len().saturating_mul(EXPANSION_MAX) {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    let mut at = 0;
    while let Some(&control) = packed.get(at) {
        at += 1;
        let control = usize::from(control);
        if control < 32 {
            out.extend_from_slice(packed.get(at..at + control + 1)?);
            at += control + 1;
        } else {
            let mut run = control >> 5;
            if run == 7 {
                run += usize::from(*packed.get(at)?);
                at += 1;
            }
            let distance = ((control & 0x1f) << 8 | usize::from(*packed.get(at)?)) + 1;
            at += 1;
            let start = out.len().checked_sub(distance)?;
            // The copied range may overlap its own output: each piece doubles what can be copied at once.
            let end = out.len() + run + 2;
            while out.len() < end {
                let piece = (end - out.len()).min(out.len() - start);
                out.extend_from_within(start..start + piece);
            }
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

/// Bits of a place in the compressor's table.
const PLACE_BITS: u32 = 13;
/// Furthest distance back of a repeated run.
const DISTANCE_MAX: usize = 1 << 13;
/// Longest repeated run: two bytes and what fits the control byte and the one behind it.
const RUN_MAX: usize = 2 + 7 + 255;
/// Most literal bytes behind one control byte.
const LITERALS_MAX: usize = 32;
/// A string has to become shorter by more bytes than this (Redis's figure).
const GAIN_MIN: usize = 4;

/// Compresses strings; keeps its table from one to the next.
#[derive(Debug)]
pub struct Compressor {
    /// Where three bytes with this hash were seen last, counted over all strings.
    places: Box<[u32]>,
    /// Count at which the present string begins.
    base: u32,
    out: Vec<u8>,
}

impl Default for Compressor {
    fn default() -> Self {
        Self { places: vec![0; 1 << PLACE_BITS].into(), base: 1, out: Vec::new() }
    }
}

impl Compressor {
    /// The compressed form; `None` where it is not shorter by more than [`GAIN_MIN`] bytes.
    pub fn compress(&mut self, text: &[u8]) -> Option<&[u8]> {
        let len = u32::try_from(text.len()).ok()?;
        let Some(next) = self.base.checked_add(len) else {
            self.places.fill(0);
            self.base = 1;
            return if len < u32::MAX { self.compress(text) } else { None };
        };
        let base = std::mem::replace(&mut self.base, next);
        self.out.clear();
        let (mut at, mut literals) = (0, 0);
        // Where nothing repeats the steps grow.
        let mut misses = 0;
        while let Some(three) = text.get(at..at + 3) {
            let place = &mut self.places[place_of(three)];
            let seen = std::mem::replace(place, base + at as u32).checked_sub(base).map(|seen| seen as usize);
            let run = seen.map_or(0, |seen| run_of(text, seen, at));
            let Some(seen) = seen.filter(|_| run >= 3) else {
                at += 1 + (misses >> 6);
                misses += 1;
                continue;
            };
            misses = 0;
            push_literals(&text[literals..at], &mut self.out);
            push_run(at - seen - 1, run, &mut self.out);
            at += run;
            literals = at;
            if self.out.len() + GAIN_MIN >= text.len() {
                return None;
            }
        }
        push_literals(&text[literals..], &mut self.out);
        (self.out.len() + GAIN_MIN < text.len()).then_some(&self.out)
    }
}

fn place_of(three: &[u8]) -> usize {
    let bytes = u32::from_le_bytes([three[0], three[1], three[2], 0]);
    (bytes.wrapping_mul(0x9e37_79b1) >> (32 - PLACE_BITS)) as usize
}

/// Length of the run at `at` that repeats the one at `seen`; 0 where that is too far back.
fn run_of(text: &[u8], seen: usize, at: usize) -> usize {
    if at - seen > DISTANCE_MAX {
        return 0;
    }
    let max = RUN_MAX.min(text.len() - at);
    text[at..at + max].iter().zip(&text[seen..]).take_while(|(one, other)| one == other).count()
}

fn push_literals(literals: &[u8], out: &mut Vec<u8>) {
    for run in literals.chunks(LITERALS_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

fn push_run(distance: usize, run: usize, out: &mut Vec<u8>) {
    let (high, low) = ((distance >> 8) as u8, distance as u8);
    match run - 2 {
        short @ 0..7 => out.push((short as u8) << 5 | high),
        long => out.extend_from_slice(&[7 << 5 | high, (long - 7) as u8]),
    }
    out.push(low);
}

#[cfg(test)]
mod tests {
    use super::{Compressor, decompress};
    use proptest::prelude::*;

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..400),
            proptest::collection::vec(0u8..3, 0..3000),
            (proptest::collection::vec(any::<u8>(), 1..40), 1usize..1000)
                .prop_map(|(piece, times)| piece.repeat(times)),
            "[a-c]{0,20}(the same|words again| ){0,400}".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(texts in proptest::collection::vec(texts(), 1..8)) {
            let mut compressor = Compressor::default();
            for text in texts {
                if let Some(packed) = compressor.compress(&text) {
                    prop_assert!(packed.len() + 4 < text.len());
                    prop_assert_eq!(decompress(packed, text.len()), Some(text));
                }
            }
        }
    }

    #[test]
    fn repeated_text_becomes_short() {
        let mut compressor = Compressor::default();
        let text = b"session attribute ".repeat(50);
        assert!(compressor.compress(&text).is_some_and(|packed| packed.len() < 50));
        compressor.base = u32::MAX - 3;
        assert!(compressor.compress(&text).is_some_and(|packed| packed.len() < 50), "the count begins anew");
        assert_eq!(compressor.compress(b"abcdefghijklmnopqrstuvwxyz"), None);
    }

    #[test]
    fn literals_and_runs() {
        assert_eq!(decompress(b"\x02abc", 3).as_deref(), Some(&b"abc"[..]));
        // One literal, then 2 + 7 + 10 bytes from one back.
        assert_eq!(decompress(b"\x00a\xe0\x0a\x00", 20), Some(vec![b'a'; 20]));
        assert_eq!(decompress(b"\x00a\xe0\x0a\x00", 19), None);
        assert_eq!(decompress(b"\x00a\x20\x05", 4), None);
        assert_eq!(decompress(b"\x05ab", 6), None);
    }
}
