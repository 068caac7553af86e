//! A map from names to values in the order in which they were added: what a client subscribed to, and the
//! patterns of all clients.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

/// A map that is iterated in the order of its additions, and in which finding, adding and removing a name
/// take at most logarithmic time: clients make these as long as they like. An empty one takes no memory
/// beside its own word.
#[derive(Debug)]
pub struct Ordered<V>(Option<Box<Inner<V>>>);

#[derive(Debug)]
struct Inner<V> {
    places: HashMap<Bytes, u64, foldhash::fast::RandomState>,
    /// Names and values by their place, a number that grows with each addition.
    entries: BTreeMap<u64, (Bytes, V)>,
    next_place: u64,
    /// Bytes of all names.
    name_bytes: usize,
}

/// Bytes that a name takes beside its own, about: its places in the map and in the tree, and its allocation.
const ENTRY_BYTES: usize = 128;

impl<V> Default for Ordered<V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<V> Ordered<V> {
    /// How many names there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |inner| inner.entries.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes that names and places take, about.
    pub fn memory_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |inner| inner.name_bytes + inner.entries.len() * ENTRY_BYTES)
    }

    /// Whether the name is there.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.places.contains_key(name))
    }

    /// The value of a name, to be changed.
    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut V> {
        let inner = self.0.as_mut()?;
        let place = inner.places.get(name)?;
        inner.entries.get_mut(place).map(|(_, value)| value)
    }

    /// Adds a name that is not there.
    pub fn add(&mut self, name: Bytes, value: V) {
        let inner = self.0.get_or_insert_with(|| {
            let (places, entries) = (HashMap::default(), BTreeMap::new());
            Box::new(Inner { places, entries, next_place: 0, name_bytes: 0 })
        });
        inner.next_place += 1;
        inner.name_bytes += name.len();
        let before = inner.places.insert(name.clone(), inner.next_place);
        debug_assert!(before.is_none(), "a name is added once");
        inner.entries.insert(inner.next_place, (name, value));
    }

    /// Removes a name; answers it with its value.
    pub fn remove(&mut self, name: &[u8]) -> Option<(Bytes, V)> {
        let inner = self.0.as_mut()?;
        let place = inner.places.remove(name)?;
        let removed = inner.entries.remove(&place);
        inner.name_bytes -= name.len();
        if inner.entries.is_empty() {
            self.0 = None;
        }
        removed
    }

    /// The names and their values in the order of their additions.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &V)> {
        self.0.iter().flat_map(|inner| inner.entries.values()).map(|(name, value)| (name, value))
    }

    /// The names in the order of their additions.
    pub fn names(&self) -> impl Iterator<Item = &Bytes> {
        self.iter().map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a list that is searched from the front.
        #[test]
        fn it_is_a_list_without_doubles(steps in prop::collection::vec((any::<bool>(), 0u8..20), 0..200)) {
            let mut ordered = Ordered::default();
            let mut list: Vec<(Bytes, usize)> = Vec::new();
            for (number, (adds, name)) in steps.into_iter().enumerate() {
                let name = Bytes::from(vec![name]);
                let at = list.iter().position(|(known, _)| *known == name);
                prop_assert_eq!(ordered.contains(&name), at.is_some());
                match (adds, at) {
                    (true, Some(at)) => {
                        list[at].1 = number;
                        *ordered.get_mut(&name).expect("it is there") = number;
                    }
                    (true, None) => {
                        list.push((name.clone(), number));
                        ordered.add(name, number);
                    }
                    (false, at) => prop_assert_eq!(ordered.remove(&name), at.map(|at| list.remove(at))),
                }
                let bytes = list.iter().map(|(name, _)| name.len() + ENTRY_BYTES).sum::<usize>();
                prop_assert_eq!(ordered.memory_bytes(), bytes);
                let shown: Vec<_> = ordered.iter().map(|(name, value)| (name.clone(), *value)).collect();
                prop_assert_eq!(&shown, &list);
                prop_assert_eq!((ordered.len(), ordered.is_empty()), (list.len(), list.is_empty()));
            }
        }
    }
}
