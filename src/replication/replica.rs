//! [`Replica`]: one replica that follows this server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Announced, Copy};
use crate::journal::Reader;

/// How far a replica has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// It waits for a copy to begin.
    Waits,
    /// It is sent a copy, or loads it.
    Copies,
    /// It follows.
    Online,
}

/// The beginning of a copy, for the replica's link.
#[derive(Debug)]
pub struct Start {
    /// Where the copy's bytes come from.
    pub copy: Arc<Copy>,
    /// Reads the changes behind the copy; `None` for a replica that wants none.
    pub reader: Option<Reader>,
    /// The line that tells the replica what is coming; empty for one that asked with SYNC.
    pub line: Vec<u8>,
}

/// Where the beginning of a copy waits for the link.
#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Begun(Start),
    /// The link has ended.
    Gone,
}

/// A replica as links, copies and INFO share it.
pub struct Replica {
    /// Id of its connection among the clients.
    pub client: u64,
    /// Where it comes from, without the port.
    pub ip: String,
    /// What it said of itself.
    pub announced: Announced,
    /// Since when it waits for a copy, in milliseconds of Unix time.
    pub asked_ms: u64,
    stage: AtomicU8,
    /// The offset that it has acknowledged, and that which is on its disk.
    acknowledged: AtomicU64,
    on_disk: AtomicU64,
    has_acknowledged: AtomicBool,
    /// When anything was heard of it, and when it said something itself, in milliseconds of Unix time.
    heard_ms: AtomicU64,
    said_ms: AtomicU64,
    /// Whether it is sent a copy whose length it was told before.
    is_sent_bulk: AtomicBool,
    /// When all of its copy had been sent, in milliseconds of Unix time; 0 before that.
    sent_ms: AtomicU64,
    /// Since when more waits for it than the soft limit of its class, in milliseconds of Unix time; 0 while
    /// it does not.
    pub over_soft_since_ms: AtomicU64,
    start: Mutex<Slot>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").field("client", &self.client).field("stage", &self.stage()).finish()
    }
}

