//! Tools on bytes and numbers that know no other room: decimal numbers, runs of bytes with their own memory
//! layout, bits, comparing and copying short texts, places on the earth.

pub(crate) mod bits;
pub(crate) mod geohash;
pub(crate) mod long_double;
pub(crate) mod number;
pub(crate) mod occupancy;
pub mod printable;
pub(crate) mod same;
pub(crate) mod short_copy;
pub mod space_saving;
pub mod thin;
