//! [`Lanes`]: threads that repeat requests of an append-only file beside each other.
//!
//! The requests on a slot run in the order of the file: as long as one of them waits or runs, those behind it go
//! to the same lane. So no key sees another order than it would on one thread. A request goes to a lane if it
//! works on keys and on nothing else; any other one (a transaction, a command on keys that are on several lanes,
//! one on the whole keyspace) is a barrier: what stands before it has run when it runs, and what stands behind
//! it runs later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use parking_lot::{Condvar, Mutex};

use super::load::LoadError;
use super::repeat::Repeater;
use crate::command::keys::for_each_key;
use crate::command::spec::Flags;
use crate::engine::Server;
use crate::keyspace::key_hash::{SLOT_COUNT, slot_of_hash};
use crate::resp::decode::Decoder;

/// Bytes of requests that are handed to a lane at once.
const PIECE: usize = 32 << 10;

/// Bytes of requests that wait for all lanes together. As many as the commands that built a large value may
/// have: what follows them in the file runs on other lanes meanwhile.
const WAITING: usize = 64 << 20;

/// Bytes of requests that are run by the caller at a barrier, rather than by lanes that would have to be
/// woken and waited for.
const FEW: usize = 8 << 10;

/// With fewer requests between two barriers lanes cost more than they gain.
const WORTH: u64 = 512;

/// Most batches that run one by one before lanes are tried again.
const SERIAL_MAX: u32 = 64;

/// A longer request is a barrier, so that it is not copied.
const LONG: usize = 64 << 10;

/// Requests for one lane, one behind the other.
#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    /// Where each request begins in the file.
    offsets: Vec<u64>,
    /// The database in which the first one runs.
    database: usize,
}

impl Piece {
    fn run(&self, repeater: &mut Repeater<'_>) -> Result<(), LoadError> {
        repeater.select(self.database);
        repeater.run_all(&self.bytes, &self.offsets)
    }
}

/// What the lanes and their owner tell each other.
#[derive(Debug, Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of the pieces that were handed over and have not run.
    waiting_bytes: usize,
    /// The error that stands first in the file.
    error: Option<LoadError>,
    /// Whether a lane has panicked, which the threads' scope tells: nothing is waited for.
    panicked: bool,
}

impl Progress {
    /// Counts a piece that is handed over, once there is room for it.
    fn hand_over(&self, bytes: usize) {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| state.waiting_bytes >= WAITING && !state.panicked);
        state.waiting_bytes += bytes;
    }

    fn done(&self, bytes: usize, result: Result<(), LoadError>) {
        let mut state = self.state.lock();
        state.note(result);
        let before = state.waiting_bytes;
        state.waiting_bytes = before.saturating_sub(bytes);
        if state.waiting_bytes == 0 || (before >= WAITING && state.waiting_bytes < WAITING) {
            self.changed.notify_one();
        }
    }

    /// Waits until all that was handed over has run.
    fn wait(&self) -> Result<(), LoadError> {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| state.waiting_bytes > 0 && !state.panicked);
        state.error.take().map_or(Ok(()), Err)
    }

    fn has_failed(&self) -> bool {
        self.state.lock().error.is_some()
    }
}

impl State {
    /// Keeps the error unless one is known that stands before it in the file.
    fn note(&mut self, result: Result<(), LoadError>) {
        let Err(error) = result else { return };
        if self.error.as_ref().is_none_or(|known| error.offset() < known.offset()) {
            self.error = Some(error);
        }
    }
}

/// A lane as its owner sees it.
struct Lane {
    pieces: Sender<Piece>,
    next: Piece,
    /// Pieces that were handed over.
    sent: u64,
    /// Pieces that have run.
    done: Arc<AtomicU64>,
}

impl Lane {
    fn has_run(&self, piece: u64) -> bool {
        self.done.load(Ordering::Acquire) >= piece
    }

    /// Pieces that have not run.
    fn behind(&self) -> u64 {
        self.sent.saturating_sub(self.done.load(Ordering::Relaxed))
    }
}

/// Where the last request on a slot went.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    lane: usize,
    /// Number of the lane's piece that holds it; 0 for none.
    piece: u64,
}

