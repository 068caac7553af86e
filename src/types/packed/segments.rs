//! A vector in segments: growth never copies more than one segment.

use crate::alloc::array_bytes;

const SEGMENT: usize = 512;

/// The vector. Only its first segment grows by reallocation; the rest are made at their full size.
pub(in crate::types) struct Segments<T> {
    segments: Vec<Vec<T>>,
    len: usize,
}

impl<T> Segments<T> {
    pub(in crate::types) const fn new() -> Self {
        Self { segments: Vec::new(), len: 0 }
    }

    #[inline]
    pub(in crate::types) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(in crate::types) fn get(&self, index: usize) -> Option<&T> {
        self.segments.get(index / SEGMENT)?.get(index % SEGMENT)
    }

    #[inline]
    pub(in crate::types) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.segments.get_mut(index / SEGMENT)?.get_mut(index % SEGMENT)
    }

    pub(in crate::types) fn push(&mut self, item: T) {
        if self.len.is_multiple_of(SEGMENT) {
            self.segments.push(Vec::with_capacity(if self.len == 0 { 1 } else { SEGMENT }));
        }
        if let Some(last) = self.segments.last_mut() {
            last.push(item);
            self.len += 1;
        }
    }

    pub(in crate::types) fn pop(&mut self) -> Option<T> {
        let last = self.segments.last_mut()?;
        let item = last.pop()?;
        if last.is_empty() {
            self.segments.pop();
        }
        self.len -= 1;
        Some(item)
    }

    #[cfg(test)]
    pub(in crate::types) fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flatten()
    }

    /// What the vector itself takes from the allocator, in bytes.
    pub(in crate::types) fn memory_bytes(&self) -> usize {
        let last = self.segments.last().map_or(0, |last| array_bytes::<T>(last.capacity()));
        let full = self.segments.len().saturating_sub(1) * array_bytes::<T>(SEGMENT);
        full + last + array_bytes::<Vec<T>>(self.segments.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_shrinks_over_segment_borders() {
        let mut numbers = Segments::new();
        for number in 0..2000 {
            numbers.push(number);
            assert_eq!(numbers.len(), number + 1);
        }
        assert!(numbers.iter().copied().eq(0..2000));
        assert_eq!((numbers.get(1999), numbers.get(2000)), (Some(&1999), None));
        assert!(numbers.memory_bytes() >= 2000 * 8 && numbers.memory_bytes() < 2500 * 8);
        for number in (0..2000).rev() {
            assert_eq!(numbers.pop(), Some(number));
        }
        assert_eq!((numbers.pop(), numbers.len()), (None, 0));
        numbers.push(5);
        *numbers.get_mut(0).expect("there") = 6;
        assert_eq!(numbers.get(0), Some(&6));
    }
}
