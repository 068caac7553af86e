//! Sets.

pub mod algebra;
pub mod members;
