//! Decompression of LZF, which Redis uses for long strings.

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
            // The copied range may overlap its own output, so it goes byte by byte.
            for index in start..start + run + 2 {
                out.push(out[index]);
            }
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::decompress;

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