/// The lanes, and the requests that were not handed to them yet.
pub(super) struct Lanes<'s> {
    lanes: Vec<Lane>,
    /// The lane of requests on slots of which nothing waits.
    current: usize,
    slots: Box<[Last]>,
    progress: &'s Progress,
    /// Runs what is too little for the lanes.
    aside: Repeater<'s>,
    /// Whether every piece that was handed over has run, for certain.
    idle: bool,
    /// Bytes that were not handed over yet.
    kept_bytes: usize,
    /// Requests taken since the last barrier.
    taken: u64,
    /// Batches that are to run without lanes now, and how many that were last time: the more often a barrier
    /// comes soon, the more.
    serial: u32,
    serial_before: u32,
}

/// What lanes share; it outlives them.
#[derive(Debug, Default)]
pub(super) struct Ground(Progress);

impl<'s> Lanes<'s> {
    /// Starts a thread for each of `count` lanes; they end when the lanes are dropped. Each has a repeater
    /// for the file of `repeater`.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        ground: &'s Ground,
        count: usize,
        repeater: &Repeater<'s>,
    ) -> std::io::Result<Self>
    where
        's: 'scope,
    {
        let progress = &ground.0;
        let mut lanes = Vec::with_capacity(count);
        for index in 0..count {
            let (sender, receiver) = channel();
            let repeater = repeater.another();
            let done = Arc::new(AtomicU64::new(0));
            let of_thread = Arc::clone(&done);
            let lane = std::thread::Builder::new().name(format!("aof-load-{index}"));
            lane.spawn_scoped(scope, move || repeat(&receiver, repeater, &of_thread, progress))?;
            lanes.push(Lane { pieces: sender, next: Piece::default(), sent: 0, done });
        }
        Ok(Self {
            lanes,
            current: 0,
            slots: vec![Last::default(); SLOT_COUNT].into(),
            progress,
            aside: repeater.another(),
            idle: true,
            kept_bytes: 0,
            taken: 0,
            serial: 0,
            serial_before: 0,
        })
    }

    /// The lane of a request of so many bytes, which works on keys of these slots and on nothing else; `None`
    /// where it is to be a barrier.
    fn lane_of(&self, len: usize, slots: &[usize]) -> Option<usize> {
        if slots.is_empty() || len > LONG {
            return None;
        }
        let mut bound = None;
        for slot in slots {
            let Last { lane, piece } = self.slots[*slot];
            if self.lanes[lane].has_run(piece) {
                continue;
            }
            if bound.is_some_and(|bound| bound != lane) {
                return None;
            }
            bound = Some(lane);
        }
        Some(bound.unwrap_or(self.current))
    }

    /// Takes a request on these slots that begins at `offset` and runs in this database.
    fn take(&mut self, index: usize, slots: &[usize], request: &[u8], offset: u64, database: usize) {
        if self.lanes[index].next.database != database {
            self.hand_over(index);
            self.lanes[index].next.database = database;
        }
        let lane = &mut self.lanes[index];
        for slot in slots {
            self.slots[*slot] = Last { lane: index, piece: lane.sent + 1 };
        }
        lane.next.bytes.extend_from_slice(request);
        lane.next.offsets.push(offset);
        self.kept_bytes += request.len();
        self.taken += 1;
        if lane.next.bytes.len() >= PIECE {
            self.hand_over(index);
            let behind = (0..self.lanes.len()).min_by_key(|lane| self.lanes[*lane].behind());
            self.current = behind.unwrap_or(0);
        }
    }

    /// Hands to a lane what is kept for it.
    fn hand_over(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        if lane.next.offsets.is_empty() {
            return;
        }
        let empty = Piece { database: lane.next.database, ..Piece::default() };
        let piece = std::mem::replace(&mut lane.next, empty);
        self.kept_bytes -= piece.bytes.len();
        self.idle = false;
        self.progress.hand_over(piece.bytes.len());
        lane.sent += 1;
        // It fails where the lane has panicked, which ends the scope.
        drop(lane.pieces.send(piece));
    }

    /// Runs all that was taken.
    ///
    /// # Errors
    /// The first in the file of all that were met.
    pub(super) fn barrier(&mut self) -> Result<(), LoadError> {
        let is_soon = std::mem::take(&mut self.taken) < WORTH;
        self.serial_before = if is_soon { (2 * self.serial_before).clamp(1, SERIAL_MAX) } else { 0 };
        self.serial = self.serial_before;
        if self.idle && self.kept_bytes <= FEW {
            return self.run_aside();
        }
        for index in 0..self.lanes.len() {
            self.hand_over(index);
        }
        self.progress.wait()?;
        self.idle = true;
        Ok(())
    }

    /// Whether the next batch is to run without lanes, in which nothing waits then: barriers follow each other
    /// closely.
    pub(super) fn gives_way(&mut self) -> bool {
        let gives_way = self.serial > 0;
        self.serial = self.serial.saturating_sub(1);
        gives_way
    }

    /// Runs what waits for the lanes without them.
    fn run_aside(&mut self) -> Result<(), LoadError> {
        let mut state = State::default();
        for lane in &mut self.lanes {
            if !lane.next.offsets.is_empty() {
                state.note(lane.next.run(&mut self.aside));
                lane.next.bytes.clear();
                lane.next.offsets.clear();
                lane.sent += 1;
                lane.done.fetch_add(1, Ordering::Release);
            }
        }
        self.kept_bytes = 0;
        state.error.map_or(Ok(()), Err)
    }
}

