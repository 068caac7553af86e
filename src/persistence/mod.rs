//! Files that keep the data.

pub mod rdb;
