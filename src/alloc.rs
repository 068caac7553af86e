//! The allocator: mimalloc, with what it has handed out counted.
//!
//! mimalloc was chosen for needing nothing but a C compiler, for blocks in steps of eight bytes, and for
//! giving pages back by itself. Transparent huge pages are off: they made writes a few percent faster and a
//! small keyspace up to a quarter larger.
//!
//! Blocks of 8 MB and more that grow by little are given pages of the system, which moves them without a copy from
//! then on; mimalloc would copy them each time. A long string that is appended to needs little room ahead for it.
//!
//! Counting is exact to the sizes of blocks and costs an addition: each thread has a counter that only it
//! writes.
#![allow(unsafe_code)] // A global allocator is an unsafe trait; it hands every call through as it came.

mod grown;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use grown::{dealloc_large, is_large, realloc_large};
use mimalloc::MiMalloc;

/// Its name in INFO.
pub const NAME: &str = "mimalloc";

/// Threads with a counter of their own; later ones share the last.
const COUNTERS: usize = 128;

/// Blocks up to this many bytes come in size classes, larger ones in steps (mimalloc's figures for 64-bit
/// systems).
const CLASSES_MAX: usize = 512 * 1024;

/// mimalloc's number for its option `generic_collect`, which the crate does not name; a test asks for its
/// default.
const GENERIC_COLLECT: libmimalloc_sys::mi_option_t = 34;

/// After how many slow allocations, of the thousands that a page's end makes slow, a thread looks for pages
/// that have become free. Tables and buckets grow out of one size after the other, all at about the same
/// time: at mimalloc's own 10,000 the pages of the sizes that were left wait too long for their next use.
const COLLECT_EVERY: std::ffi::c_long = 1_000;

/// Not a counter's index: the thread has none yet.
const NONE: usize = usize::MAX;

static BYTES: [CachePadded<AtomicI64>; COUNTERS] = [const { CachePadded::new(AtomicI64::new(0)) }; COUNTERS];
static TAKEN: AtomicUsize = AtomicUsize::new(0);
/// Bytes of blocks that are set apart.
static APART: AtomicI64 = AtomicI64::new(0);
static ASKED: AtomicUsize = AtomicUsize::new(0);
static COUNTS: AtomicBool = AtomicBool::new(false);

thread_local! {
    static COUNTER: Cell<usize> = const { Cell::new(NONE) };
    static GIVEN: Cell<usize> = const { Cell::new(0) };
}

