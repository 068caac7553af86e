//! Passwords. Only their SHA-256 is kept, and comparing takes the same time wherever hashes differ.

use std::fmt;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

/// Length of a hash in hex digits.
const HEX_LEN: usize = 64;

/// SHA-256 of a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PasswordHash([u8; 32]);

impl PasswordHash {
    /// Hashes a password.
    pub fn of(password: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, password).as_ref());
        Self(hash)
    }

    /// Reads 64 lower-case hex digits.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        if text.len() != HEX_LEN {
            return None;
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(hash))
    }

    /// The hash as 64 hex digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether this is one of the hashes. Takes the same time whatever the result.
    pub fn is_among(&self, hashes: &[PasswordHash]) -> bool {
        let mut found = subtle::Choice::from(0);
        for hash in hashes {
            found |= hash.0.ct_eq(&self.0);
        }
        found.into()
    }
}

impl fmt::Debug for PasswordHash {
    /// Shows nothing: the hash of a bad password is as good as the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(..)")
    }
}

/// Makes a random password of `bits` bits, in hex digits of four bits each.
///
/// # Errors
/// The system gave no random numbers.
pub fn generate(bits: usize) -> Result<String, ring::error::Unspecified> {
    let mut bytes = vec![0; bits.div_ceil(8)];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)?;
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(bits.div_ceil(4));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_sha256() {
        let hash = PasswordHash::of(b"abc");
        assert_eq!(hash.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(PasswordHash::from_hex(hash.hex().as_bytes()), Some(hash));
        for wrong in [&hash.hex()[1..], &hash.hex().to_uppercase(), &hash.hex().replace('a', "g")] {
            assert_eq!(PasswordHash::from_hex(wrong.as_bytes()), None);
        }
    }

    #[test]
    fn one_of_several_is_found() {
        let hashes = [PasswordHash::of(b"a"), PasswordHash::of(b"b")];
        assert!(PasswordHash::of(b"a").is_among(&hashes));
        assert!(PasswordHash::of(b"b").is_among(&hashes));
        assert!(!PasswordHash::of(b"c").is_among(&hashes));
        assert!(!PasswordHash::of(b"c").is_among(&[]));
    }

    #[test]
    fn generated_passwords_have_the_bits_asked_for() {
        for (bits, digits) in [(1, 1), (4, 1), (5, 2), (256, 64), (4096, 1024)] {
            let (one, other) = (generate(bits), generate(bits));
            assert_eq!(one.as_ref().map(String::len), Ok(digits));
            assert!(bits < 64 || one != other);
        }
    }
}