/// What became of the first requests of a batch.
pub(super) enum Routed {
    /// So many were taken by lanes.
    Taken(usize),
    /// The first one only selects a database: it stands in no lane's way.
    Select,
    /// The first one has to run by itself, behind a barrier.
    Barrier,
}

/// Finds the lanes of requests, which are of no transaction.
pub(super) struct Router<'r> {
    pub(super) server: &'r Server,
    pub(super) decoder: &'r Decoder,
    pub(super) bytes: &'r [u8],
    /// The database in which the first one runs.
    pub(super) database: usize,
}

impl Router<'_> {
    /// Has lanes take the first of `count` requests up to one that is for none. The first begins at `offset`.
    ///
    /// # Errors
    /// What a lane has met: what follows need not run.
    pub(super) fn route(
        &self,
        lanes: &mut Lanes<'_>,
        count: usize,
        mut offset: u64,
    ) -> Result<Routed, LoadError> {
        if lanes.progress.has_failed() {
            lanes.barrier()?;
        }
        let mut words = Vec::new();
        let mut slots = Vec::new();
        let mut start = 0;
        for index in 0..count {
            let len = self.decoder.request_bytes(index);
            words.clear();
            slots.clear();
            self.decoder.arguments(self.bytes, index, &mut words);
            let entry = self.server.commands.resolve_entered(&words).ok();
            if let Some(entry) = entry.filter(|entry| entry.plain) {
                let hasher = self.server.keyspace.hasher();
                for_each_key(&entry.spec, &words, |key| {
                    slots.push(slot_of_hash(hasher.hash(words[key.argument])));
                });
            }
            let Some(lane) = lanes.lane_of(len, &slots) else {
                let selects = entry.is_some_and(|entry| entry.spec.flags.has(Flags::SELECTS));
                return Ok(match index {
                    0 if selects => Routed::Select,
                    0 => Routed::Barrier,
                    _ => Routed::Taken(index),
                });
            };
            lanes.take(lane, &slots, &self.bytes[start..start + len], offset, self.database);
            start += len;
            offset += len as u64;
        }
        Ok(Routed::Taken(count))
    }
}

/// Runs the pieces of a lane.
fn repeat(pieces: &Receiver<Piece>, mut repeater: Repeater<'_>, done: &AtomicU64, progress: &Progress) {
    let lane = Working(progress);
    while let Ok(piece) = pieces.recv() {
        let result = piece.run(&mut repeater);
        done.fetch_add(1, Ordering::Release);
        progress.done(piece.bytes.len(), result);
    }
    std::mem::forget(lane);
}

/// Dropped by a lane that panics.
struct Working<'p>(&'p Progress);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.state.lock().panicked = true;
        self.0.changed.notify_one();
    }
}
