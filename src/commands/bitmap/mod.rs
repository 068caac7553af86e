//! Strings as rows of bits and of integers.

pub mod bit;
pub mod bitfield;
