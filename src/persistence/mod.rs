//! Files that keep the data: snapshots, written, loaded and looked through, the append-only file, and the
//! lock on the folder.

pub mod aof;
mod background;
pub mod backup;
mod check;
pub(crate) mod copies;
pub mod files;
pub(crate) mod lock;
pub mod rdb;
pub mod save;
pub(crate) mod spill;
pub mod tools;
