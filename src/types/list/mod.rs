//! The list: a small one is a single node, a large one a deque of nodes, each as large as the configuration
//! allows.
//!
//! When one form becomes the other is Redis's rule, since clients and tests look at OBJECT ENCODING. A method
//! that removes elements does not go back to the small form by itself where a command removes several: the
//! command calls [`List::shrunk`] at its end.

mod end;
mod frozen;
mod iter;
mod limits;
mod node;
mod nodes;
mod prefix;
pub mod slice;
mod tail;

pub use end::End;
pub use iter::{Iter, ListElement};
pub use limits::ListLimits;

use crate::primitives::thin::Owned;
use crate::types::packed::entry::{Element, Encoded};
use iter::Searched;
use node::ListNode;
use nodes::Nodes;
use slice::ListSlice;

/// Bytes of Redis's listpack beside its elements, which Redis's rules for the encoding count.
const LISTPACK_OVERHEAD: usize = 7;
/// The list. Nine bytes in size.
#[derive(Clone)]
pub struct List {
    form: Form,
}

#[derive(Clone)]
enum Form {
    Packed(ListNode),
    Nodes(Owned<Nodes>),
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    /// An empty list.
    pub const fn new() -> Self {
        Self { form: Form::Packed(ListNode::new()) }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Packed(node) => node.len(),
            Form::Nodes(nodes) => nodes.len,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The word that OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        match self.form {
            Form::Packed(_) => "listpack",
            Form::Nodes(_) => "quicklist",
        }
    }

