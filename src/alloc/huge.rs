//! Blocks of 16 MB and more that grow: pages of the system, which moves them without a copy.
#![allow(unsafe_code)] // They are a part of the global allocator.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

use mimalloc::MiMalloc;

use super::block_of;

/// Bytes from which on blocks that grow are given pages of the system.
const HUGE: usize = 16 << 20;

/// The alignment of pages, or of less where the system's are larger.
const PAGE: usize = 4096;

/// Places for the addresses of mapped blocks, a power of two; and at how many of them one address may be.
const PLACES: usize = 4096;
const TRIED: usize = 32;

/// No address: the place of a block that is being moved.
const MOVING: usize = 1;

/// Where the blocks begin that are pages of the system; 0 for none.
static MAPPED: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];

#[inline]
pub(super) const fn is_huge(layout: Layout) -> bool {
    layout.size() >= HUGE && layout.align() <= PAGE
}

/// Replaces what stands at the first of an address's places that holds `from`; returns that place.
fn replace_place(address: usize, from: usize, to: usize) -> Option<&'static AtomicUsize> {
    let first = (address / PAGE).wrapping_mul(0x9e37_79b9) >> 8;
    let mut places = (first..first + TRIED).map(|place| &MAPPED[place % PLACES]);
    places.find(|place| place.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok())
}

/// New pages, noted as mapped; null where there are none, or no place to note them.
fn map_huge(bytes: usize) -> *mut u8 {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new pages, which nobody uses, wherever the system has room for them; they go where they came from if
    // they cannot be noted.
    unsafe {
        let pages = libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0);
        if pages == libc::MAP_FAILED {
            return std::ptr::null_mut();
        }
        if replace_place(pages.addr(), 0, pages.addr()).is_none() {
            libc::munmap(pages, bytes);
            return std::ptr::null_mut();
        }
        pages.cast()
    }
}

/// # Safety
/// As [`GlobalAlloc::dealloc`]; `is_huge`.
#[cold]
pub(super) unsafe fn dealloc_huge(pointer: *mut u8, layout: Layout) {
    // SAFETY: the pages of a block that is noted are its own, as many as its layout says. It is noted no more before
    // the system may give its address to others.
    unsafe {
        if replace_place(pointer.addr(), pointer.addr(), 0).is_some() {
            libc::munmap(pointer.cast(), block_of(layout));
        } else {
            MiMalloc.dealloc(pointer, layout);
        }
    }
}

