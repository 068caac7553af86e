//! Buffers that the connections of one thread share: one read buffer, lent to the connection that reads, and
//! the scratch buffers of a batch. A connection that waits for requests, or has run all that came, holds
//! none, so ten thousand idle connections cost no buffers, and the buffer in use stays in the processor's
//! cache.
//!
//! A connection whose request is long, or arrives in parts, holds a read buffer of its own meanwhile. It
//! keeps that for [`KEEP_TIME`], because its next request is likely to be alike: a buffer that grew for a
//! megabyte need not grow again.

use std::cell::Cell;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use crate::engine::batch::Scratch;

/// Room made for each read, in bytes.
pub(super) const READ_CHUNK: usize = 16 * 1024;

/// A buffer that grew beyond this is not kept by a thread.
const KEEP_MAX: usize = 64 * 1024;

/// Nor beyond this by a connection.
const OWN_MAX: usize = 4 * 1024 * 1024;

/// Bytes of the write buffer that a connection begins with, as on the peers once they have seen it idle.
const FIRST_OUT: usize = 1024;

/// Largest write buffer that a connection keeps between two replies, in bytes. Longer replies are made in the
/// thread's large one.
pub(super) const OWN_OUT_MAX: usize = 16 * 1024;

/// Largest write buffer that a thread keeps, in bytes.
const LARGE_OUT_MAX: usize = 256 * 1024;

/// How long a connection that is silent keeps a buffer of its own.
pub(super) const KEEP_TIME: Duration = Duration::from_secs(2);

thread_local! {
    /// Holds no bytes of anybody.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// A large write buffer, empty.
    static LARGE_OUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Bytes that came and have not been run.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// So many of them are done with.
    start: usize,
}

impl Deref for Input {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl Input {
    /// Bytes of memory that it takes.
    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Room behind the last byte.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Makes room for so many more bytes, and for no more: who asks has thought of the next ones.
    pub(super) fn reserve(&mut self, added: usize) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.reserve_exact(added);
    }

    /// Whether much of it waits for bytes of a request that has begun to come.
    #[inline]
    pub(super) fn has_unused_room(&self) -> bool {
        self.room() > KEEP_MAX && !self.is_empty()
    }

    /// Gives back the room behind its bytes but for a chunk.
    pub(super) fn give_back_room(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.shrink_to(self.bytes.len() + READ_CHUNK);
    }

    /// Lets go of the first bytes, of which it has more.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        debug_assert!(count < self.len());
        self.start += count;
    }

    /// Reads into the room behind the last byte; 0 is the end.
    #[inline]
    pub(super) fn poll_read(
        &mut self,
        stream: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<usize>> {
        poll_read_buf(stream, cx, &mut self.bytes)
    }

    /// Where nothing is in it, sees to it that there is room.
    #[inline]
    pub(super) fn lend(&mut self) {
        if self.bytes.capacity() < READ_CHUNK {
            self.lend_spare();
        }
    }

    #[inline]
    fn lend_spare(&mut self) {
        debug_assert!(self.is_empty());
        *self = Self { bytes: SPARE.take(), start: 0 };
        if self.bytes.capacity() < READ_CHUNK {
            self.bytes.reserve_exact(READ_CHUNK);
        }
    }

    /// Empties it and gives its buffer back.
    #[inline]
    pub(super) fn give_back(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        self.start = 0;
        if (1..=KEEP_MAX).contains(&bytes.capacity()) {
            bytes.clear();
            SPARE.set(bytes);
        }
    }

    /// Empties it when `used` bytes of it were used last, for a request that came in parts or at once.
    /// Whether its buffer stays, or a smaller one in its place; else it goes back.
    #[inline]
    pub(super) fn keep_or_give_back(&mut self, used: usize, in_parts: bool) -> bool {
        let capacity = self.capacity();
        if capacity > OWN_MAX || (capacity <= KEEP_MAX && !in_parts) {
            self.give_back();
            return false;
        }
        self.start = 0;
        if in_parts || used > capacity / 4 {
            self.bytes.clear();
        } else {
            // It was larger than need be. Step by step, so that one small request between long ones does not
            // cost all of it.
            self.bytes = Vec::with_capacity(capacity / 4);
        }
        true
    }
}

/// Gives an empty write buffer room: the thread's large one if the connection's last replies needed that
/// (`large`), else a first small one.
pub(super) fn lend_out(out: &mut Vec<u8>, large: bool) {
    debug_assert!(out.is_empty());
    if large {
        let spare = LARGE_OUT.take();
        if spare.capacity() > out.capacity() {
            *out = spare;
        }
    } else {
        out.reserve_exact(FIRST_OUT);
    }
}

