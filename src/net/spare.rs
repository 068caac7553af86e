//! A read buffer for each thread, lent to the connection that reads: one that waits for requests, or has run all that came, holds none. Ten
//! thousand idle connections then cost no buffers, and the one that is used stays in the processor's cache.

use std::cell::RefCell;

use bytes::BytesMut;

/// Room made for each read, in bytes.
pub(super) const READ_CHUNK: usize = 16 * 1024;

/// A buffer that grew beyond this is not kept.
const KEEP_MAX: usize = 64 * 1024;

thread_local! {
    /// Holds no bytes of anybody.
    static SPARE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Puts an empty buffer with room in the place of one that holds nothing.
pub(super) fn lend(input: &mut BytesMut) {
    debug_assert!(input.is_empty());
    if input.capacity() < READ_CHUNK {
        *input = SPARE.take();
        input.reserve(READ_CHUNK);
    }
}

/// Empties a buffer and takes it back.
pub(super) fn give_back(input: &mut BytesMut) {
    let mut buffer = std::mem::take(input);
    if buffer.capacity() > 0 && buffer.capacity() <= KEEP_MAX {
        buffer.clear();
        SPARE.set(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_goes_from_one_to_the_next_without_its_bytes() {
        let (mut first, mut second) = (BytesMut::new(), BytesMut::new());
        lend(&mut first);
        assert!(first.capacity() >= READ_CHUNK);
        first.extend_from_slice(b"secret");
        let place = first.as_ptr();
        give_back(&mut first);
        assert_eq!((first.len(), first.capacity()), (0, 0));
        lend(&mut second);
        assert_eq!((second.len(), second.as_ptr()), (0, place));
        lend(&mut first);
        assert!(
            first.capacity() >= READ_CHUNK && first.as_ptr() != place,
            "there is another one for who reads too"
        );
    }

    #[test]
    fn a_large_buffer_is_not_kept() {
        let mut input = BytesMut::with_capacity(10 * KEEP_MAX);
        give_back(&mut input);
        lend(&mut input);
        assert!(input.capacity() < 10 * KEEP_MAX);
    }
}
