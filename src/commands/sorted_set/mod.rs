//! Sorted sets.

pub mod algebra;
pub mod blocking;
pub mod entered;
pub mod members;
pub mod moving;
pub mod pop;
pub mod range;
pub mod window;