/// # Safety
/// As [`GlobalAlloc::realloc`]; `is_huge` of the old layout.
#[cold]
pub(super) unsafe fn realloc_huge(pointer: *mut u8, old: Layout, new: Layout) -> *mut u8 {
    let (old_bytes, bytes) = (block_of(old), block_of(new));
    // While pages move, their address is not noted: the system may give it to others.
    let place = replace_place(pointer.addr(), pointer.addr(), MOVING);
    // SAFETY: a block that is noted is as many pages as its layout says, which move with what they hold, or are left
    // for a block of mimalloc's; any other one is mimalloc's. Copied is what both sizes have in common.
    unsafe {
        let Some(place) = place else {
            let grows = is_huge(new) && bytes > old_bytes;
            let pages = if grows { map_huge(bytes) } else { std::ptr::null_mut() };
            if pages.is_null() {
                return MiMalloc.realloc(pointer, old, new.size());
            }
            pages.copy_from_nonoverlapping(pointer, old.size());
            MiMalloc.dealloc(pointer, old);
            return pages;
        };
        if !is_huge(new) {
            let moved = MiMalloc.alloc(new);
            if moved.is_null() {
                place.store(pointer.addr(), Ordering::Relaxed);
            } else {
                moved.copy_from_nonoverlapping(pointer, new.size());
                place.store(0, Ordering::Relaxed);
                libc::munmap(pointer.cast(), old_bytes);
            }
            return moved;
        }
        let pages = libc::mremap(pointer.cast(), old_bytes, bytes, libc::MREMAP_MAYMOVE);
        if pages == libc::MAP_FAILED {
            place.store(pointer.addr(), Ordering::Relaxed);
            return std::ptr::null_mut();
        }
        place.store(0, Ordering::Relaxed);
        if replace_place(pages.addr(), 0, pages.addr()).is_some() {
            return pages.cast();
        }
        // Nowhere to note it. What it held may have moved, so that a failure cannot be told any more.
        let moved = MiMalloc.alloc(new);
        if moved.is_null() {
            std::process::abort();
        }
        moved.copy_from_nonoverlapping(pages.cast(), old.size().min(new.size()));
        libc::munmap(pages, bytes);
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ONE_AT_A_TIME;
    use super::super::{Allocator, BYTES};
    use super::*;

    /// Blocks that begin to be huge, grow, shrink, and cease to be huge keep what they hold, and are counted.
    #[test]
    fn huge_blocks_keep_what_they_hold() {
        let _alone = ONE_AT_A_TIME.lock();
        let total = || BYTES.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum::<i64>();
        const MIB: usize = 1 << 20;
        let sizes = [
            15 * MIB,
            16 * MIB,
            16 * MIB + 1,
            40 * MIB + 4095,
            41 * MIB,
            90 * MIB,
            17 * MIB,
            HUGE - 1,
            3,
            64 * MIB,
            100,
        ];
        let mark = |at: usize| (at / 1000 * 7 + at) as u8;
        for align in [1, 8, 16, 4096] {
            let start = total();
            let layout = |size| Layout::from_size_align(size, align).unwrap();
            // SAFETY: blocks are read and written within their size, and freed with the layout they have then.
            unsafe {
                let mut size = 20 * MIB;
                let mut pointer = Allocator.alloc_zeroed(layout(size));
                let bytes = |pointer: *mut u8, size| std::slice::from_raw_parts_mut(pointer, size);
                assert!(bytes(pointer, size).iter().step_by(509).all(|byte| *byte == 0));
                let marked = |size: usize| (0..size).step_by(509);
                marked(size).for_each(|at| bytes(pointer, size)[at] = mark(at));
                let mut is_mapped = false;
                for next in sizes {
                    let grows = block_of(layout(next)) > block_of(layout(size));
                    is_mapped = next >= HUGE && (is_mapped || size >= HUGE && grows);
                    pointer = Allocator.realloc(pointer, layout(size), next);
                    assert_eq!(pointer.addr() % align, 0, "{next}");
                    assert_eq!(total() - start, block_of(layout(next)) as i64, "{next}");
                    let is_noted = MAPPED.iter().any(|place| place.load(Ordering::Relaxed) == pointer.addr());
                    assert_eq!(is_noted, is_mapped, "{size} {next}");
                    let kept = bytes(pointer, size.min(next));
                    assert!(marked(kept.len()).all(|at| kept[at] == mark(at)), "{next}");
                    marked(next).for_each(|at| bytes(pointer, next)[at] = mark(at));
                    size = next;
                }
                Allocator.dealloc(pointer, layout(size));
            }
            assert_eq!(total(), start);
        }
        assert!(MAPPED.iter().all(|place| place.load(Ordering::Relaxed) == 0));
    }

    /// Where there is no place to note pages, blocks are mimalloc's as before.
    #[test]
    fn huge_blocks_without_a_place() {
        let _alone = ONE_AT_A_TIME.lock();
        MAPPED.iter().for_each(|place| place.store(MOVING, Ordering::Relaxed));
        let layout = |size| Layout::from_size_align(size, 1).unwrap();
        // SAFETY: as above.
        unsafe {
            let pointer = Allocator.alloc(layout(HUGE));
            pointer.write_bytes(7, HUGE);
            let pointer = Allocator.realloc(pointer, layout(HUGE), 3 * HUGE);
            assert!(std::slice::from_raw_parts(pointer, HUGE).iter().step_by(509).all(|byte| *byte == 7));
            Allocator.dealloc(pointer, layout(3 * HUGE));
            // Pages that find none when they have grown.
            MAPPED.iter().for_each(|place| place.store(0, Ordering::Relaxed));
            let pointer = Allocator.realloc(Allocator.alloc(layout(HUGE)), layout(HUGE), 2 * HUGE);
            pointer.write_bytes(9, 2 * HUGE);
            let free = |place: &&AtomicUsize| place.load(Ordering::Relaxed) == 0;
            MAPPED.iter().filter(free).for_each(|place| place.store(MOVING, Ordering::Relaxed));
            // The next block is where this one would grow to.
            let behind = Allocator.alloc(layout(HUGE));
            let grown = Allocator.realloc(pointer, layout(2 * HUGE), 4 * HUGE);
            assert!(std::slice::from_raw_parts(grown, 2 * HUGE).iter().step_by(509).all(|byte| *byte == 9));
            Allocator.dealloc(grown, layout(4 * HUGE));
            Allocator.dealloc(behind, layout(HUGE));
        }
        MAPPED.iter().for_each(|place| place.store(0, Ordering::Relaxed));
    }
}
