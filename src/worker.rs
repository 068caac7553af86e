//! The numbers of the threads that run commands. A number only decides which counters and which lock of the
//! gate a thread uses, so that threads keep off each other's cache lines; nothing about a server is kept
//! here.
//!
//! There are as many numbers as workers. A thread that hands its work to another one (see [`GiveWay`]) gives
//! its number back, and the other takes it: so the threads that run commands have the numbers, whichever
//! threads those are. One without a number uses what such threads share, which is right but slower.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

/// Hands the other tasks of a thread to another thread while a command or script keeps it busy. The other
/// thread has so long to take them over. Returns whether some thread runs tasks now; where none does the
/// tasks stay, and it is called again.
pub type GiveWay = dyn Fn(Duration) -> bool + Send + Sync;

/// What [`current`] returns for a thread without a number.
pub const NONE: usize = usize::MAX;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(NONE) };
}

/// Gives this thread a number that no other thread of its server has.
pub fn set_current(index: usize) {
    INDEX.set(index);
}

/// This thread's number, or [`NONE`].
#[inline]
pub fn current() -> usize {
    INDEX.get()
}

/// The sign of life of one thread. Whoever wants to know whether it is alive asks with a number that grows
/// ([`Numbers::ask`]), and the thread writes the number down when it next has the time.
#[derive(Debug)]
pub struct Beat {
    /// The last question that was answered, and when, in nanoseconds of the monotonic clock.
    answered: AtomicU64,
    answered_ns: AtomicU64,
    /// Whether it answers nothing because it has nothing to do, or because there is no such thread now.
    rests: AtomicBool,
    /// The client whose batch it runs, 0 for none.
    client: AtomicU64,
    /// What lock that batch waits for: [`WaitsFor::packed`], 0 for none.
    waits: AtomicU64,
    gave_back: AtomicUsize,
    /// The thread that is woken to answer; none where it is not one thread.
    thread: Mutex<Option<Thread>>,
}

/// What stands for the time of an answer that tells nothing of how quick it was.
pub const UNTIMED: u64 = u64::MAX;

/// What a [`Beat`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// The last question that was answered.
    pub answered: u64,
    /// When that was, in nanoseconds of the monotonic clock; [`UNTIMED`] where it slept when it was asked.
    pub answered_ns: u64,
    /// Whether it has nothing to do, or is not there.
    pub rests: bool,
    /// The client whose batch it runs, 0 for none.
    pub client: u64,
    /// What that batch waits for; `None` where it runs.
    pub waits: Option<WaitsFor>,
    /// The last time that it was asked to give back memory and has done so.
    pub gave_back: usize,
}

/// What a worker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The gate before the keyspace.
    Gate,
    /// A slot of a database, by the numbers that SELECT and clusters know.
    Slot {
        /// Number of the database.
        database: u16,
        /// Number of the slot.
        slot: u16,
        /// Whether nobody else may have it.
        write: bool,
    },
}

impl WaitsFor {
    fn packed(self) -> u64 {
        match self {
            WaitsFor::Gate => 1,
            WaitsFor::Slot { database, slot, write } => {
                2 | u64::from(write) << 2 | u64::from(slot) << 16 | u64::from(database) << 32
            }
        }
    }

    fn unpacked(packed: u64) -> Option<Self> {
        match packed & 3 {
            0 => None,
            1 => Some(WaitsFor::Gate),
            _ => Some(WaitsFor::Slot {
                database: (packed >> 32) as u16,
                slot: (packed >> 16) as u16,
                write: packed & 4 != 0,
            }),
        }
    }
}

impl Default for Beat {
    fn default() -> Self {
        Self {
            answered: AtomicU64::new(0),
            answered_ns: AtomicU64::new(0),
            rests: AtomicBool::new(true),
            client: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            gave_back: AtomicUsize::new(0),
            thread: Mutex::new(None),
        }
    }
}

impl Beat {
    /// Answers a question, if it is a new one.
    #[inline]
    pub fn answer(&self, asked: u64, now_ns: u64) {
        if self.answered.load(Ordering::Relaxed) != asked {
            self.answered_ns.store(now_ns, Ordering::Relaxed);
            self.answered.store(asked, Ordering::Release);
        }
    }

    /// Notes that this thread answers, and is woken for it.
    pub fn belongs_here(&self) {
        *self.thread.lock() = Some(std::thread::current());
    }

    /// Wakes its thread, so that the answer is timed and not the rest before it.
    pub fn wake(&self) {
        if let Some(thread) = &*self.thread.lock() {
            thread.unpark();
        }
    }

