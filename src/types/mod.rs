//! The values as pure data structures. They know neither the protocol nor the server nor the keyspace.

pub mod bits;
pub mod entry;
pub mod geohash;
pub mod hash;
pub mod hyperloglog;
pub mod intset;
pub mod list;
mod list_beginning;
mod list_iter;
mod list_node;
mod list_nodes;
pub mod list_run;
pub mod long_double;
mod murmur;
pub mod number;
pub mod occupancy;
pub mod packed;
pub mod packed_table;
pub mod same;
mod score_leaf;
mod score_tree;
mod segments;
pub mod set;
mod slots;
pub mod stream;
pub mod thin;
pub mod zset;