/// Exchanges an empty write buffer of more than [`OWN_OUT_MAX`] for one of that size. The large one stays
/// with the thread, unless it is larger than [`LARGE_OUT_MAX`].
pub(super) fn give_back_out(out: &mut Vec<u8>) {
    debug_assert!(out.is_empty());
    let large = std::mem::replace(out, Vec::with_capacity(OWN_OUT_MAX));
    if large.capacity() <= LARGE_OUT_MAX {
        LARGE_OUT.set(large);
    }
}

/// The buffers of a batch, for one batch.
#[inline]
pub(super) fn with_scratch<R>(run: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let result = run(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(capacity: usize, bytes: &[u8]) -> Input {
        let mut input = Input { bytes: Vec::with_capacity(capacity), start: 0 };
        input.bytes.extend_from_slice(bytes);
        input
    }

    #[test]
    fn what_was_needed_stays_and_what_was_not_gets_smaller() {
        let mut small = input(READ_CHUNK, b"PING");
        assert!(small.keep_or_give_back(4, true) && small.is_empty() && small.capacity() >= READ_CHUNK);
        assert!(!small.keep_or_give_back(4, false));
        assert_eq!(small.capacity(), 0);
        let mut large = input(16 * KEEP_MAX, &[b'x'; 8 * KEEP_MAX]);
        assert!(large.keep_or_give_back(8 * KEEP_MAX, false) && large.is_empty());
        assert_eq!(large.capacity(), 16 * KEEP_MAX);
        assert!(large.keep_or_give_back(100, false));
        assert_eq!(large.capacity(), 4 * KEEP_MAX);
        assert!(large.keep_or_give_back(100, false));
        assert!(!large.keep_or_give_back(100, false));
        assert!(!input(OWN_MAX + 1, b"").keep_or_give_back(OWN_MAX, true));
    }

    #[test]
    fn a_buffer_goes_from_one_to_the_next_without_its_bytes() {
        let (mut first, mut second) = (Input::default(), Input::default());
        first.lend();
        assert!(first.room() >= READ_CHUNK);
        first.bytes.extend_from_slice(b"secret");
        first.advance(3);
        let place = first.bytes.as_ptr();
        first.give_back();
        assert_eq!((first.len(), first.capacity()), (0, 0));
        second.lend();
        assert_eq!((second.len(), second.bytes.as_ptr()), (0, place));
        first.lend();
        assert!(
            first.room() >= READ_CHUNK && first.bytes.as_ptr() != place,
            "there is another one for who reads too"
        );
    }

    #[test]
    fn a_large_write_buffer_goes_from_one_connection_to_the_next() {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        lend_out(&mut first, false);
        assert_eq!(first.capacity(), FIRST_OUT);
        first.reserve_exact(4 * OWN_OUT_MAX);
        let place = first.as_ptr();
        give_back_out(&mut first);
        assert_eq!(first.capacity(), OWN_OUT_MAX);
        lend_out(&mut second, true);
        assert_eq!((second.as_ptr(), second.capacity()), (place, 4 * OWN_OUT_MAX));
        lend_out(&mut first, true);
        assert_eq!(first.capacity(), OWN_OUT_MAX, "the thread had none left");
        second.reserve_exact(LARGE_OUT_MAX + 1);
        give_back_out(&mut second);
        lend_out(&mut second, true);
        assert_eq!(second.capacity(), OWN_OUT_MAX, "one beyond the limit is not kept");
    }

    #[test]
    fn a_large_buffer_is_not_kept() {
        let mut input = input(10 * KEEP_MAX, b"");
        input.give_back();
        input.lend();
        assert!(input.capacity() < 10 * KEEP_MAX);
    }

    #[test]
    fn room_that_is_not_used_is_given_back() {
        let mut input = input(1 << 20, b"0123456789");
        input.advance(6);
        assert!(input.has_unused_room());
        input.give_back_room();
        assert_eq!(&input[..], b"6789");
        assert!(input.capacity() < 2 * READ_CHUNK && !input.has_unused_room());
    }

    #[test]
    fn what_is_done_with_makes_room() {
        let mut input = input(10, b"0123456789");
        input.advance(6);
        assert_eq!((&input[..], input.room()), (&b"6789"[..], 0));
        input.reserve(6);
        assert_eq!((&input[..], input.room()), (&b"6789"[..], 6));
    }
}
