//! The values as pure data structures. They know neither the protocol nor the server nor the keyspace.

mod expiries;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod packed;
pub mod set;
pub mod stream;
pub mod text;
pub mod zset;
