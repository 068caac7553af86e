//! Files that keep the data: snapshots, written, loaded and looked through.

pub mod files;
pub mod rdb;
pub mod save;
pub mod tools;