/// mimalloc as the global allocator of a program. Its counters are the one thing that is of the process, as
/// the memory is.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: every call goes to mimalloc: with the alignment it came with, or without one where every block has
// it, or for a larger block whose alignment is looked at. Large blocks that grow become pages of the system, and are
// told by their address from those of mimalloc, which all others are. Counting neither allocates nor touches the
// blocks.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(block_of(layout) as i64);
        // SAFETY: the caller's.
        unsafe {
            if is_natural(layout) {
                libmimalloc_sys::mi_malloc(layout.size()).cast()
            } else if is_wide(layout) {
                alloc_wide(layout)
            } else {
                MiMalloc.alloc(layout)
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(block_of(layout) as i64);
        // SAFETY: the caller's.
        unsafe {
            if is_natural(layout) {
                libmimalloc_sys::mi_zalloc(layout.size()).cast()
            } else {
                MiMalloc.alloc_zeroed(layout)
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(block_of(layout) as i64));
        // SAFETY: the caller's.
        unsafe {
            if is_large(layout) {
                dealloc_large(pointer, layout);
            } else {
                MiMalloc.dealloc(pointer, layout);
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's; the alignment is as it was.
        unsafe {
            let new = Layout::from_size_align_unchecked(new_size, layout.align());
            count(block_of(new) as i64 - block_of(layout) as i64);
            if is_large(layout) {
                realloc_large(pointer, layout, new)
            } else if is_natural(layout) {
                libmimalloc_sys::mi_realloc(pointer.cast(), new_size).cast()
            } else if is_wide(layout) && is_wide(new) {
                realloc_wide(pointer, layout, new)
            } else {
                MiMalloc.realloc(pointer, layout, new_size)
            }
        }
    }
}

/// An alignment that blocks have whose size is a multiple of it, but that the allocator does not promise:
/// Lua's memory is asked for with it.
const WIDE: usize = 16;

/// Sizes for which asking without the alignment, and looking at what came, is the faster way.
const WIDE_MAX: usize = 1024;

#[inline]
const fn is_wide(layout: Layout) -> bool {
    layout.align() == WIDE && layout.size() <= WIDE_MAX
}

/// How large a block is that is asked for with this layout.
#[inline]
const fn block_of(layout: Layout) -> usize {
    block_bytes(if is_wide(layout) { layout.size().next_multiple_of(WIDE) } else { layout.size() })
}

/// # Safety
/// As [`GlobalAlloc::alloc`]; `is_wide`.
#[inline]
unsafe fn alloc_wide(layout: Layout) -> *mut u8 {
    // SAFETY: any size may be asked for; what is not aligned is given back at once.
    unsafe {
        let pointer = libmimalloc_sys::mi_malloc(layout.size().next_multiple_of(WIDE)).cast::<u8>();
        if pointer.addr() % WIDE == 0 {
            return pointer;
        }
        libmimalloc_sys::mi_free(pointer.cast());
        MiMalloc.alloc(layout)
    }
}

/// # Safety
/// As [`GlobalAlloc::realloc`]; `is_wide` of both layouts.
#[inline]
unsafe fn realloc_wide(pointer: *mut u8, old: Layout, new: Layout) -> *mut u8 {
    // SAFETY: the block is one of the allocator's, and holds what both sizes have in common.
    unsafe {
        let bytes = new.size().next_multiple_of(WIDE);
        let moved = libmimalloc_sys::mi_realloc(pointer.cast(), bytes).cast::<u8>();
        if moved.addr() % WIDE == 0 {
            return moved;
        }
        let aligned = MiMalloc.alloc(new);
        if !aligned.is_null() {
            aligned.copy_from_nonoverlapping(moved, old.size().min(new.size()));
        }
        libmimalloc_sys::mi_free(moved.cast());
        aligned
    }
}

/// Whether every block has the alignment. mimalloc is then to be asked without it: asked for an alignment it
/// looks for a larger block unless one of the right size happens to be at hand, and for a size which is
/// always asked for so that is never.
#[inline]
const fn is_natural(layout: Layout) -> bool {
    layout.align() <= 8
}

/// Sets the allocator up for a program that uses it; before there are threads.
pub fn configure() {
    // SAFETY: the option's number is one of mimalloc's, and any count may be set.
    unsafe { libmimalloc_sys::mi_option_set(GENERIC_COLLECT, COLLECT_EVERY) }
}

/// Bytes of the blocks that are handed out; `None` in a program with another allocator.
pub fn allocated_bytes() -> Option<u64> {
    if !COUNTS.load(Ordering::Relaxed) {
        return None;
    }
    let counters = TAKEN.load(Ordering::Relaxed).clamp(1, COUNTERS);
    let sum: i64 = BYTES[..counters].iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum();
    Some(sum.max(0) as u64)
}

/// Bytes of the blocks that are handed out, without those [set apart](set_apart); `None` as above.
pub fn used_bytes() -> Option<u64> {
    Some(allocated_bytes()?.saturating_sub(APART.load(Ordering::Relaxed).max(0) as u64))
}

/// Blocks that [`used_bytes`] leaves out until this is dropped, with what lies in them.
#[derive(Debug, Default)]
pub struct Apart(i64);

impl Apart {
    /// How many bytes they have.
    pub fn bytes(&self) -> u64 {
        self.0.max(0) as u64
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        APART.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Makes something of a fixed size, which belongs to the program rather than to its use, and sets its blocks
/// apart.
pub fn set_apart<T>(make: impl FnOnce() -> T) -> (T, Apart) {
    let own = || match COUNTER.get() {
        index if index < COUNTERS - 1 => Some(BYTES[index].load(Ordering::Relaxed)),
        // Other threads count there, too, or nobody does yet.
        _ => None,
    };
    let before = own();
    let made = make();
    let bytes = before.zip(own()).map_or(0, |(before, after)| after - before);
    APART.fetch_add(bytes, Ordering::Relaxed);
    (made, Apart(bytes))
}

/// Asks all threads to give back what they have freed: this one does it now, others when they call
/// [`give_back_if_asked`].
pub fn ask_back() {
    ASKED.fetch_add(1, Ordering::Relaxed);
    give_back_if_asked();
}

/// How often all threads have been asked to give back.
pub fn asked_back() -> usize {
    ASKED.load(Ordering::Relaxed)
}

/// Gives what this thread has freed back to the system, if that was asked for since the last time. Returns which
/// [time](asked_back) that was.
pub fn give_back_if_asked() -> usize {
    let asked = asked_back();
    if GIVEN.replace(asked) != asked {
        give_back_all();
    }
    asked
}

/// Gives back to the system what this thread has freed, and all pages that any thread has no use for.
pub fn give_back_all() {
    // SAFETY: may be called at any time by any thread.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// Gives back to the system pages that no thread has had a use for for a while. Threads do so by themselves, but only
/// when they allocate.
pub fn give_back_old() {
    // SAFETY: may be called at any time by any thread.
    unsafe { libmimalloc_sys::mi_collect(false) }
}

/// How large a block is that is asked for with this size: mimalloc's size classes, which the tests compare
/// with what it says.
#[inline]
pub const fn block_bytes(size: usize) -> usize {
    if size <= 64 {
        return if size == 0 { 8 } else { size.next_multiple_of(8) };
    }
    if size > CLASSES_MAX {
        const MIB: usize = 1024 * 1024;
        let step = match size {
            ..2_097_152 => MIB / 16,
            2_097_152..8_388_608 => MIB / 4,
            8_388_608..33_554_432 => MIB,
            _ => 4 * MIB,
        };
        return match size.checked_next_multiple_of(step) {
            Some(bytes) => bytes,
            None => size,
        };
    }
    // Four classes for each power of two.
    let step = 1 << ((size - 1).ilog2() - 2);
    size.next_multiple_of(step)
}

/// How large the block of a `Box<T>` is.
#[inline]
pub const fn box_bytes<T>() -> usize {
    array_bytes::<T>(1)
}

/// How large the block is that so many `T` stand in, one behind the other; 0 where there is none, which needs no
/// block.
#[inline]
pub const fn array_bytes<T>(count: usize) -> usize {
    let bytes = count.saturating_mul(size_of::<T>());
    if bytes == 0 {
        0
    } else {
        block_bytes(if align_of::<T>() > 8 { bytes.next_multiple_of(WIDE) } else { bytes })
    }
}

/// About how large all blocks of a `BTreeMap<K, V>` with so many entries are, without what those own. The map does not
/// say; its nodes have room for eleven entries, and those that grew one behind the other are a little over half full.
pub fn tree_bytes<K, V>(count: usize) -> usize {
    const NODE_MAX: usize = 11;
    /// Entries of a leaf with the one above it.
    const LEAF: usize = 7;
    /// The parent, the place below it, the length.
    const HEAD: usize = size_of::<usize>() + 2 * size_of::<u16>();
    let leaf_bytes = (HEAD + NODE_MAX * (size_of::<K>() + size_of::<V>())).next_multiple_of(8);
    let inner_bytes = leaf_bytes + (NODE_MAX + 1) * size_of::<usize>();
    if count <= NODE_MAX {
        return if count == 0 { 0 } else { block_bytes(leaf_bytes) };
    }
    let leaves = count.div_ceil(LEAF);
    // An inner node has as many children as a leaf has entries; those above them are a seventh of these.
    let inner = leaves.div_ceil(LEAF);
    leaves * block_bytes(leaf_bytes) + (inner + inner / (LEAF - 1)) * block_bytes(inner_bytes)
}

#[inline]
fn count(bytes: i64) {
    let index = COUNTER.get();
    if index < COUNTERS - 1 {
        // No other thread writes it.
        let counter = &BYTES[index];
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
    } else {
        count_first(index, bytes);
    }
}

#[cold]
fn count_first(index: usize, bytes: i64) {
    let index = if index == NONE {
        COUNTS.store(true, Ordering::Relaxed);
        let index = TAKEN.fetch_add(1, Ordering::Relaxed).min(COUNTERS - 1);
        COUNTER.set(index);
        index
    } else {
        index
    };
    BYTES[index].fetch_add(bytes, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counters are of the process: one test at a time.
    pub(super) static ONE_AT_A_TIME: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

    #[test]
    fn blocks_are_as_large_as_the_allocator_says() {
        let _alone = ONE_AT_A_TIME.lock();
        for size in (1..5_000).chain([
            8_192, 10_000, 65_536, 100_000, 524_288, 524_289, 1_000_000, 3_000_000, 9_000_000, 40_000_000,
        ]) {
            for align in [1, 2, 4, 8] {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: the block is freed with the layout it was made with.
                let usable = unsafe {
                    let pointer = Allocator.alloc(layout);
                    assert_eq!(pointer.addr() % align, 0);
                    let usable = MiMalloc.usable_size(pointer);
                    Allocator.dealloc(pointer, layout);
                    usable
                };
                assert_eq!(block_bytes(size), usable, "{size} {align}");
            }
        }
    }

    #[test]
    fn wide_blocks_are_aligned_and_as_large_as_counted() {
        let _alone = ONE_AT_A_TIME.lock();
        let mut blocks = Vec::new();
        for size in (1..WIDE_MAX).chain([WIDE_MAX]) {
            let layout = Layout::from_size_align(size, WIDE).unwrap();
            let next = Layout::from_size_align((size * 7) % WIDE_MAX + 1, WIDE).unwrap();
            // SAFETY: blocks are written within their size, and freed with the layout they have then.
            unsafe {
                let pointer = Allocator.alloc(layout);
                assert_eq!(
                    (pointer.addr() % WIDE, block_of(layout)),
                    (0, MiMalloc.usable_size(pointer)),
                    "{size}"
                );
                pointer.write_bytes(size as u8, size);
                let pointer = Allocator.realloc(pointer, layout, next.size());
                assert_eq!(pointer.addr() % WIDE, 0, "{size}");
                let kept = std::slice::from_raw_parts(pointer, size.min(next.size()));
                assert!(kept.iter().all(|byte| *byte == size as u8), "{size}");
                blocks.push((pointer, next));
            }
        }
        for (pointer, layout) in blocks {
            // SAFETY: as above.
            unsafe { Allocator.dealloc(pointer, layout) }
        }
    }

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        let _alone = ONE_AT_A_TIME.lock();
        // SAFETY: reads an option by a number that there is.
        let get = || unsafe { libmimalloc_sys::mi_option_get(GENERIC_COLLECT) };
        assert_eq!(get(), 10_000, "mimalloc's default tells the option from its neighbours");
        configure();
        assert_eq!(get(), COLLECT_EVERY);
    }

    #[test]
    fn what_is_set_apart_is_not_used() {
        let _alone = ONE_AT_A_TIME.lock();
        let apart = || APART.load(Ordering::Relaxed);
        let block = Layout::from_size_align(100_000, 8).unwrap();
        // SAFETY: the block is freed with the layout it was made with.
        unsafe {
            Allocator.dealloc(Allocator.alloc(block), block); // Now this thread has a counter.
            let before = apart();
            let (pointer, set_apart) = set_apart(|| Allocator.alloc(block));
            assert_eq!(set_apart.bytes(), 114_688);
            assert_eq!(apart() - before, 114_688);
            Allocator.dealloc(pointer, block);
            drop(set_apart);
            assert_eq!(apart(), before);
        }
    }

    #[test]
    fn what_is_freed_is_counted_down() {
        let _alone = ONE_AT_A_TIME.lock();
        let before = || BYTES.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum::<i64>();
        let start = before();
        let layout = Layout::from_size_align(100, 8).unwrap();
        // SAFETY: as above.
        unsafe {
            let pointer = Allocator.alloc(layout);
            assert_eq!(before() - start, 112);
            let pointer = Allocator.realloc(pointer, layout, 1_000);
            assert_eq!(before() - start, 1_024);
            let layout = Layout::from_size_align(1_000, 8).unwrap();
            std::thread::scope(|scope| {
                let pointer = pointer as usize;
                scope.spawn(move || Allocator.dealloc(pointer as *mut u8, layout));
            });
        }
        assert_eq!(before(), start);
    }
}
