//! Sets.

pub mod add_ending;
pub mod algebra;
pub mod expiry;
pub mod members;
