//! Watching over a script that runs: how long it takes, and whether it has to end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::host;
use super::scripts::{Sha, hex};
use crate::command::keys::LockPlan;
use crate::keyspace::access::SlotLock;
use crate::worker::GiveWay;

/// A script that takes longer than this is shown to others, so that they do not wait for its locks blindly,
/// and its thread has its other work done elsewhere.
const SLOW: Duration = Duration::from_millis(2);

/// How often a script's thread tries to hand over its other tasks: [`GiveWay`] may fail.
const TRIES: u32 = 6;

/// How long a script pauses for the other thread to take over.
const HAND_OVER: Duration = Duration::from_millis(1);

/// How long a library may take to load.
const LOAD_LIMIT: Duration = Duration::from_millis(500);

/// Why a script is ended by force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForcedEnd {
    /// SCRIPT KILL or FUNCTION KILL.
    Killed,
    /// One that can be undone took longer than `busy-reply-threshold`.
    TimeLimit,
    /// It reached for a key that it did not declare.
    Undeclared,
    /// A library took too long to load.
    LoadTimeLimit,
}

impl fmt::Display for ForcedEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ForcedEnd::Killed => "script killed",
            ForcedEnd::TimeLimit => "script took too long",
            ForcedEnd::Undeclared => "script reached for a key that it did not declare",
            ForcedEnd::LoadTimeLimit => "library took too long to load",
        })
    }
}

impl std::error::Error for ForcedEnd {}

/// What is known of a script when it starts.
#[derive(Debug)]
pub struct Start {
    /// Its SHA1.
    pub sha: Sha,
    /// The function's name, if it is one.
    pub function: Option<String>,
    /// The request that called the function; empty for a script.
    pub command: Vec<Vec<u8>>,
    /// Id of the client that it runs for.
    pub runs_for: u64,
    /// All that it changed can be put back.
    pub undoable: bool,
    /// It declares no key: once it has run for long, all other clients are told that the server is busy, as
    /// on the peers.
    pub declares_none: bool,
    /// It is of the stream of this server's primary: it is not killed, or the data would differ.
    pub is_streamed: bool,
    /// The locks that it holds; `None` when it is alone in the keyspace.
    pub locks: Option<LockPlan>,
    /// How long it may take, in nanoseconds, if it can be undone, and before the log tells of it; `u64::MAX`
    /// for as long as it likes.
    pub limit_ns: u64,
}

/// A script that has been running for a while, as others may see it.
#[derive(Debug)]
pub struct Running {
    /// What was known when it started.
    pub start: Start,
    started: Instant,
    wrote: AtomicBool,
    killed: AtomicBool,
}

impl Running {
    /// The function's name, or the script's SHA1.
    pub fn name(&self) -> String {
        self.start.function.clone().unwrap_or_else(|| hex(&self.start.sha))
    }

    /// How long it has been running, in milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Notes that it has changed a key.
    pub fn note_write(&self) {
        self.wrote.store(true, Ordering::Relaxed);
    }

    /// Asks it to end, unless what it wrote could then not be put back. Answers whether it will end.
    pub fn kill(&self) -> bool {
        let may = self.start.undoable || !self.wrote.load(Ordering::Relaxed);
        if may {
            self.killed.store(true, Ordering::Release);
        }
        may
    }

    /// Whether it holds one of these locks, or all of them.
    pub fn stands_in_the_way_of(&self, plan: &[SlotLock]) -> bool {
        match &self.start.locks {
            None => true,
            Some(held) => SlotLock::conflict(held, plan),
        }
    }
}

/// The scripts that have been running for a while.
#[derive(Debug, Default)]
pub struct SlowScripts {
    all: Mutex<Vec<Arc<Running>>>,
    count: AtomicU64,
    /// Set when the server shuts down: every script has to end.
    ending: AtomicBool,
}

impl SlowScripts {
    /// Ends all scripts, slow ones and others, whatever they have written: the server ends.
    pub fn end_all(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// Whether there is any. One relaxed load, as every request asks.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Running>> {
        self.all.lock().clone()
    }

    fn add(&self, running: &Arc<Running>) {
        self.all.lock().push(Arc::clone(running));
        self.count.fetch_add(1, Ordering::Release);
    }

    fn remove(&self, running: &Arc<Running>) {
        let mut all = self.all.lock();
        let before = all.len();
        all.retain(|other| !Arc::ptr_eq(other, running));
        self.count.fetch_sub((before - all.len()) as u64, Ordering::Release);
        // As in `Waiting::postpone` (src/effects).
        fence(Ordering::SeqCst);
    }
}

/// The state of the script that a machine runs. The machine's hook calls [`Control::look`] on it.
#[derive(Default)]
pub struct Control {
    current: RefCell<Option<Current>>,
    ended_at: Cell<Option<Place>>,
}

/// A source's name, and a line in it.
pub type Place = (Vec<u8>, i64);

