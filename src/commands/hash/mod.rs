//! Hashes.

pub mod expiry;
pub mod fields;
pub mod fields_with_expiry;
pub mod import;
pub mod number;
pub mod random;
