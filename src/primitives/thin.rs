//! A growable run of bytes behind one thin pointer, with a small header in the same allocation.
//!
//! A `Vec<u8>` is three words before its first byte, too many for a small hash or a table's bucket. Here the
//! owner holds one word, the length is a `u32` in the block, and the capacity is not stored: it follows from
//! the length by [`size_class`].
//!
//! Neither [`Thin`] nor [`Owned`] has an alignment: a value with one of them and a tag takes nine bytes, not
//! sixteen, and a record can put it right behind its key.
//!
//! This is the only file of this room with `unsafe` code.
#![allow(unsafe_code)]

use std::alloc::{self, Layout};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;

/// Type of a block's header: plain data with a default for the empty block.
pub(crate) trait Header: Copy + Default + Send + Sync + 'static {}

impl<T: Copy + Default + Send + Sync + 'static> Header for T {}

/// The start of an allocation. Without padding, since every byte counts where values are small.
#[repr(C, packed)]
struct Block<H> {
    len: u32,
    header: H,
}

/// The bytes. An empty run owns no memory and has the default header.
///
/// Invariant: `block` is `None` exactly when there are no bytes; otherwise it points to an allocation of
/// `layout(len)` made by the global allocator, which begins with an initialized `Block` followed by `len`
/// initialized bytes.
#[repr(C, packed)]
pub(crate) struct Thin<H: Header> {
    block: Option<NonNull<Block<H>>>,
    owned: PhantomData<Block<H>>,
}

// SAFETY: a `Thin` owns its block alone, like a `Box`; the header and the bytes are `Send + Sync`, and shared
// access only reads.
unsafe impl<H: Header> Send for Thin<H> {}
// SAFETY: header and bytes are `Sync`, and shared access only reads.
unsafe impl<H: Header> Sync for Thin<H> {}

impl<H: Header> Thin<H> {
    /// Most bytes of a block.
    pub(crate) const MAX_LEN: usize = u32::MAX as usize - 4096;
    const OVERHEAD: usize = size_of::<Block<H>>();

    pub(crate) const fn new() -> Self {
        Self { block: None, owned: PhantomData }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        // SAFETY: by the invariant a present block is initialized and alive as long as `self`.
        { self.block }.map_or(0, |block| unsafe { block.as_ref() }.len as usize)
    }

    #[inline]
    pub(crate) fn header(&self) -> H {
        // SAFETY: by the invariant a present block is initialized and alive as long as `self`.
        { self.block }.map_or_else(H::default, |block| unsafe { block.as_ref() }.header)
    }

