//! Streams.

pub mod claim;
pub mod entries;
pub mod group;
pub mod info;
pub mod read;
