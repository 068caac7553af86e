//! The allocator: mimalloc. It was chosen for needing nothing but a C compiler; docs/performance.md has the comparison once it is made.

/// Its name in INFO.
pub const NAME: &str = "mimalloc";

/// Bytes that the allocator has handed out, where it can tell.
pub fn allocated_bytes() -> Option<u64> {
    None
}
