//! The allocator: mimalloc, chosen for needing nothing but a C compiler. Others have not been compared with it yet.

/// Its name in INFO.
pub const NAME: &str = "mimalloc";

/// Bytes that the allocator has handed out, where it can tell.
pub fn allocated_bytes() -> Option<u64> {
    None
}