    /// Answers for a worker that slept when it was asked: that it has woken up says nothing of how long that
    /// took, as nobody woke it for the question.
    #[inline]
    fn answer_untimed(&self, asked: u64) {
        if self.answered.load(Ordering::Relaxed) != asked {
            self.answered_ns.store(UNTIMED, Ordering::Relaxed);
            self.answered.store(asked, Ordering::Release);
        }
    }

    /// Answers for a worker that was woken for the question.
    fn answer_woken(&self, asked: u64, now_ns: u64) {
        let is_new = self.answered.load(Ordering::Relaxed) != asked;
        if is_new || self.answered_ns.load(Ordering::Relaxed) == UNTIMED {
            self.answered_ns.store(now_ns, Ordering::Relaxed);
            self.answered.store(asked, Ordering::Release);
        }
    }

    /// Says whether it rests from now on.
    pub fn set_rests(&self, rests: bool) {
        self.rests.store(rests, Ordering::Release);
    }

    /// What it says now.
    pub fn life(&self) -> Life {
        Life {
            answered: self.answered.load(Ordering::Acquire),
            answered_ns: self.answered_ns.load(Ordering::Relaxed),
            rests: self.rests.load(Ordering::Acquire),
            client: self.client.load(Ordering::Relaxed),
            waits: WaitsFor::unpacked(self.waits.load(Ordering::Relaxed)),
            gave_back: self.gave_back.load(Ordering::Relaxed),
        }
    }
}

/// The numbers of a server's workers, and each worker's sign of life.
#[derive(Debug)]
pub struct Numbers {
    /// Those that no thread has at the moment.
    free: Mutex<Vec<usize>>,
    beats: Box<[CachePadded<Beat>]>,
    /// The latest question to all.
    asked: CachePadded<AtomicU64>,
}

impl Numbers {
    /// The numbers below `workers`, all free.
    pub fn new(workers: usize) -> Self {
        Self {
            free: Mutex::new((0..workers).rev().collect()),
            beats: (0..workers).map(|_| CachePadded::default()).collect(),
            asked: CachePadded::default(),
        }
    }

    /// Takes a free number for this thread, if it has none. For threads that run tasks, and for no others.
    #[inline]
    pub fn take(&self) {
        if INDEX.get() == NONE
            && let Some(index) = self.free.lock().pop()
        {
            INDEX.set(index);
            if let Some(beat) = self.beats.get(index) {
                beat.set_rests(false);
            }
        }
    }

    /// Gives back this thread's number, if it has one. Returns whether it had.
    pub fn give_back(&self) -> bool {
        let index = INDEX.replace(NONE);
        if index == NONE {
            return false;
        }
        if let Some(beat) = self.beats.get(index) {
            beat.client.store(0, Ordering::Relaxed);
            beat.waits.store(0, Ordering::Relaxed);
            beat.set_rests(true);
        }
        self.free.lock().push(index);
        true
    }

    /// Says that this worker has nothing to do, or has again.
    pub fn rest(&self, rests: bool) {
        if let Some(beat) = self.beats.get(current()) {
            beat.set_rests(rests);
            if !rests {
                beat.answer_untimed(self.asked());
            }
        }
    }

    /// Says that this worker has given back memory; `asked` is which time it was that all were asked to.
    pub fn note_given_back(&self, asked: usize) {
        if let Some(beat) = self.beats.get(current())
            && beat.gave_back.load(Ordering::Relaxed) != asked
        {
            beat.gave_back.store(asked, Ordering::Relaxed);
        }
    }

    /// Answers for this worker what was asked of it, which it was woken for.
    pub fn answer_woken(&self, now_ns: u64) {
        if let Some(beat) = self.beats.get(current()) {
            beat.answer_woken(self.asked(), now_ns);
        }
    }

    /// Says that this thread waits while another one does its work, which it may not get back: it rests until
    /// it next has nothing to do and then has again.
    pub fn wait_beside(&self) {
        self.rest(true);
    }

    /// Says that this worker begins a batch of a client, and answers what was asked of it.
    #[inline]
    pub fn begin_batch(&self, client: u64, now_ns: u64) {
        if let Some(beat) = self.beats.get(current()) {
            beat.client.store(client, Ordering::Relaxed);
            beat.answer(self.asked(), now_ns);
        }
    }

    /// Says that the batch of this worker waits for a lock, or goes on.
    pub fn set_waits(&self, waits: Option<WaitsFor>) {
        if let Some(beat) = self.beats.get(current()) {
            beat.waits.store(waits.map_or(0, WaitsFor::packed), Ordering::Relaxed);
        }
    }

    /// Says that the batch has ended.
    #[inline]
    pub fn end_batch(&self) {
        if let Some(beat) = self.beats.get(current()) {
            beat.client.store(0, Ordering::Relaxed);
        }
    }

