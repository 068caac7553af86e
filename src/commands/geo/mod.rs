//! Sorted sets of places on the earth.

pub mod points;
pub mod search;
