//! Tools on bytes and numbers that know no other room: decimal numbers, runs of bytes with their own memory
//! layout, bits, comparing and copying short texts, places on the earth.

pub mod bits;
pub mod geohash;
pub mod long_double;
pub mod number;
pub mod occupancy;
pub mod same;
pub mod short_copy;
pub mod thin;