    /// Bytes that the list takes from the allocator, its own nine bytes not included.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Packed(node) => node.memory_bytes(),
            Form::Nodes(nodes) => nodes.memory_bytes(),
        }
    }

    /// Number of nodes of a list in the large form, and their bytes together; `None` for a small one.
    pub fn nodes(&self) -> Option<(usize, usize)> {
        match &self.form {
            Form::Packed(_) => None,
            Form::Nodes(nodes) => Some(nodes.size()),
        }
    }

    /// Changes to the large form when elements of `added_bytes` together, about to be added, would not fit
    /// the small one.
    pub fn expect(&mut self, added_bytes: usize, added_count: usize, limits: &ListLimits) {
        if let Form::Packed(node) = &mut self.form {
            let bytes = LISTPACK_OVERHEAD + node.byte_len() + added_bytes;
            if bytes > limits.bytes() || node.len() + added_count > limits.count() {
                self.form = Form::Nodes(Owned::new(Nodes::of(std::mem::take(node))));
            }
        }
    }

    /// Changes back to the small form when enough was removed. Called once after the removals of a command.
    /// A list that is being read as it was stays in the large form until a removal after that.
    pub fn shrunk(&mut self, limits: &ListLimits) {
        if let Form::Nodes(nodes) = &mut self.form
            && nodes.nodes.len() <= 1
            && nodes.frozen.is_none()
        {
            let node = nodes.nodes.front_mut();
            let small = node.as_ref().is_none_or(|node| {
                let bytes = LISTPACK_OVERHEAD + node.byte_len();
                bytes <= limits.bytes() / 2 && node.len() <= limits.count() / 2
            });
            if small {
                self.form = Form::Packed(node.map(std::mem::take).unwrap_or_default());
            }
        }
    }

    /// Pushes an element at an end.
    pub fn push(&mut self, end: End, element: &[u8], limits: &ListLimits) {
        self.expect(element.len(), 1, limits);
        self.push_expected(end, element, limits);
    }

    /// Pushes elements at an end, one after the other.
    pub fn push_all<'a>(
        &mut self,
        end: End,
        elements: impl Iterator<Item = &'a [u8]> + Clone,
        limits: &ListLimits,
    ) {
        let (bytes, count) =
            elements.clone().fold((0, 0), |(bytes, count), element| (bytes + element.len(), count + 1));
        self.expect(bytes, count, limits);
        elements.for_each(|element| self.push_expected(end, element, limits));
    }

    fn push_expected(&mut self, end: End, element: &[u8], limits: &ListLimits) {
        let element = Encoded::new(element);
        match &mut self.form {
            Form::Packed(node) => node.push(end, element, limits.bytes()),
            Form::Nodes(nodes) => nodes.push(end, element, limits),
        }
    }

    /// The element at an end. The nodes there are never shared, so it is whole.
    pub fn peek(&self, end: End) -> Option<Element<'_>> {
        let node = match &self.form {
            Form::Packed(node) => node,
            Form::Nodes(nodes) => match end {
                End::Head => nodes.nodes.front()?,
                End::Tail => nodes.nodes.back()?,
            },
        };
        match end {
            End::Head => node.walk().next().map(Element::from),
            End::Tail => node.walk_from_end().next_back().map(Element::from),
        }
    }

    /// Removes the element at an end, if there is one. [`Self::shrunk`] has to follow.
    pub fn drop_end(&mut self, end: End) {
        match &mut self.form {
            Form::Packed(node) => node.pop(end),
            Form::Nodes(nodes) => nodes.drop_end(end),
        }
    }

    /// Removes the element at an end and hands it to `take`.
    pub fn pop_with<R>(&mut self, end: End, limits: &ListLimits, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let taken = take(&self.peek(end)?);
        self.drop_end(end);
        self.shrunk(limits);
        Some(taken)
    }

    /// Removes the element at an end and returns it.
    pub fn pop(&mut self, end: End, limits: &ListLimits) -> Option<Vec<u8>> {
        self.pop_with(end, limits, <[u8]>::to_vec)
    }

    /// The element at an index; `None` beyond the end.
    pub fn get(&self, index: usize) -> Option<ListElement<'_>> {
        self.iter_from(index).next()
    }

    /// Replaces the element at an index. Returns whether there was one.
    pub fn set(&mut self, index: usize, element: &[u8], limits: &ListLimits) -> bool {
        if index >= self.len() {
            return false;
        }
        // The new element is counted as one more, as the peers do: a full list takes the large form.
        self.expect(element.len(), 1, limits);
        let encoded = Encoded::new(element);
        match &mut self.form {
            Form::Packed(node) => {
                let offset = node.walk_from(index).offset();
                node.replace(offset, encoded);
            }
            Form::Nodes(nodes) => nodes.set(index, encoded, limits),
        }
        self.shrunk(limits);
        true
    }

    /// Inserts an element before the one at `index`, or at the tail.
    pub fn insert(&mut self, index: usize, element: &[u8], limits: &ListLimits) {
        self.expect(element.len(), 1, limits);
        let encoded = Encoded::new(element);
        match &mut self.form {
            Form::Packed(node) => {
                let offset = node.walk_from(index).offset();
                node.insert(offset, encoded);
            }
            Form::Nodes(nodes) => nodes.insert(index, encoded, limits),
        }
    }

    /// Removes up to `count` elements from `index` on.
    pub fn remove_range(&mut self, index: usize, count: usize, limits: &ListLimits) {
        let count = count.min(self.len().saturating_sub(index));
        if count == 0 {
            return;
        }
        match &mut self.form {
            Form::Packed(node) => {
                let offset = node.walk_from(index).offset();
                node.remove(offset, count);
            }
            Form::Nodes(nodes) => nodes.remove_range(index, count, limits),
        }
        self.shrunk(limits);
    }

    /// Removes all but `count` elements from `index` on.
    pub fn keep_range(&mut self, index: usize, count: usize, limits: &ListLimits) {
        let end = index.saturating_add(count).min(self.len());
        self.remove_range(end, usize::MAX, limits);
        self.remove_range(0, index, limits);
    }

    /// Removes the first `count` elements equal to `value`, counted from an end. Returns the number removed.
    pub fn remove_value(&mut self, value: &[u8], count: usize, from: End, limits: &ListLimits) -> usize {
        let value = Encoded::new(value);
        let removed = match &mut self.form {
            Form::Packed(node) => node.remove_value(&value, count, from),
            Form::Nodes(nodes) => nodes.remove_value(&value, count, from, limits),
        };
        if removed > 0 {
            self.shrunk(limits);
        }
        removed
    }

    /// Indices of the elements equal to `value` among the first `max_compared` from an end, in that
    /// direction. An index counts from the head, whatever the direction.
    pub fn positions<'a>(
        &'a self,
        value: &'a [u8],
        from: End,
        max_compared: usize,
        passed: impl Fn(usize) + 'a,
    ) -> impl Iterator<Item = usize> + 'a {
        /// Elements between two calls of `passed`.
        const STRETCH: usize = 1024;
        let mut searched = Searched::new(value);
        let mut iter = match from {
            End::Head => self.iter(),
            End::Tail => self.iter_back_from(self.len().wrapping_sub(1)),
        };
        let len = self.len();
        let mut compared = 0;
        std::iter::from_fn(move || {
            while compared < max_compared && compared < len {
                let place = match from {
                    End::Head => compared,
                    End::Tail => len - 1 - compared,
                };
                compared += 1;
                if compared.is_multiple_of(STRETCH) {
                    passed(STRETCH);
                }
                if iter.step_is(&mut searched) {
                    return Some(place);
                }
            }
            None
        })
    }

    /// The elements from head to tail.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// The elements from `index` on, towards the tail.
    pub fn iter_from(&self, index: usize) -> Iter<'_> {
        match &self.form {
            Form::Packed(node) => Iter::of_node(node.walk_from(index), false),
            Form::Nodes(nodes) => nodes.iter_from(index, false),
        }
    }

    /// Calls `visit` with slices of up to `count` elements from `index` on, in order. Like
    /// [`iter_from`](Self::iter_from), but no value is made of each element. `visit` has to walk each slice
    /// to its end.
    #[inline]
    pub fn visit<'a>(&'a self, index: usize, count: usize, visit: impl FnMut(&mut ListSlice<'a>)) {
        self.iter_from(index).visit(count, visit);
    }

    /// The elements from `index` on, that one included, towards the head. Empty if there is no such element.
    pub fn iter_back_from(&self, index: usize) -> Iter<'_> {
        let after = if index >= self.len() { 0 } else { index + 1 };
        match &self.form {
            Form::Packed(node) => Iter::of_node(node.walk_from(after), true),
            Form::Nodes(nodes) => nodes.iter_from(after, true),
        }
    }

    #[cfg(test)]
    fn shared_nodes(&self) -> usize {
        match &self.form {
            Form::Packed(_) => 0,
            Form::Nodes(nodes) => nodes.shared_nodes(),
        }
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    fn assert_invariants(&self, limits: &ListLimits) {
        match &self.form {
            Form::Packed(node) => node.assert_invariants(),
            Form::Nodes(nodes) => nodes.assert_invariants(limits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::packed::entry::Piece;
    use proptest::prelude::*;

    /// Elements with a common prefix; `job` alone is one of them.
    fn numbered(numbers: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
        numbers.prop_map(|number| job(number).into_bytes())
    }

    fn job(number: usize) -> String {
        if number % 50 == 49 { "job:1732".to_owned() } else { format!("job:1732{number}") }
    }

    fn element() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => proptest::sample::select(vec![b"a".to_vec(), b"bb".to_vec(), b"7".to_vec()]),
            4 => any::<i32>().prop_map(|value| value.to_string().into_bytes()),
            6 => numbered(0..200),
            2 => (0usize..400).prop_map(|len| vec![b'y'; len]),
            1 => (3000usize..9000).prop_map(|len| vec![b'z'; len]),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn behaves_like_a_vec(
            size in prop_oneof![Just(-1), Just(-2), Just(3), Just(16), Just(0)],
            start in prop_oneof![Just(0), 80usize..300],
            steps in proptest::collection::vec(
                (0u8..14, any::<proptest::sample::Index>(), element(), 0usize..30),
                1..150,
            ),
        ) {
            let limits = ListLimits { max_listpack_size: size };
            let mut list = List::new();
            let mut model: Vec<Vec<u8>> = (0..start).map(|number| job(number).into_bytes()).collect();
            list.push_all(End::Tail, model.iter().map(Vec::as_slice), &limits);
            if start > 0 && size > 0 {
                prop_assert!(list.shared_nodes() >= start / size as usize - 4);
            }
            for (kind, place, element, count) in steps {
                let index = place.index(model.len() + 1);
                match kind {
                    0..=2 => { list.push(End::Tail, &element, &limits); model.push(element.clone()); }
                    3 | 4 => { list.push(End::Head, &element, &limits); model.insert(0, element.clone()); }
                    5 => {
                        let popped = list.pop(End::Head, &limits);
                        prop_assert_eq!(popped, (!model.is_empty()).then(|| model.remove(0)));
                    }
                    6 => prop_assert_eq!(list.pop(End::Tail, &limits), model.pop()),
                    7 => {
                        prop_assert_eq!(list.set(index, &element, &limits), index < model.len());
                        if index < model.len() { model[index] = element.clone(); }
                    }
                    8 | 9 => { list.insert(index, &element, &limits); model.insert(index, element.clone()); }
                    10 => {
                        list.remove_range(index, count, &limits);
                        model.drain(index..(index + count).min(model.len()));
                    }
                    11 => {
                        let from = if count % 2 == 0 { End::Head } else { End::Tail };
                        let mut wanted = count;
                        let mut keep = vec![true; model.len()];
                        let mut order: Vec<usize> = (0..model.len()).collect();
                        if from == End::Tail { order.reverse(); }
                        for index in order {
                            if wanted > 0 && model[index] == element { wanted -= 1; keep[index] = false; }
                        }
                        let mut index = 0;
                        model.retain(|_| { index += 1; keep[index - 1] });
                        prop_assert_eq!(list.remove_value(&element, count, from, &limits), count - wanted);
                    }
                    12 if count == 0 => {
                        let end = (index + 20).min(model.len());
                        list.keep_range(index, 20, &limits);
                        model = model[index..end].to_vec();
                    }
                    _ => {
                        let name = |number| if kind == 12 { job(number) } else { number.to_string() };
                        let more: Vec<Vec<u8>> = (0..count).map(|number| name(number).into_bytes()).collect();
                        let end = if element.len() % 2 == 0 { End::Tail } else { End::Head };
                        list.push_all(end, more.iter().map(Vec::as_slice), &limits);
                        if end == End::Tail {
                            model.extend(more);
                        } else {
                            more.into_iter().for_each(|element| model.insert(0, element));
                        }
                    }
                }
                list.assert_invariants(&limits);
                prop_assert_eq!(list.len(), model.len());
                prop_assert!(list.iter().map(|element| element.to_vec()).eq(model.iter().cloned()));
                let index = place.index(model.len() + 1);
                prop_assert_eq!(list.get(index).map(|element| element.to_vec()), model.get(index).cloned());
                prop_assert!(list.iter_from(index).map(|element| element.to_vec()).eq(model[index..].iter().cloned()));
                let mut seen = Vec::new();
                list.visit(index, count, |slice| {
                    let prefix = slice.prefix;
                    seen.extend(slice.map(|piece| match piece {
                        Piece::Bytes(rest) => [prefix, rest].concat(),
                        Piece::Int(value) => value.to_string().into_bytes(),
                    }));
                });
                prop_assert_eq!(&seen[..], &model[index..(index + count).min(model.len())]);
                let back: Vec<Vec<u8>> = list.iter_back_from(index).map(|element| element.to_vec()).collect();
                let expected: Vec<Vec<u8>> = if index < model.len() {
                    model[..=index].iter().rev().cloned().collect()
                } else {
                    Vec::new()
                };
                prop_assert_eq!(back, expected);
                prop_assert_eq!(list.peek(End::Tail).map(|element| element.to_vec()), model.last().cloned());
                let places: Vec<usize> = list.positions(&element, End::Head, 20, drop).collect();
                let expected: Vec<usize> = (0..model.len().min(20)).filter(|&index| model[index] == element).collect();
                prop_assert_eq!(places, expected);
                let places: Vec<usize> = list.positions(&element, End::Tail, 20, drop).collect();
                let expected: Vec<usize> = (model.len().saturating_sub(20)..model.len())
                    .rev()
                    .filter(|&index| model[index] == element)
                    .collect();
                prop_assert_eq!(places, expected);
            }
        }
    }

    #[test]
    fn encodings_change_where_redis_changes_them() {
        let limits = ListLimits { max_listpack_size: 4 };
        let mut list = List::new();
        for _ in 0..4 {
            list.push(End::Tail, b"a", &limits);
        }
        assert_eq!(list.encoding(), "listpack");
        list.push(End::Tail, b"a", &limits);
        assert_eq!(list.encoding(), "quicklist");
        for left in [4, 3, 2] {
            assert_eq!(list.encoding(), "quicklist");
            list.pop(End::Tail, &limits);
            assert_eq!(list.len(), left);
        }
        assert_eq!(list.encoding(), "listpack");
        let limits = ListLimits::default();
        let mut list = List::new();
        list.push(End::Head, &[b'x'; 8185], &limits);
        assert_eq!(list.encoding(), "listpack");
        let mut list = List::new();
        list.push(End::Head, &[b'x'; 8186], &limits);
        assert_eq!(list.encoding(), "quicklist");
        assert!(list.set(0, b"x", &limits));
        assert_eq!(list.encoding(), "listpack");
        assert!(size_of::<List>() <= 16);
    }

    #[test]
    fn numbered_elements_take_what_tells_them_apart() {
        let limits = ListLimits::default();
        for end in [End::Head, End::Tail] {
            let mut list = List::new();
            for number in 0..100_000 {
                list.push(end, format!("element:{number:06}").as_bytes(), &limits);
            }
            let bytes_each = list.memory_bytes() / list.len();
            assert!(bytes_each <= 6, "{bytes_each}");
            assert!(
                list.clone()
                    .iter()
                    .map(|element| element.to_vec())
                    .eq(list.iter().map(|element| element.to_vec()))
            );
        }
    }

    #[test]
    fn elements_without_a_common_prefix_take_little_more_than_themselves() {
        let limits = ListLimits::default();
        for end in [End::Head, End::Tail] {
            let mut list = List::new();
            for number in 0..100_000 {
                list.push(end, format!("{:x}-element-{number:06}", number % 16).as_bytes(), &limits);
            }
            assert_eq!(list.shared_nodes(), 0);
            let bytes_each = list.memory_bytes() / list.len();
            assert!(bytes_each <= 19, "{bytes_each}");
        }
    }

    #[test]
    fn nodes_are_written_in_full_where_elements_come_and_go() {
        let limits = ListLimits { max_listpack_size: 10 };
        let mut list = List::new();
        for number in 0..100 {
            list.push(End::Tail, format!("element:{number:06}").as_bytes(), &limits);
        }
        // The first one, and the two at the end where elements were pushed.
        assert_eq!(list.shared_nodes(), 7);
        list.push(End::Tail, b"element:a", &limits);
        assert_eq!(list.shared_nodes(), 8);
        // Going to and fro over the border of a node changes none.
        for _ in 0..3 {
            assert_eq!(list.pop(End::Tail, &limits).as_deref(), Some(&b"element:a"[..]));
            assert_eq!(list.shared_nodes(), 8);
            list.push(End::Tail, b"element:a", &limits);
        }
        for left in (0..8).rev() {
            (0..10).for_each(|_| drop(list.pop(End::Head, &limits)));
            assert_eq!(list.shared_nodes(), left);
            list.assert_invariants(&limits);
        }
    }
}
