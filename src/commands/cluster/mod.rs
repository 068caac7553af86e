//! The cluster: what it says of slots and nodes, walks over its keys, what its slots are used for.

pub(crate) mod nodes;
pub(crate) mod scan;
mod slot_stats;
