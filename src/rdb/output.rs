//! Where encoded values go: plain bytes, or bytes with long strings compressed.

use super::lzf::Compressor;
use super::write::{length, plain_string};

/// Receives encoded values.
pub trait Output {
    /// The bytes so far.
    fn bytes(&mut self) -> &mut Vec<u8>;

    /// Writes a byte string.
    fn string(&mut self, text: &[u8]) {
        plain_string(text, self.bytes());
    }
}

impl Output for Vec<u8> {
    fn bytes(&mut self) -> &mut Vec<u8> {
        self
    }
}

/// Bytes with strings compressed where that makes them shorter.
#[derive(Debug, Default)]
pub struct Compressed {
    bytes: Vec<u8>,
    compressor: Compressor,
}

/// A shorter string is not compressed. Few of them become shorter by more than their compressed form's head, and
/// a try costs as much as all else that is done for a key. (Redis tries from 21 bytes on.)
const SHORT_MAX: usize = 63;

/// Says that a compressed string follows: its length, that of the string, and the bytes.
const LZF: u8 = 0xc3;

impl Output for Compressed {
    fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    fn string(&mut self, text: &[u8]) {
        if text.len() > SHORT_MAX
            && let Some(packed) = self.compressor.compress(text)
        {
            self.bytes.push(LZF);
            length(packed.len(), &mut self.bytes);
            length(text.len(), &mut self.bytes);
            self.bytes.extend_from_slice(packed);
            return;
        }
        plain_string(text, &mut self.bytes);
    }
}
