//! Strings.

pub mod compare;
pub mod counter;
pub mod lcs;
pub mod set;
pub mod value;
