//! Large blocks that grow bit by bit: pages of the system, which it moves without a copy.
#![allow(unsafe_code)] // They are a part of the global allocator.

use std::alloc::{GlobalAlloc, Layout};

use mimalloc::MiMalloc;

use super::block_of;

/// Bytes of a block from which on it is given pages of the system when it grows by little.
const LARGE: usize = 8 << 20;

/// The alignment of pages, or of less where the system's are larger.
const PAGE: usize = 4096;

/// Whether a block of this layout may be pages of the system.
#[inline]
pub(super) const fn is_large(layout: Layout) -> bool {
    cfg!(target_os = "linux") && layout.size() >= LARGE && layout.align() <= PAGE
}

/// Whether a large block is pages of the system: mimalloc, whose blocks all others are, knows its own by their
/// addresses.
fn is_mapped(pointer: *mut u8) -> bool {
    // SAFETY: any address may be asked for.
    !unsafe { libmimalloc_sys::mi_is_in_heap_region(pointer.cast_const().cast()) }
}

/// Whether a block grows by so little that it would be copied many times before it has doubled. One that doubles is
/// better mimalloc's, which has its pages at hand: the system clears each one that it gives.
const fn grows_by_little(old_bytes: usize, bytes: usize) -> bool {
    bytes > old_bytes && bytes - old_bytes <= old_bytes / 8
}

/// Frees a large block.
///
/// # Safety
/// As [`GlobalAlloc::dealloc`]; `is_large`.
#[cold]
pub(super) unsafe fn dealloc_large(pointer: *mut u8, layout: Layout) {
    // SAFETY: a mapped block is as many pages as its layout says, and its own.
    unsafe {
        if is_mapped(pointer) {
            libc::munmap(pointer.cast(), block_of(layout));
        } else {
            MiMalloc.dealloc(pointer, layout);
        }
    }
}

/// Gives a large block another size. One that grows by little becomes mapped, and stays so as long as it is large;
/// any other one is mimalloc's.
///
/// # Safety
/// As [`GlobalAlloc::realloc`]; `is_large` of the old layout.
#[cold]
pub(super) unsafe fn realloc_large(pointer: *mut u8, old: Layout, new: Layout) -> *mut u8 {
    let (old_bytes, bytes) = (block_of(old), block_of(new));
    let was_mapped = is_mapped(pointer);
    // SAFETY: a mapped block is as many pages as its layout says, which move with what they hold. Else a new block
    // takes what both sizes have in common, and the old one is freed.
    unsafe {
        let moved = match (was_mapped, is_large(new)) {
            (true, true) => return remap(pointer, old_bytes, bytes),
            (true, false) => MiMalloc.alloc(new),
            (false, true) if grows_by_little(old_bytes, bytes) => map(bytes),
            (false, _) => return MiMalloc.realloc(pointer, old, new.size()),
        };
        if !moved.is_null() {
            moved.copy_from_nonoverlapping(pointer, old.size().min(new.size()));
            dealloc_large(pointer, old);
        }
        moved
    }
}

/// New pages; null where there are none.
#[cfg(target_os = "linux")]
fn map(bytes: usize) -> *mut u8 {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new pages, which nobody uses, wherever the system has room for them.
    let pages = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    if pages == libc::MAP_FAILED { std::ptr::null_mut() } else { pages.cast() }
}

/// Makes a mapped block larger or smaller, where it is or elsewhere; null where there is no room for it.
///
/// # Safety
/// The block is mapped and has `old_bytes`.
#[cfg(target_os = "linux")]
unsafe fn remap(pointer: *mut u8, old_bytes: usize, bytes: usize) -> *mut u8 {
    // SAFETY: the caller's.
    let pages = unsafe { libc::mremap(pointer.cast(), old_bytes, bytes, libc::MREMAP_MAYMOVE) };
    if pages == libc::MAP_FAILED { std::ptr::null_mut() } else { pages.cast() }
}

/// Other systems than Linux cannot move pages: no block is large there.
#[cfg(not(target_os = "linux"))]
fn map(_: usize) -> *mut u8 {
    std::ptr::null_mut()
}