    /// Sets the header. An empty run keeps the default one.
    #[inline]
    pub(crate) fn set_header(&mut self, header: H) {
        if let Some(mut block) = self.block {
            // SAFETY: by the invariant a present block is initialized, and `self` is borrowed mutably.
            unsafe { block.as_mut() }.header = header;
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self.block {
            None => &[],
            // SAFETY: by the invariant `len` initialized bytes follow the `Block`, and they live and stay
            // unchanged while `self` is borrowed.
            Some(block) => unsafe {
                std::slice::from_raw_parts(Self::data(block), block.as_ref().len as usize)
            },
        }
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self.block {
            None => &mut [],
            // SAFETY: by the invariant `len` initialized bytes follow the `Block`, and `self` is borrowed
            // mutably.
            Some(block) => unsafe {
                std::slice::from_raw_parts_mut(Self::data(block), block.as_ref().len as usize)
            },
        }
    }

    /// Bytes of the allocation.
    #[inline]
    pub(crate) fn memory_bytes(&self) -> usize {
        if { self.block }.is_none() { 0 } else { size_class(Self::OVERHEAD + self.len()) }
    }

    /// Prefetches the first bytes: so many cache lines.
    #[inline]
    pub(crate) fn prefetch(&self, lines: usize) {
        #[cfg(target_arch = "x86_64")]
        if let Some(block) = self.block {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            for line in 0..lines {
                let address = block.as_ptr().cast::<i8>().wrapping_add(line * CACHE_LINE);
                // SAFETY: a prefetch reads nothing that the program could see, whatever the address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = lines;
    }

    /// Replaces `removed` bytes from `at` on by the pieces, in their order.
    ///
    /// # Panics
    /// When the range is not inside the bytes or the result would be longer than [`Self::MAX_LEN`]. Both are
    /// errors of the caller, which has its own limits for input.
    #[inline]
    pub(crate) fn splice(&mut self, at: usize, removed: usize, pieces: &[&[u8]]) {
        let old_len = self.len();
        let added: usize = pieces.iter().map(|piece| piece.len()).sum();
        assert!(at <= old_len && removed <= old_len - at, "splice outside of the bytes");
        let tail = old_len - at - removed;
        let new_len = old_len - removed + added;
        if added > removed {
            self.resize_block(old_len, new_len);
        }
        let Some(block) = self.block else {
            return;
        };
        // SAFETY: the block has room for the longer of the old and the new length: it was grown above, and is
        // shrunk only below. The tail lies inside the old bytes before the move and inside the new ones after
        // it; `copy` allows overlap. The pieces are borrowed from outside, so they cannot overlap bytes that
        // `self` is borrowed for mutably; they fill exactly the gap between `at` and the moved tail.
        unsafe {
            let start = Self::data(block).add(at);
            if added != removed && tail != 0 {
                std::ptr::copy(start.add(removed), start.add(added), tail);
            }
            let mut to = start;
            for piece in pieces {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), to, piece.len());
                to = to.add(piece.len());
            }
        }
        if added < removed {
            self.resize_block(old_len, new_len);
        } else {
            self.set_len(new_len);
        }
    }

    /// Inserts pieces at several offsets at once, so that no byte moves twice. Offsets are those before the
    /// insertion, ascending.
    ///
    /// # Panics
    /// As [`Self::splice`], and when the offsets are not in order.
    #[inline]
    pub(crate) fn insert_many<const N: usize>(&mut self, pieces: [(usize, &[u8]); N]) {
        let old_len = self.len();
        let added: usize = pieces.iter().map(|(_, piece)| piece.len()).sum();
        if added == 0 {
            return;
        }
        let new_len = old_len + added;
        self.resize_block(old_len, new_len);
        let Some(block) = self.block else {
            return;
        };
        let (mut end, mut shift) = (old_len, added);
        for (at, piece) in pieces.into_iter().rev() {
            assert!(at <= end, "places out of order or outside of the bytes");
            // SAFETY: the block has room for `new_len` bytes. `at..end` are old bytes not moved yet,
            // `end + shift` is at most `new_len`, and the piece goes into the gap of its own length that the
            // move leaves below `at + shift`. Pieces cannot overlap bytes that `self` is borrowed mutably
            // for. A panic in the loop leaves the length as it was, and every byte below it initialized.
            unsafe {
                let data = Self::data(block);
                std::ptr::copy(data.add(at), data.add(at + shift), end - at);
                shift -= piece.len();
                std::ptr::copy_nonoverlapping(piece.as_ptr(), data.add(at + shift), piece.len());
            }
            end = at;
        }
        self.set_len(new_len);
    }

    /// Removes several ranges at once, given as ascending offsets and lengths.
    ///
    /// # Panics
    /// When a range is not inside the bytes or they are not in order.
    #[inline]
    pub(crate) fn remove_many<const N: usize>(&mut self, ranges: [(usize, usize); N]) {
        let len = self.len();
        let bytes = self.bytes_mut();
        let mut to = ranges.first().map_or(len, |(at, _)| *at);
        for (index, (at, removed)) in ranges.iter().enumerate() {
            let next = ranges.get(index + 1).map_or(len, |(next, _)| *next);
            let from = at + removed;
            bytes.copy_within(from..next, to);
            to += next - from;
        }
        self.splice(to, len - to, &[]);
    }

    pub(crate) fn clear(&mut self) {
        self.splice(0, self.len(), &[]);
    }

    fn set_len(&mut self, len: usize) {
        if let Some(mut block) = self.block {
            // SAFETY: a present block is initialized and `self` is borrowed mutably; the caller has
            // initialized that many bytes, and the block's layout is the one of `len`.
            unsafe { block.as_mut() }.len = len as u32;
        }
    }

    /// Resizes the block for `new_len` bytes. Growing leaves the length to be set when the new bytes are
    /// written; shrinking sets it.
    fn resize_block(&mut self, old_len: usize, new_len: usize) {
        assert!(new_len <= Self::MAX_LEN, "a packed block cannot hold {new_len} bytes");
        let new_layout = Self::layout(new_len);
        let Some(block) = self.block else {
            // SAFETY: the layout is never of size zero: it holds the `Block`.
            let raw = unsafe { alloc::alloc(new_layout) }.cast::<Block<H>>();
            let Some(block) = NonNull::new(raw) else { alloc::handle_alloc_error(new_layout) };
            // SAFETY: freshly allocated, large enough and aligned for a `Block`.
            unsafe { block.write(Block { len: 0, header: H::default() }) };
            self.block = Some(block);
            return;
        };
        let old_layout = Self::layout(old_len);
        if new_len == 0 {
            self.block = None;
            // SAFETY: by the invariant the block was allocated with this layout; it is not used again.
            unsafe { alloc::dealloc(block.as_ptr().cast(), old_layout) };
            return;
        }
        if old_layout.size() != new_layout.size() {
            // SAFETY: the block was allocated with `old_layout` by the global allocator, and the new size is
            // not zero and within `isize`.
            let raw = unsafe { alloc::realloc(block.as_ptr().cast(), old_layout, new_layout.size()) }
                .cast::<Block<H>>();
            let Some(block) = NonNull::new(raw) else { alloc::handle_alloc_error(new_layout) };
            self.block = Some(block);
        }
        if new_len < old_len {
            self.set_len(new_len);
        }
    }

    fn layout(len: usize) -> Layout {
        let size = size_class(Self::OVERHEAD + len);
        // SAFETY: the alignment of a type is a power of two, and the size is at most some 5 GiB, far below
        // `isize::MAX`.
        unsafe { Layout::from_size_align_unchecked(size, align_of::<Block<H>>()) }
    }

    fn data(block: NonNull<Block<H>>) -> *mut u8 {
        // SAFETY: the allocation is at least `OVERHEAD` bytes long, so one past the `Block` is inside it or
        // at its end.
        unsafe { block.as_ptr().cast::<u8>().add(Self::OVERHEAD) }
    }
}

/// A `Box` without alignment.
#[repr(C, packed)]
pub struct Owned<T> {
    value: NonNull<T>,
    owned: PhantomData<T>,
}

// SAFETY: it owns its value alone, like a `Box`.
unsafe impl<T: Send> Send for Owned<T> {}
// SAFETY: the value is `Sync`, and shared access only reads.
unsafe impl<T: Sync> Sync for Owned<T> {}

impl<T> Owned<T> {
    /// Moves the value into an allocation of its own.
    pub fn new(value: T) -> Self {
        Self { value: NonNull::from(Box::leak(Box::new(value))), owned: PhantomData }
    }

