//! The progress of a group: the number of entries it has read, unknown where deleted entries make it
//! uncertain.

use super::StreamId;
use super::group::{ConsumerIndex, Group, Pending};

/// Counters and ids of a stream, from which progress is computed.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Entries present.
    pub len: u64,
    /// Entries ever added.
    pub added: u64,
    /// Id of the first entry present.
    pub first: StreamId,
    /// Highest id that the stream ever had.
    pub last: StreamId,
    /// Highest id deleted by XDEL.
    pub max_deleted: StreamId,
}

impl Progress {
    /// Number of entries added up to an id. `None` while entries deleted by XDEL may lie behind it.
    pub fn added_up_to(&self, id: StreamId) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last {
            return Some(self.added);
        }
        if id != StreamId::MIN && id < self.max_deleted {
            return None;
        }
        if id >= self.last {
            return (id == self.last).then_some(self.added);
        }
        if self.max_deleted == StreamId::MIN || self.max_deleted < self.first {
            let before = self.added.wrapping_sub(self.len);
            if id < self.first {
                return Some(before);
            }
            if id == self.first {
                return Some(before.wrapping_add(1));
            }
        }
        None
    }

    /// Whether an entry from `start` on was deleted by name.
    fn has_gap_from(&self, start: StreamId) -> bool {
        self.len > 0 && self.max_deleted != StreamId::MIN && start <= self.max_deleted
    }

    /// Number of entries that a group has still to read; `None` if unknown.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        if self.added == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !self.has_gap_from(group.last_id) => read,
            _ => self.added_up_to(group.last_id)?,
        };
        Some(self.added.wrapping_sub(read) as i64)
    }

    /// Notes that a group has read the entry `id`.
    pub fn advance(&self, group: &mut Group, id: StreamId) {
        if id <= group.last_id {
            return;
        }
        group.entries_read = match group.entries_read {
            Some(read) if group.last_id >= self.first && !self.has_gap_from(group.last_id) => {
                Some(read.wrapping_add(1))
            }
            read if self.added == 0 => read,
            _ => self.added_up_to(id),
        };
        group.last_id = id;
    }

    /// Gives new entries to a consumer, as delivered for the first time at `now_ms`.
    pub fn deliver(&self, group: &mut Group, consumer: ConsumerIndex, ids: &[StreamId], now_ms: i64) {
        for &id in ids {
            self.advance(group, id);
            group.assign(id, Pending { consumer, delivered_at_ms: now_ms, deliveries: 1 });
        }
        if !ids.is_empty() {
            group.consumer_mut(consumer).active_at_ms = now_ms;
        }
    }
}
