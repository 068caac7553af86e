//! Files that keep the data: snapshots, the append-only file, and the lock on the folder.

pub mod aof;
pub mod files;
pub(crate) mod lock;
pub mod save;
