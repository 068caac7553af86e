//! Lists.

pub mod blocking;
pub mod elements;