/// Other systems than Linux cannot move pages: no block is large there.
///
/// # Safety
/// None is needed.
#[cfg(not(target_os = "linux"))]
unsafe fn remap(_: *mut u8, _: usize, _: usize) -> *mut u8 {
    std::ptr::null_mut()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::super::tests::ONE_AT_A_TIME;
    use super::super::{Allocator, BYTES};
    use super::*;
    use std::sync::atomic::Ordering;

    const MIB: usize = 1 << 20;

    fn mark(at: usize) -> u8 {
        (at / 1000 * 7 + at) as u8
    }

    /// Writes marks into a block, which is as large as that.
    unsafe fn write_marks(pointer: *mut u8, size: usize) {
        // SAFETY: within the block.
        let bytes = unsafe { std::slice::from_raw_parts_mut(pointer, size) };
        (0..size).step_by(509).for_each(|at| bytes[at] = mark(at));
    }

    /// Whether the marks are there in the first bytes of a block.
    unsafe fn has_marks(pointer: *mut u8, size: usize) -> bool {
        // SAFETY: within the block.
        let bytes = unsafe { std::slice::from_raw_parts(pointer, size) };
        (0..size).step_by(509).all(|at| bytes[at] == mark(at))
    }

    /// Blocks that begin to be large, grow, shrink, and cease to be large keep what they hold, and are counted.
    #[test]
    fn large_blocks_keep_what_they_hold() {
        let _alone = ONE_AT_A_TIME.lock();
        let total = || BYTES.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum::<i64>();
        let small = [LARGE - 1, LARGE, LARGE + 1, 15 * MIB, 16 * MIB + 1];
        let sizes =
            [40 * MIB + 4095, 41 * MIB, 90 * MIB, 17 * MIB, LARGE, LARGE - 1, 3, 64 * MIB, 66 * MIB, 100];
        for align in [1, 8, 16, 4096] {
            let (start, mut mappings) = (total(), 0);
            let layout = |size| Layout::from_size_align(size, align).unwrap();
            // SAFETY: blocks are read and written within their size, and freed with the layout they have then.
            unsafe {
                let (mut size, mut mapped) = (3 * MIB, false);
                let mut pointer = Allocator.alloc_zeroed(layout(size));
                let zeroed = std::slice::from_raw_parts(pointer, size);
                assert!(zeroed.iter().step_by(509).all(|byte| *byte == 0));
                write_marks(pointer, size);
                for next in small.into_iter().chain(sizes) {
                    let grows = grows_by_little(block_of(layout(size)), block_of(layout(next)));
                    mapped = next >= LARGE && (mapped || size >= LARGE && grows);
                    mappings += usize::from(mapped);
                    pointer = Allocator.realloc(pointer, layout(size), next);
                    assert_eq!(pointer.addr() % align, 0, "{next}");
                    assert_eq!(total() - start, block_of(layout(next)) as i64, "{next}");
                    assert_eq!(is_mapped(pointer), mapped, "{size} {next}");
                    assert!(has_marks(pointer, size.min(next)), "{size} {next}");
                    write_marks(pointer, next);
                    size = next;
                }
                Allocator.dealloc(pointer, layout(size));
            }
            assert_eq!((total(), mappings), (start, 9));
        }
    }

    /// Mapped blocks and mimalloc's own, made, grown and freed in any order by several threads, are never taken for
    /// one another.
    #[test]
    fn blocks_are_told_apart() {
        let _alone = ONE_AT_A_TIME.lock();
        let churn = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let layout = |size| Layout::from_size_align(size, 1).unwrap();
            let mut blocks: Vec<(*mut u8, usize)> = Vec::new();
            for _ in 0..150 {
                // SAFETY: as above.
                unsafe {
                    let most = if rng.bool() { 6 * MIB } else { 100_000 };
                    let size = rng.usize(1..most);
                    let size = if rng.bool() { size } else { 9 * MIB + size / 8 };
                    match rng.u8(..4) {
                        0 if !blocks.is_empty() => {
                            let (pointer, size) = blocks.swap_remove(rng.usize(..blocks.len()));
                            assert!(has_marks(pointer, size));
                            Allocator.dealloc(pointer, layout(size));
                        }
                        1 | 2 if !blocks.is_empty() => {
                            let block = rng.usize(..blocks.len());
                            let (pointer, old) = blocks[block];
                            let grown = Allocator.realloc(pointer, layout(old), size);
                            assert!(has_marks(grown, old.min(size)));
                            write_marks(grown, size);
                            blocks[block] = (grown, size);
                        }
                        _ => {
                            let pointer = Allocator.alloc(layout(size));
                            write_marks(pointer, size);
                            blocks.push((pointer, size));
                        }
                    }
                }
            }
            for (pointer, size) in blocks {
                // SAFETY: as above.
                unsafe {
                    assert!(has_marks(pointer, size));
                    Allocator.dealloc(pointer, layout(size));
                }
            }
        };
        std::thread::scope(|scope| {
            (0..4).for_each(|seed| drop(scope.spawn(move || churn(seed))));
        });
    }
}
