//! Files that keep the data: snapshots, written and loaded.

pub mod files;
pub mod rdb;
pub mod save;