struct Current {
    started: Instant,
    /// What is known of the script, until it is entered among the slow ones.
    start: Option<Start>,
    running: Option<Arc<Running>>,
    /// How often handing over the thread's tasks was tried.
    tries: u32,
    /// Whether the log says that it takes long.
    told: bool,
    slow: Arc<SlowScripts>,
    give_way: Arc<GiveWay>,
    ended: Option<ForcedEnd>,
    wrote: bool,
    /// A library is loaded, nothing is run.
    loads: bool,
}

impl Control {
    /// Begins a script.
    pub fn begin(&self, slow: &Arc<SlowScripts>, give_way: &Arc<GiveWay>, start: Start) {
        self.ended_at.set(None);
        *self.current.borrow_mut() = Some(Current {
            started: Instant::now(),
            start: Some(start),
            running: None,
            tries: 0,
            told: false,
            slow: Arc::clone(slow),
            give_way: Arc::clone(give_way),
            ended: None,
            wrote: false,
            loads: false,
        });
    }

    /// Begins the load of a library, which holds no lock and is therefore not shown among the slow scripts.
    pub fn begin_load(&self, give_way: &Arc<GiveWay>) {
        self.ended_at.set(None);
        *self.current.borrow_mut() = Some(Current {
            started: Instant::now(),
            start: None,
            running: None,
            tries: 0,
            told: false,
            slow: Arc::default(),
            give_way: Arc::clone(give_way),
            ended: None,
            wrote: false,
            loads: true,
        });
    }

    /// Ends the script; answers the reason if it was ended by force.
    pub fn end(&self) -> Option<ForcedEnd> {
        let current = self.current.take()?;
        if let Some(running) = &current.running {
            current.slow.remove(running);
        }
        current.ended
    }

    /// Where the script was when it was ended by force.
    pub fn note_place(&self, place: Option<Place>) {
        // The first place counts: an error handler of the script comes through here once more.
        let first = self.ended_at.take();
        self.ended_at.set(first.or(place));
    }

    /// Whether it is known where the script was.
    pub fn knows_place(&self) -> bool {
        let place = self.ended_at.take();
        let known = place.is_some();
        self.ended_at.set(place);
        known
    }

    /// Takes the place that [`note_place`](Self::note_place) stored.
    pub fn take_place(&self) -> Option<Place> {
        self.ended_at.take()
    }

    /// Notes that the script has changed a key.
    pub fn note_write(&self) {
        if let Some(current) = self.current.borrow_mut().as_mut() {
            current.wrote = true;
            if let Some(running) = &current.running {
                running.note_write();
            }
        }
    }

    /// Whether the script has to end by force.
    pub fn has_to_end(&self) -> bool {
        self.current.borrow().as_ref().is_some_and(|current| current.ended.is_some())
    }

    /// Makes the script end at its next instructions.
    pub fn force_end(&self, why: ForcedEnd) {
        if let Some(current) = self.current.borrow_mut().as_mut() {
            current.ended.get_or_insert(why);
        }
    }

    /// Checks the script's time and whether it has to end. Called by the hook every so many instructions.
    ///
    /// # Errors
    /// When it has to end.
    pub fn look(&self) -> Result<(), ForcedEnd> {
        let mut guard = self.current.borrow_mut();
        let Some(current) = guard.as_mut() else { return Ok(()) };
        if let Some(why) = current.ended {
            return Err(why);
        }
        if current.slow.ending.load(Ordering::Acquire) {
            current.ended = Some(ForcedEnd::Killed);
            return Err(ForcedEnd::Killed);
        }
        let elapsed = current.started.elapsed();
        if current.loads && elapsed > LOAD_LIMIT {
            current.ended = Some(ForcedEnd::LoadTimeLimit);
            return Err(ForcedEnd::LoadTimeLimit);
        }
        if elapsed > SLOW
            && let Some(start) = current.start.take()
        {
            let (wrote, killed) = (AtomicBool::new(current.wrote), AtomicBool::new(false));
            let running = Arc::new(Running { start, started: current.started, wrote, killed });
            current.slow.add(&running);
            current.running = Some(running);
        }
        if current.tries < TRIES && elapsed > SLOW * (1 << current.tries) {
            current.tries += 1;
            let (give_way, is_known) = (Arc::clone(&current.give_way), current.running.is_some());
            drop(guard);
            if is_known {
                // Where a command of the script is under way it is told at another look, or not at all.
                let _ = host::with(|host| {
                    host.is_slow();
                    Ok(())
                });
            }
            give_way(HAND_OVER);
            return Ok(());
        }
        let Some(running) = &current.running else { return Ok(()) };
        if running.killed.load(Ordering::Acquire) {
            current.ended = Some(ForcedEnd::Killed);
        } else if elapsed.as_nanos() as u64 > running.start.limit_ns {
            if running.start.undoable {
                current.ended = Some(ForcedEnd::TimeLimit);
            }
            if !std::mem::replace(&mut current.told, true) {
                let (name, ms) = (running.name(), elapsed.as_millis());
                tracing::warn!(
                    "Slow script detected: {name} has been running for {ms} milliseconds. SCRIPT KILL or FUNCTION KILL ends it unless it has changed something"
                );
            }
        }
        current.ended.map_or(Ok(()), Err)
    }
}
