//! Files that keep the data: snapshots.

pub mod files;
pub mod save;
