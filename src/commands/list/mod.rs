//! Lists.

pub mod blocking;
pub mod elements;
pub mod moving;
