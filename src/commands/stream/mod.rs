//! Streams.

pub mod claim;
mod entered;
pub mod entries;
pub mod group;
pub mod info;
pub mod read;
