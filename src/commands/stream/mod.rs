//! Streams.

mod budget;
pub mod claim;
pub mod delete;
mod entered;
pub mod entries;
pub mod group;
pub mod info;
pub mod nack;
pub mod producers;
pub mod read;
