//! [`Spill`]: the part of the stream that waits in a file for links that are far behind, as ranges of
//! positions. What writes and reads the file stands in `persistence`.
//!
//! The journal's bytes are a range of positions: its front may lie in the file, the rest in memory. Bytes go to
//! the file from the front of those in memory once a link, or a replica that was cut off, needs them and they
//! lie further back than memory is to reach. They come back as a link asks for them, and are given up once
//! nobody needs them.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

/// Sizes of the pieces in which a journal is kept and moved.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of a block: entries are written into it until it is full.
    pub block: u64,
    /// Bytes that go to the file at once, at least.
    pub batch: u64,
    /// Bytes that come back from the file at once, at most.
    pub fetch: u64,
    /// Bytes that were sent to a replica and not acknowledged, for which memory has room beside the backlog: a
    /// link that is cut loses them.
    pub in_flight: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { block: 1 << 20, batch: 4 << 20, fetch: 1 << 20, in_flight: 8 << 20 }
    }
}

/// Bytes that are to be written behind those in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpillJob {
    /// The position of the first of them.
    pub position: u64,
    /// The bytes, in the order of their positions.
    pub pieces: Vec<Bytes>,
}

impl SpillJob {
    /// The position behind the last byte.
    pub fn end(&self) -> u64 {
        self.position + self.pieces.iter().map(|piece| piece.len() as u64).sum::<u64>()
    }
}

/// Bytes that a reader wants from the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub(super) reader: u64,
    /// The position of the first of them.
    pub position: u64,
    /// Their greatest number. Fewer do, as long as there is one.
    pub max_len: u64,
}

/// A replica that was cut off and for which the stream is kept, by the number under which it was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold(pub(super) u64);

/// What waits for a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Bytes that it has still to read.
    pub bytes: u64,
    /// Those of them that are in memory.
    pub memory_bytes: u64,
    /// Bytes that memory holds whether the reader is there or not.
    pub kept_bytes: u64,
    /// Whether no other link is further behind.
    pub is_last: bool,
    /// Whether the file takes what is in memory.
    pub spills: bool,
}

/// The part of the stream in the file.
pub(super) struct Spill {
    /// Bytes that the file may have; 0 where there is to be none.
    pub limit: u64,
    /// Bytes that may wait in memory beside the backlog.
    pub room: u64,
    /// Whether the file could not be written.
    pub is_broken: bool,
    /// Whether the limit keeps bytes from the file that ought to be there.
    pub is_full: bool,
    /// Positions of the bytes in the file. Those in memory follow.
    pub file: Range<u64>,
    /// Bytes that the file takes on the disk.
    pub used: u64,
    /// Whether a job is being written.
    pub is_writing: bool,
    /// Whether the file's thread was called for a job that it has not taken.
    pub has_called: bool,
    /// Replicas that were cut off, with the position that each may ask for, in the order in which they left.
    pub holds: VecDeque<(u64, u64)>,
    pub last_hold: u64,
    /// The position before which nothing is kept for anybody who is cut off.
    pub hold_floor: u64,
    pub fetches: VecDeque<Fetch>,
    pub wake: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Default for Spill {
    fn default() -> Self {
        Self {
            limit: 0,
            room: u64::MAX,
            is_broken: false,
            is_full: false,
            file: 0..0,
            used: 0,
            is_writing: false,
            has_called: false,
            holds: VecDeque::new(),
            last_hold: 0,
            hold_floor: 0,
            fetches: VecDeque::new(),
            wake: None,
        }
    }
}

impl std::fmt::Debug for Spill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spill").field("limit", &self.limit).field("file", &self.file).finish_non_exhaustive()
    }
}

impl Spill {
    /// Whether bytes may go to the file.
    pub fn is_on(&self) -> bool {
        self.limit > 0 && !self.is_broken && self.wake.is_some()
    }

    /// Calls the thread of the file.
    pub fn call(&self) {
        if let Some(wake) = &self.wake {
            wake();
        }
    }

    /// The first position that a replica which was cut off may ask for.
    pub fn held_from(&self) -> Option<u64> {
        self.holds.iter().map(|(_, position)| *position).min()
    }

    /// Keeps nothing any more for the replica that is furthest behind of those that were cut off, unless a
    /// reader that is at `needed` needs as much. Returns whether there was one.
    pub fn give_up_hold(&mut self, needed: Option<u64>) -> bool {
        let Some(first) = self.held_from().filter(|first| needed.is_none_or(|needed| *first < needed)) else {
            return false;
        };
        self.holds.retain(|(_, position)| *position != first);
        true
    }

    /// A reader is gone, which may leave room.
    pub fn reader_left(&mut self, number: u64) {
        self.fetches.retain(|fetch| fetch.reader != number);
        if std::mem::take(&mut self.is_full) {
            self.call();
        }
    }

    /// Gives up the bytes before a position. Returns whether the file is empty.
    pub fn forget_before(&mut self, needed: u64) -> bool {
        let start = self.file.start.max(needed.min(self.file.end));
        if !self.file.is_empty() && start > self.file.start {
            self.file.start = start;
            if std::mem::take(&mut self.is_full) || self.file.is_empty() {
                self.call();
            }
        }
        self.file.is_empty()
    }
}