    /// Moves the value out and frees the allocation.
    pub fn into_inner(self) -> T {
        let value = self.value;
        std::mem::forget(self);
        // SAFETY: it came from a `Box`, which nobody else owns now.
        *unsafe { Box::from_raw(value.as_ptr()) }
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the value came from a `Box` and lives as long as `self`.
        unsafe { &*self.value.as_ptr() }
    }
}

impl<T> DerefMut for Owned<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the value came from a `Box` and lives as long as `self`, which is borrowed mutably.
        unsafe { &mut *self.value.as_ptr() }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it came from a `Box`, and nobody else owns it.
        drop(unsafe { Box::from_raw(self.value.as_ptr()) });
    }
}

impl<T: Clone> Clone for Owned<T> {
    fn clone(&self) -> Self {
        Self::new((**self).clone())
    }
}

impl<T: Default> Default for Owned<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<H: Header> Drop for Thin<H> {
    fn drop(&mut self) {
        if let Some(block) = self.block {
            // SAFETY: by the invariant the block was allocated with the layout of its length; the header is
            // `Copy`, so nothing in it needs dropping.
            unsafe { alloc::dealloc(block.as_ptr().cast(), Self::layout(block.as_ref().len as usize)) };
        }
    }
}

impl<H: Header> Clone for Thin<H> {
    fn clone(&self) -> Self {
        let mut copy = Self::new();
        copy.splice(0, 0, &[self.bytes()]);
        copy.set_header(self.header());
        copy
    }
}

