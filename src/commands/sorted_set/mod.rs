//! Sorted sets.

pub mod algebra;
pub mod blocking;
pub mod members;
pub mod pop;
pub mod range;
pub mod window;
