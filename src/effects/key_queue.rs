//! A queue of keys in which each key stands once.

use std::collections::{HashSet, VecDeque};

use crate::keyspace::KeyId;

/// Changed keys that clients wait for, in the order of their changes. A key that is entered again keeps its
/// place; that is found without a search of the queue, which can be as long as clients make it.
#[derive(Debug, Default)]
pub struct KeyQueue {
    keys: VecDeque<KeyId>,
    entered: HashSet<KeyId, foldhash::fast::RandomState>,
}

impl KeyQueue {
    /// Returns whether no key is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Enters a key at the end, unless it is in the queue.
    pub fn push(&mut self, key: KeyId) {
        if self.entered.insert(key.clone()) {
            self.keys.push_back(key);
        }
    }

    /// Takes the first key out.
    pub fn pop(&mut self) -> Option<KeyId> {
        let key = self.keys.pop_front()?;
        self.entered.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_once_at_its_first_place() {
        let key = |name: &str| (0, Box::from(name.as_bytes()));
        let mut queue = KeyQueue::default();
        for name in ["a", "b", "a", "c", "b"] {
            queue.push(key(name));
        }
        assert_eq!((queue.len(), queue.pop()), (3, Some(key("a"))));
        queue.push(key("a"));
        let rest: Vec<KeyId> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, [key("b"), key("c"), key("a")]);
        assert!(queue.is_empty());
    }
}
