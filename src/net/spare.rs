//! A read buffer for each thread, lent to the connection that reads: one that waits for requests, or has run all that came, holds none. Ten
//! thousand idle connections then cost no buffers, and the one that is used stays in the processor's cache.
//!
//! A client whose request is long, or comes in parts, holds a buffer of its own meanwhile. It keeps that for a while, since its next request
//! is likely to be alike: what has grown for a megabyte need not grow again.

use std::cell::RefCell;
use std::time::Duration;

use bytes::BytesMut;

/// Room made for each read, in bytes.
pub(super) const READ_CHUNK: usize = 16 * 1024;

/// A buffer that grew beyond this is not kept by a thread.
const KEEP_MAX: usize = 64 * 1024;

/// Nor beyond this by a connection.
const OWN_MAX: usize = 4 * 1024 * 1024;

/// How long a connection that is silent keeps a buffer of its own.
pub(super) const KEEP_TIME: Duration = Duration::from_secs(2);

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

/// Empties a buffer of which `used` bytes were used last, for a request that came in parts or at once. Whether it stays, or a smaller one
/// in its place; else it goes back.
pub(super) fn keep_or_give_back(input: &mut BytesMut, used: usize, in_parts: bool) -> bool {
    let capacity = input.capacity();
    if capacity > OWN_MAX || (capacity <= KEEP_MAX && !in_parts) {
        give_back(input);
        return false;
    }
    if in_parts || used > capacity / 4 {
        input.clear();
    } else {
        // It was larger than need be. Step by step, so that one small request between long ones does not cost all of it.
        *input = BytesMut::with_capacity(capacity / 4);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_needed_stays_and_what_was_not_gets_smaller() {
        let mut input = BytesMut::with_capacity(READ_CHUNK);
        input.extend_from_slice(b"PING");
        assert!(keep_or_give_back(&mut input, 4, true) && input.is_empty() && input.capacity() >= READ_CHUNK);
        assert!(!keep_or_give_back(&mut input, 4, false));
        assert_eq!(input.capacity(), 0);
        let mut input = BytesMut::with_capacity(16 * KEEP_MAX);
        input.extend_from_slice(&[b'x'; 8 * KEEP_MAX]);
        assert!(keep_or_give_back(&mut input, 8 * KEEP_MAX, false) && input.is_empty());
        assert_eq!(input.capacity(), 16 * KEEP_MAX);
        assert!(keep_or_give_back(&mut input, 100, false));
        assert_eq!(input.capacity(), 4 * KEEP_MAX);
        assert!(keep_or_give_back(&mut input, 100, false));
        assert!(!keep_or_give_back(&mut input, 100, false));
        let mut input = BytesMut::with_capacity(OWN_MAX + 1);
        assert!(!keep_or_give_back(&mut input, OWN_MAX, true));
    }

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