    /// Asks all for a sign of life. Returns the question's number.
    pub fn ask(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The latest question.
    #[inline]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// What each worker says of itself.
    pub fn lives(&self) -> impl Iterator<Item = Life> {
        self.beats.iter().map(|beat| beat.life())
    }
}

/// How many of a server's workers have something to do. A thread that wants to leave them their cores waits
/// here until one has nothing left.
#[derive(Debug)]
pub struct Busy {
    workers: isize,
    busy: AtomicIsize,
    /// Whether `waiting` is to be called.
    calls: AtomicBool,
    waiting: Mutex<Option<Thread>>,
}

impl Busy {
    /// Of so many workers, all with something to do.
    pub fn new(workers: usize) -> Self {
        let workers = workers as isize;
        Self {
            workers,
            busy: AtomicIsize::new(workers),
            calls: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    /// Says that a worker has nothing left to do.
    pub fn rests(&self) {
        self.busy.fetch_sub(1, Ordering::SeqCst);
        if self.calls.swap(false, Ordering::SeqCst)
            && let Some(thread) = &*self.waiting.lock()
        {
            thread.unpark();
        }
    }

    /// Says that a worker goes on.
    pub fn goes_on(&self) {
        self.busy.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until some worker has nothing to do, but no longer than this. One thread may wait at a time.
    pub fn wait(&self, longest: Duration) {
        self.wait_until(longest, || self.busy.load(Ordering::SeqCst) < self.workers);
    }

    /// Waits until this is so, but no longer than that: it is asked at once, and each time that a worker has nothing
    /// left to do. One thread may wait at a time.
    pub fn wait_until(&self, longest: Duration, is_so: impl Fn() -> bool) {
        let end = Instant::now() + longest;
        *self.waiting.lock() = Some(std::thread::current());
        loop {
            self.calls.store(true, Ordering::SeqCst);
            let left = end.saturating_duration_since(Instant::now());
            if is_so() || left.is_zero() {
                break;
            }
            std::thread::park_timeout(left);
        }
        self.calls.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_rests_ends_the_wait() {
        const LONG: Duration = Duration::from_secs(600);
        let busy = Busy::new(2);
        busy.wait(Duration::ZERO);
        busy.rests();
        busy.wait(LONG);
        busy.goes_on();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| busy.wait(LONG));
            while !busy.calls.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            busy.rests();
            waiting.join().expect("no panic");
        });
    }

    #[test]
    fn what_is_waited_for_is_asked_after_each_turn() {
        let (busy, turns) = (Busy::new(1), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                busy.wait_until(Duration::from_secs(600), || turns.fetch_add(1, Ordering::SeqCst) == 2)
            });
            for turn in 1..=2 {
                while turns.load(Ordering::SeqCst) < turn || !busy.calls.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                busy.rests();
            }
            waiting.join().expect("no panic");
        });
        assert_eq!(turns.load(Ordering::SeqCst), 3);
        busy.wait_until(Duration::ZERO, || false);
    }

    #[test]
    fn a_number_goes_from_thread_to_thread() {
        let numbers = Numbers::new(1);
        let there = || {
            numbers.take();
            current()
        };
        assert_eq!((there(), there()), (0, 0));
        assert_eq!(std::thread::scope(|scope| scope.spawn(there).join().expect("no panic")), NONE);
        numbers.give_back();
        numbers.give_back();
        assert_eq!(current(), NONE);
        std::thread::scope(|scope| {
            let other = || {
                let index = there();
                numbers.give_back();
                index
            };
            assert_eq!(scope.spawn(other).join().expect("no panic"), 0);
        });
        assert_eq!(there(), 0);
        numbers.give_back();
    }

    #[test]
    fn a_worker_answers_when_it_begins_a_batch() {
        let numbers = Numbers::new(1);
        let life = || numbers.lives().next().expect("one worker");
        numbers.take();
        numbers.rest(false);
        let asked = numbers.ask();
        assert_eq!(life(), Life { rests: false, ..Life::default() });
        numbers.begin_batch(7, 100);
        numbers.begin_batch(8, 200);
        assert_eq!(life(), Life { answered: asked, answered_ns: 100, client: 8, ..Life::default() });
        numbers.end_batch();
        assert_eq!((life().client, life().rests), (0, false));
        numbers.wait_beside();
        assert!(life().rests);
        numbers.begin_batch(9, 300);
        numbers.give_back();
        assert_eq!((life().client, life().rests), (0, true));
        // Without a number there is nothing to say.
        numbers.begin_batch(9, 400);
        assert_eq!(life().answered_ns, 100);
    }
}
