//! Strings.

pub mod lcs;
pub mod set;
pub mod value;
