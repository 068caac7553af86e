//! Random texts for names that nobody chooses: run ids, node names.

/// So many random hex digits.
pub fn hex(digits: usize) -> String {
    (0..digits).map(|_| char::from_digit(fastrand::u32(..16), 16).unwrap_or('0')).collect()
}