impl<H: Header> Default for Thin<H> {
    fn default() -> Self {
        Self::new()
    }
}

/// Rounds a size up to one that the allocator serves without waste: steps of 8 to 64 bytes, then four steps a
/// doubling.
#[inline]
pub(crate) const fn size_class(size: usize) -> usize {
    if size <= 64 {
        return if size == 0 { 8 } else { size.next_multiple_of(8) };
    }
    let step = 1usize << (usize::BITS - 1 - (size - 1).leading_zeros() - 2);
    (size + step - 1) & !(step - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn size_classes_are_the_allocators() {
        let classes: Vec<usize> =
            [1, 9, 17, 100, 128, 129, 160, 161, 256, 257, 320, 321, 1000, 1024, 1025, 8192, 8193]
                .into_iter()
                .map(size_class)
                .collect();
        assert_eq!(
            classes,
            [8, 16, 24, 112, 128, 160, 160, 192, 256, 320, 320, 384, 1024, 1024, 1280, 8192, 10240]
        );
    }

    #[test]
    fn one_word_and_a_niche() {
        assert_eq!(size_of::<Thin<u32>>(), 8);
    }

    proptest! {
        #[test]
        fn edits_many_like_a_vec(
            bytes in proptest::collection::vec(any::<u8>(), 0..500),
            places in any::<[proptest::sample::Index; 3]>(),
            pieces in any::<[[u8; 5]; 3]>(),
            lens in any::<[proptest::sample::Index; 3]>(),
        ) {
            let mut places = places.map(|place| place.index(bytes.len() + 1));
            places.sort_unstable();
            let mut thin = Thin::<u32>::new();
            thin.splice(0, 0, &[&bytes]);
            let mut model = bytes.clone();
            for (at, piece) in places.iter().zip(&pieces).rev() {
                model.splice(at..at, piece.iter().copied());
            }
            thin.insert_many([(places[0], &pieces[0]), (places[1], &pieces[1]), (places[2], &pieces[2])]);
            prop_assert_eq!(thin.bytes(), &model[..]);

            let mut thin = Thin::<u32>::new();
            thin.splice(0, 0, &[&bytes]);
            let mut model = bytes.clone();
            let ends = [places[1], places[2], bytes.len()];
            let mut ranges = [(0, 0); 3];
            for index in (0..3).rev() {
                let removed = lens[index].index(ends[index] - places[index] + 1);
                ranges[index] = (places[index], removed);
                model.drain(places[index]..places[index] + removed);
            }
            thin.remove_many(ranges);
            prop_assert_eq!(thin.bytes(), &model[..]);
        }

        #[test]
        fn splices_like_a_vec(
            steps in proptest::collection::vec((0usize..600, 0usize..300, 0usize..300, any::<u8>()), 1..40),
        ) {
            let mut thin = Thin::<u32>::new();
            let mut model: Vec<u8> = Vec::new();
            for (at, removed, added, byte) in steps {
                let at = at.min(model.len());
                let removed = removed.min(model.len() - at);
                let piece = vec![byte; added];
                let (first, second) = piece.split_at(added / 3);
                model.splice(at..at + removed, piece.iter().copied());
                thin.splice(at, removed, &[first, second]);
                if !model.is_empty() {
                    thin.set_header(u32::from(byte));
                    prop_assert_eq!(thin.header(), u32::from(byte));
                } else {
                    prop_assert_eq!(thin.header(), 0);
                    prop_assert_eq!(thin.memory_bytes(), 0);
                }
                prop_assert_eq!(thin.bytes(), &model[..]);
                let copy = thin.clone();
                prop_assert_eq!(copy.bytes(), &model[..]);
                prop_assert_eq!(copy.header(), thin.header());
            }
        }
    }
}