impl Replica {
    /// A replica that has just asked. `wake` has its link look for something to send.
    pub fn new(
        client: u64,
        ip: String,
        announced: Announced,
        stage: Stage,
        now_ms: u64,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            client,
            ip,
            announced,
            asked_ms: now_ms,
            stage: AtomicU8::new(stage as u8),
            acknowledged: AtomicU64::new(0),
            on_disk: AtomicU64::new(0),
            has_acknowledged: AtomicBool::new(false),
            heard_ms: AtomicU64::new(now_ms),
            said_ms: AtomicU64::new(now_ms),
            is_sent_bulk: AtomicBool::new(false),
            sent_ms: AtomicU64::new(0),
            over_soft_since_ms: AtomicU64::new(0),
            start: Mutex::default(),
            wake: Box::new(wake),
        }
    }

    /// The address that it is known by.
    pub fn shown_ip(&self) -> &str {
        if self.announced.ip.is_empty() { &self.ip } else { &self.announced.ip }
    }

    /// `address:port`, as log lines name it.
    pub fn name(&self) -> String {
        match self.announced.port {
            0 => format!("client id #{}", self.client),
            port => format!("{}:{port}", self.shown_ip()),
        }
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Waits,
            1 => Stage::Copies,
            _ => Stage::Online,
        }
    }

    /// Notes that it follows from now on.
    pub fn set_online(&self, now_ms: u64) {
        self.said_ms.store(now_ms, Ordering::Relaxed);
        self.stage.store(Stage::Online as u8, Ordering::Release);
    }

    /// Begins its copy. Gives the beginning back where its link has ended.
    pub fn begin_copy(&self, start: Start) -> Option<Start> {
        let mut slot = self.start.lock();
        if matches!(*slot, Slot::Gone) {
            return Some(start);
        }
        self.stage.store(Stage::Copies as u8, Ordering::Release);
        *slot = Slot::Begun(start);
        drop(slot);
        self.wake();
        None
    }

    /// The beginning of its copy, once it is there.
    pub fn take_start(&self) -> Option<Start> {
        let mut slot = self.start.lock();
        match std::mem::take(&mut *slot) {
            Slot::Begun(start) => Some(start),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// Its link ends: no copy begins any more. Returns the beginning of one that the link has not taken.
    pub fn leave(&self) -> Option<Start> {
        match std::mem::replace(&mut *self.start.lock(), Slot::Gone) {
            Slot::Begun(start) => Some(start),
            Slot::Empty | Slot::Gone => None,
        }
    }

    /// Has its link look for something to send.
    pub fn wake(&self) {
        (self.wake)();
    }

    /// Notes that it said something: an acknowledgement, or the empty lines by which one that loads its copy tells
    /// that it is there.
    pub fn heard(&self, now_ms: u64) {
        self.said_ms.store(now_ms, Ordering::Relaxed);
        self.takes(now_ms);
    }

    /// Notes that it takes what it is sent, or waits for this server.
    pub fn takes(&self, now_ms: u64) {
        self.heard_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When it said or took anything, in milliseconds of Unix time.
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms.load(Ordering::Relaxed)
    }

    /// Notes what it has acknowledged: the offset that it has, and where it said so, that on its disk.
    /// Offsets never go back.
    pub fn acknowledge(&self, offset: u64, on_disk: Option<u64>, now_ms: u64) {
        self.acknowledged.fetch_max(offset, Ordering::SeqCst);
        if let Some(on_disk) = on_disk {
            self.on_disk.fetch_max(on_disk, Ordering::SeqCst);
        }
        self.heard(now_ms);
        self.has_acknowledged.store(true, Ordering::Release);
    }

    /// Whether it has acknowledged anything.
    pub fn has_acknowledged(&self) -> bool {
        self.has_acknowledged.load(Ordering::Acquire)
    }

    /// The offset that it has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// The offset that is on its disk.
    pub fn on_disk(&self) -> u64 {
        self.on_disk.load(Ordering::SeqCst)
    }

    /// Seconds since it said something last; 0 before it follows.
    pub fn lag_s(&self, now_ms: u64) -> u64 {
        if self.stage() != Stage::Online {
            return 0;
        }
        seconds_since(&self.said_ms, now_ms)
    }

    /// Seconds for which it has given no sign of life, where it should have: it takes nothing of its copy, says nothing
    /// while it loads that, or acknowledges nothing. 0 where it has nothing to say: it waits for a copy, or is of those
    /// that never acknowledge.
    pub fn silent_s(&self, now_ms: u64) -> u64 {
        match self.stage() {
            Stage::Waits => 0,
            Stage::Copies => seconds_since(&self.heard_ms, now_ms),
            Stage::Online if self.announced.is_old => 0,
            Stage::Online => self.lag_s(now_ms),
        }
    }

    /// Notes that bytes of a copy are sent to it, whose length it was told before or not.
    pub fn is_sent(&self, is_bulk: bool) {
        self.is_sent_bulk.store(is_bulk, Ordering::Relaxed);
    }

    /// Notes that all of its copy is sent, which it has to acknowledge before the stream follows.
    pub fn has_been_sent(&self, now_ms: u64) {
        self.sent_ms.store(now_ms.max(1), Ordering::Relaxed);
    }

    /// Its state as INFO shows it, in Valkey's words, and its lag in seconds. That is 0 before its copy is sent. From
    /// then on it counts as online, with the time since it said something as its lag: one that stops while it loads
    /// its copy is seen by that.
    pub fn shown(&self, now_ms: u64) -> (&'static str, u64) {
        match (self.stage(), self.sent_ms.load(Ordering::Relaxed)) {
            (Stage::Online, _) => ("online", self.lag_s(now_ms)),
            (Stage::Copies, sent_ms @ 1..) => {
                let since_sent_s = now_ms.saturating_sub(sent_ms) / 1000;
                ("online", since_sent_s.min(seconds_since(&self.said_ms, now_ms)))
            }
            (Stage::Copies, 0) if self.is_sent_bulk.load(Ordering::Relaxed) => ("send_bulk", 0),
            (Stage::Copies | Stage::Waits, _) => ("wait_bgsave", 0),
        }
    }
}

fn seconds_since(last_ms: &AtomicU64, now_ms: u64) -> u64 {
    now_ms.saturating_sub(last_ms.load(Ordering::Relaxed)) / 1000
}
