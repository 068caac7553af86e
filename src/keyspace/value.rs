//! The values that are more than an embedded string.

use std::fmt;

use crate::primitives::occupancy::Occupancy;
use crate::primitives::thin::Owned;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::packed::freeze::Reading;
use crate::types::set::Set;
use crate::types::stream::Stream;
use crate::types::text::Text;
use crate::types::zset::ZSet;

/// A value with a structure of its own, kept inside its [`Record`](super::record::Record).
#[derive(Clone)]
pub enum Object {
    /// A string too long to embed.
    Text(Owned<Text>),
    /// A set of byte strings.
    Set(Set),
    /// A hash of fields to values.
    Hash(Hash),
    /// A list of byte strings.
    List(List),
    /// A set of byte strings in the order of their scores.
    Zset(ZSet),
    /// Entries in the order of their ids, and groups of consumers.
    Stream(Owned<Stream>),
}

impl Object {
    /// A placeholder that owns no memory, left where a value was moved out.
    pub fn empty() -> Object {
        Object::Text(Owned::default())
    }

    /// Prefetches what a lookup of `element` will read first. Reads no element itself.
    pub fn prefetch(&self, element: &[u8]) {
        match self {
            Object::Set(set) => set.prefetch(element),
            Object::Hash(hash) => hash.prefetch(element),
            Object::Zset(zset) => zset.prefetch(element),
            Object::Text(_) | Object::List(_) | Object::Stream(_) => {}
        }
    }

    /// Freezes a value to be read as it is now, see [`crate::types::packed::freeze`]. Does nothing to the
    /// forms of small collections.
    pub fn freeze(&mut self, reading: Reading) {
        match self {
            Object::Set(set) => set.freeze(reading),
            Object::Hash(hash) => hash.freeze(reading),
            Object::Zset(zset) => zset.freeze(reading),
            Object::List(list) => list.freeze(reading),
            Object::Text(text) => text.freeze(reading),
            Object::Stream(stream) => stream.freeze(reading),
        }
    }

    /// The number of the reading of a frozen value.
    pub fn reading(&self) -> Option<u64> {
        match self {
            Object::Set(set) => set.reading(),
            Object::Hash(hash) => hash.reading(),
            Object::Zset(zset) => zset.reading(),
            Object::List(list) => list.reading(),
            Object::Text(text) => text.reading(),
            Object::Stream(stream) => stream.reading(),
        }
    }

    /// Ends a reading that nobody wants any more.
    pub fn thaw(&mut self) {
        match self {
            Object::Set(set) => set.thaw(),
            Object::Hash(hash) => hash.thaw(),
            Object::Zset(zset) => zset.thaw(),
            Object::List(list) => list.thaw(),
            Object::Text(text) => text.thaw(),
            Object::Stream(stream) => stream.thaw(),
        }
    }

    /// All words that TYPE answers for a key. SCAN's option TYPE takes these and no other.
    pub const TYPE_NAMES: [&'static str; 6] = ["string", "set", "hash", "list", "zset", "stream"];

    /// The word that TYPE answers for a key with this value.
    pub fn type_name(&self) -> &'static str {
        match self {
            Object::Text(_) => Self::TYPE_NAMES[0],
            Object::Set(_) => Self::TYPE_NAMES[1],
            Object::Hash(_) => Self::TYPE_NAMES[2],
            Object::List(_) => Self::TYPE_NAMES[3],
            Object::Zset(_) => Self::TYPE_NAMES[4],
            Object::Stream(_) => Self::TYPE_NAMES[5],
        }
    }

    /// The word that OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        match self {
            Object::Text(_) => "raw",
            Object::Set(set) => set.encoding(),
            Object::Hash(hash) => hash.encoding(),
            Object::List(list) => list.encoding(),
            Object::Zset(zset) => zset.encoding(),
            Object::Stream(_) => "stream",
        }
    }

    /// Occupancy of the value's hash table, if it has one.
    pub fn occupancy(&self) -> Option<Occupancy> {
        match self {
            Object::Set(set) => set.occupancy(),
            Object::Hash(hash) => hash.occupancy(),
            Object::Zset(zset) => zset.occupancy(),
            Object::Text(_) | Object::List(_) | Object::Stream(_) => None,
        }
    }

    /// Bytes that the structure owns outside the record.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Object::Text(text) => text.memory_bytes(),
            Object::Set(set) => set.memory_bytes(),
            Object::Hash(hash) => hash.memory_bytes(),
            Object::List(list) => list.memory_bytes(),
            Object::Zset(zset) => zset.memory_bytes(),
            Object::Stream(stream) => stream.memory_bytes(),
        }
    }

    /// Number of elements, by which the work is measured that a command has with all of them: 64 bytes of a
    /// string are one.
    pub fn elements(&self) -> usize {
        match self {
            Object::Text(text) => text.len() / 64,
            Object::Stream(stream) => stream.len() + stream.free_effort(),
            _ => self.free_effort(),
        }
    }

    /// Number of elements as the type's own command counts them (LLEN, XLEN); 1 for a string.
    pub fn length(&self) -> usize {
        match self {
            Object::Text(_) => 1,
            Object::Stream(stream) => stream.len(),
            Object::Set(_) | Object::Hash(_) | Object::List(_) | Object::Zset(_) => self.free_effort(),
        }
    }

    /// How many nodes [`memory_bytes`](Self::memory_bytes) visits; 0 where the value keeps the sum.
    pub fn nodes_to_measure(&self) -> usize {
        match self {
            Object::Text(_) | Object::Set(_) | Object::Hash(_) => 0,
            Object::List(list) => list.node_count().unwrap_or(0),
            Object::Zset(zset) => zset.node_count(),
            Object::Stream(stream) => stream.parts_to_measure(),
        }
    }

    /// Roughly the number of allocations that freeing this value takes: decides whether it is freed in the
    /// background.
    pub fn free_effort(&self) -> usize {
        match self {
            Object::Text(_) => 1,
            Object::Set(set) => set.at(0).len(),
            Object::Hash(hash) => hash.len(),
            Object::List(list) => list.len(),
            Object::Zset(zset) => zset.len(),
            Object::Stream(stream) => stream.free_effort(),
        }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are the users' data and stay out of logs.
        f.debug_struct("Object").field("type", &self.type_name()).field("encoding", &self.encoding()).finish()
    }
}
