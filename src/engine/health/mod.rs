//! Whether all parts of the server answer: its workers, its threads in the background, the locks of slots.
//!
//! A thread of its own (`watch.rs`) asks them ten times a second and keeps what it found; KVARTS HEALTH shows
//! the latest findings and how old they are. So the command asks nobody itself, and answers also while
//! something is stuck. Nothing is asked of a part but to write a number down when it next has the time
//! ([`Beat`]), which costs a worker a few nanoseconds a batch.
//!
//! Threads that have nothing to do are woken to answer, so that what is timed is the answer and not the rest
//! before it. Workers sleep all together at their sockets, and no single one of them can be woken: a task shows
//! that the runtime wakes one, which answers for itself too. One that slept when it was asked and was woken by
//! work has answered, but is not timed. One that runs a heavy command has handed its work on, and has no number
//! meanwhile; which commands those are the watch tells by themselves.

mod part;
mod slots;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Server;
use super::holders::Held;
use crate::worker::{Beat, Numbers};
pub use watch::Watch;

/// Time between two questions to all parts.
const INTERVAL: Duration = Duration::from_millis(100);

/// Findings that are older than this say that the watch itself is stuck.
const OLD_NS: u64 = 2_000_000_000;

/// The signs of life of all parts, and what the watch last found.
#[derive(Debug)]
pub struct Health {
    /// One sign of life for each thread that runs commands, by its number.
    pub workers: Arc<Numbers>,
    /// That of the thread that expires keys.
    pub sweeper: Beat,
    /// That of the thread that keeps the memory within its limit.
    pub keeper: Beat,
    /// That of the task that looks after clients and figures once a second.
    pub housekeeping: Beat,
    /// That of the thread that writes the append-only file.
    pub file_writer: Beat,
    /// That of a task that is given to whichever worker has the time.
    pub tasks: Beat,
    findings: Mutex<Findings>,
}

/// How a part was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It has not been asked yet, or has had no time to answer.
    #[default]
    Asked,
    /// It answered the last question, or one a moment ago.
    Answers,
    /// It has nothing to do, or is not there.
    Rests,
    /// A heavy command or a slow script has it, which is known.
    Busy,
    /// It has not answered for longer than it may take.
    Stuck,
}

impl State {
    /// Its name in KVARTS HEALTH.
    pub fn name(self) -> &'static str {
        match self {
            State::Asked => "asked",
            State::Answers => "answers",
            State::Rests => "rests",
            State::Busy => "busy",
            State::Stuck => "stuck",
        }
    }
}

/// How one part was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartFinding {
    /// What it is called.
    pub name: String,
    /// How it was found.
    pub state: State,
    /// How long it took to answer the last time that it was timed, in nanoseconds.
    pub round_trip_ns: u64,
    /// How long it has not answered, in nanoseconds.
    pub waits_ns: u64,
    /// What it runs, or holds it up, as far as that is known.
    pub about: String,
}

/// What the watch found when it last looked.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How often it has looked.
    pub looks: u64,
    /// When it last looked, in nanoseconds of the monotonic clock.
    pub looked_ns: u64,
    /// How it found each part.
    pub parts: Vec<PartFinding>,
    /// Commands that have had locks for long.
    pub holding: Vec<Held>,
}

/// The sum of the findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not all parts have been asked yet.
    Starting,
    /// All answer.
    Ok,
    /// All answer but those that something heavy has, or something has its locks for long.
    Busy,
    /// Something does not answer.
    Stuck,
}

impl Status {
    /// Its name in KVARTS HEALTH.
    pub fn name(self) -> &'static str {
        match self {
            Status::Starting => "starting",
            Status::Ok => "ok",
            Status::Busy => "busy",
            Status::Stuck => "stuck",
        }
    }
}

impl Findings {
    /// The sum of them at this time of the monotonic clock.
    pub fn status(&self, now_ns: u64) -> Status {
        // The first look has asked, and the second has seen what came of it.
        if self.looks < 2 {
            return Status::Starting;
        }
        if now_ns.saturating_sub(self.looked_ns) > OLD_NS {
            return Status::Stuck;
        }
        let any = |state| self.parts.iter().any(|part| part.state == state);
        if any(State::Stuck) {
            Status::Stuck
        } else if any(State::Busy) || !self.holding.is_empty() {
            Status::Busy
        } else {
            Status::Ok
        }
    }

    /// The part whose last answer took longest; one that has not answered counts with the time since it was
    /// asked. What rests is left out: its last answer may be old.
    pub fn slowest(&self) -> Option<&PartFinding> {
        let asked = self.parts.iter().filter(|part| part.state != State::Rests);
        asked.max_by_key(|part| part.round_trip_ns.max(part.waits_ns))
    }
}

impl Health {
    /// Of a server with so many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: Arc::new(Numbers::new(workers)),
            sweeper: Beat::default(),
            keeper: Beat::default(),
            housekeeping: Beat::default(),
            file_writer: Beat::default(),
            tasks: Beat::default(),
            findings: Mutex::default(),
        }
    }

    /// What the watch found when it last looked.
    pub fn findings(&self) -> Findings {
        self.findings.lock().clone()
    }
}

impl Server {
    /// Whether clients find the data here: they are loaded, and a replica has those of its primary.
    pub fn is_ready(&self) -> bool {
        !self.loading.is_active() && (!self.following.is_replica() || self.following.has_data())
    }

    /// Answers for a thread or task what was asked of all.
    pub fn answer(&self, beat: &Beat) {
        beat.answer(self.health.workers.asked(), self.clock.monotonic_ns());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_worst_part() {
        let of = |states: &[State]| Findings {
            looks: 2,
            looked_ns: 5,
            parts: states
                .iter()
                .enumerate()
                .map(|(number, state)| PartFinding {
                    name: number.to_string(),
                    state: *state,
                    round_trip_ns: number as u64,
                    ..PartFinding::default()
                })
                .collect(),
            holding: Vec::new(),
        };
        assert_eq!(of(&[State::Answers, State::Rests]).status(5), Status::Ok);
        assert_eq!(of(&[State::Busy, State::Rests]).status(5), Status::Busy);
        assert_eq!(of(&[State::Busy, State::Stuck]).status(5), Status::Stuck);
        assert_eq!(of(&[]).status(5 + OLD_NS), Status::Ok);
        assert_eq!(of(&[]).status(6 + OLD_NS), Status::Stuck);
        assert_eq!(Findings::default().status(u64::MAX), Status::Starting);
        assert_eq!(of(&[State::Answers; 3]).slowest().map(|part| part.name.clone()), Some("2".to_owned()));
    }
}
