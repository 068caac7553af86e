//! [`Desk`]: the writer of the append-only file, for its own thread and for workers that take its place.
//!
//! With `appendfsync always`, and a disk that is quick, a worker that has run all requests that had come writes and
//! syncs what they have changed, and sends the replies. All replies wait for that sync anyway. With the writer's
//! thread the sync would begin when that thread gets a core, come to its end when it gets one again after each
//! wait for the disk, and each client would be woken from outside its worker: on one core, where both share it,
//! replies waited for these turns (docs/performance.md).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::writer::{GATHER, Rest, SYNC_INTERVAL, Shared, Writer};
use crate::engine::Server;

/// The writer and those that may do its work, one at a time.
pub struct Desk {
    server: Arc<Server>,
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
}

impl Desk {
    /// The desk of this writer.
    pub fn new(writer: Writer) -> Self {
        let (server, shared) = (Arc::clone(&writer.server), Arc::clone(&writer.shared));
        Self { server, shared, writer: Mutex::new(writer) }
    }

    /// Runs on the writer's thread until it is told to stop and all is written and synced, or cannot be.
    pub fn run(&self) {
        *self.shared.thread.lock() = Some(std::thread::current());
        self.server.health.file_writer.belongs_here();
        self.server.health.file_writer.set_rests(false);
        loop {
            self.server.answer(&self.server.health.file_writer);
            let stops = self.shared.stop.load(Ordering::Acquire);
            if !stops && self.is_done_by_workers() {
                self.rest(SYNC_INTERVAL);
                continue;
            }
            let rest = {
                let mut writer = self.writer.lock();
                let has_read = writer.step(stops);
                writer.publish();
                if stops && !has_read {
                    writer.end();
                    break;
                }
                writer.rest_after(has_read)
            };
            match rest {
                Rest::None => {}
                Rest::Sleep(time) => std::thread::sleep(time),
                Rest::UntilCalled(time) => self.rest(time),
            }
        }
        self.server.health.file_writer.set_rests(true);
        *self.shared.thread.lock() = None;
    }

    /// Rests until it is called, but no longer than this. Who only asks for a sign of life gets one.
    fn rest(&self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left);
            self.server.answer(&self.server.health.file_writer);
            if self.shared.is_called.swap(false, Ordering::AcqRel) {
                return;
            }
        }
    }

    /// Where workers write and sync: gives them time to do so. Returns whether they have done it.
    fn is_done_by_workers(&self) -> bool {
        let end = self.server.journal().end();
        let is_written = || self.shared.synced.load(Ordering::Acquire) >= end;
        let is_called = self.shared.wants_thread.swap(false, Ordering::AcqRel);
        let is_quick = self.shared.is_quick.load(Ordering::Acquire) && !is_called;
        if is_written() || !is_quick || !self.server.durability.ask_for_sync() {
            return false;
        }
        std::thread::park_timeout(GATHER);
        is_written()
    }

    /// Writes and syncs once on this thread, a worker's, where that is done quickly, and else has the writer's
    /// thread do it.
    pub fn step_on_worker(&self) {
        if let Some(mut writer) = self.writer.try_lock()
            && writer.is_quickly_done()
        {
            writer.step_quickly();
            writer.publish();
            if self.shared.is_quick.load(Ordering::Acquire) {
                // What has come meanwhile asks by itself, but where the step was cut short.
                if self.server.journal().end() > writer.written {
                    self.server.durability.ask_for_sync();
                }
                return;
            }
        }
        // The thread may be about to rest, and nothing else would call it.
        self.shared.wants_thread.store(true, Ordering::Release);
        self.shared.wake();
    }
}
