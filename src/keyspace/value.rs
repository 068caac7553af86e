//! The values that are more than an embedded string.

use std::fmt;

use crate::types::hash::{Hash, HashLimits};
use crate::types::list::List;
use crate::types::set::{Set, SetLimits};

/// A value with a structure of its own, kept inside its [`Record`](super::record::Record).
pub enum Object {
    /// A string too long to embed.
    Text(Box<Vec<u8>>),
    /// A set of byte strings.
    Set(Set),
    /// A hash of fields to values.
    Hash(Hash),
    /// A list of byte strings.
    List(List),
}

impl Object {
    /// A placeholder that owns nothing, left where a value was moved out.
    pub fn empty() -> Object {
        Object::Text(Box::default())
    }

    /// A copy in the same encoding.
    pub fn duplicate(&self) -> Object {
        match self {
            Object::Text(text) => Object::Text(text.clone()),
            Object::Set(set) => Object::Set(duplicate_set(set)),
            Object::Hash(hash) => Object::Hash(duplicate_hash(hash)),
            Object::List(list) => Object::List(list.clone()),
        }
    }

    /// TYPE's word.
    pub fn type_name(&self) -> &'static str {
        match self {
            Object::Text(_) => "string",
            Object::Set(_) => "set",
            Object::Hash(_) => "hash",
            Object::List(_) => "list",
        }
    }

    /// OBJECT ENCODING's word.
    pub fn encoding(&self) -> &'static str {
        match self {
            Object::Text(_) => "raw",
            Object::Set(set) => set.encoding(),
            Object::Hash(hash) => hash.encoding(),
            Object::List(list) => list.encoding(),
        }
    }

    /// Bytes that the structure owns outside the record.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Object::Text(text) => size_of::<Vec<u8>>() + text.capacity(),
            Object::Set(set) => set.memory_bytes(),
            Object::Hash(hash) => hash.memory_bytes(),
            Object::List(list) => list.memory_bytes(),
        }
    }

    /// How many allocations freeing this value takes, roughly: what decides whether it is freed in the background.
    pub fn free_effort(&self) -> usize {
        match self {
            Object::Text(_) => 1,
            Object::Set(set) => set.len(),
            Object::Hash(hash) => hash.len(),
            Object::List(list) => list.len(),
        }
    }
}

fn duplicate_set(set: &Set) -> Set {
    let packed = |encoding| if set.encoding() == encoding { usize::MAX } else { 0 };
    let limits = SetLimits {
        max_intset_entries: packed("intset"),
        max_listpack_entries: packed("listpack"),
        max_listpack_value: packed("listpack"),
    };
    let mut members = set.iter();
    let first = members.next();
    let mut copy = Set::new_for(first.as_deref().unwrap_or_default(), &limits, set.len());
    for member in first.into_iter().chain(members) {
        copy.add(&member, &limits);
    }
    copy
}

fn duplicate_hash(hash: &Hash) -> Hash {
    let max = if hash.encoding() == "listpack" { usize::MAX } else { 0 };
    let limits = HashLimits { max_listpack_entries: max, max_listpack_value: max };
    let mut copy = Hash::new();
    // Time 0: fields that have ended but were not removed yet are copied too, and end there as they do here.
    for (field, value) in hash.iter(0) {
        copy.set(&field, &value, 0, &limits);
        if let Some(at_ms) = hash.expire_at_ms(&field) {
            copy.set_expire(&field, at_ms);
        }
    }
    copy
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are the users' data and stay out of logs.
        f.debug_struct("Object").field("type", &self.type_name()).field("encoding", &self.encoding()).finish()
    }
}
