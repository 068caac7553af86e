//! The watch: a thread that asks all parts of the server for a sign of life.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::part::{News, Part};
use super::slots::Slots;
use super::{Findings, INTERVAL, PartFinding, State};
use crate::engine::Server;
use crate::engine::holders::{Held, Holder};
use crate::keyspace::access::SlotLock;
use crate::worker::{Beat, Life, WaitsFor};

/// From so long without an answer on most parts are stuck.
const LIMIT_NS: u64 = 1_000_000_000;

/// The same of the thread that writes the append-only file: a disk may take seconds, and nobody waits for it
/// unless `appendfsync always` says so.
const FILE_LIMIT_NS: u64 = 10_000_000_000;

/// Where the watch itself has not run for so long nothing else has: the process was stopped, or the machine.
const STOPPED_NS: u64 = 500_000_000;

/// Commands that are told of at most at a time where they keep their locks for long.
const HOLDERS_MAX: usize = 16;

/// Questions without an answer from which on a worker is taken to be within one batch: a few tenths of a second.
const LATE: u64 = 3;

/// Workers that are named at most where any of them may have a lock.
const NAMED_MAX: usize = 3;

/// A sign of life among those of the server.
type BeatOf = fn(&Server) -> &Beat;

/// The threads and tasks beside the workers: name, limit, sign of life.
const OTHERS: &[(&str, u64, BeatOf)] = &[
    ("tasks", LIMIT_NS, |server| &server.health.tasks),
    ("sweeper", LIMIT_NS, |server| &server.health.sweeper),
    ("keeper", LIMIT_NS, |server| &server.health.keeper),
    ("housekeeping", LIMIT_NS, |server| &server.health.housekeeping),
    ("file-writer", FILE_LIMIT_NS, |server| &server.health.file_writer),
];

/// The watch's thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts it. `ping` has some worker run a task that answers for `tasks`, and `wake` has the task of the
    /// housekeeping answer.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(
        server: Arc<Server>,
        ping: impl Fn() + Send + 'static,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        server.health.tasks.set_rests(false);
        let thread = std::thread::Builder::new().name("kvarts-health".into()).spawn(move || {
            let mut round = Round::new(&server);
            while !stopped.load(Ordering::Acquire) {
                if round.look(&server) {
                    ping();
                }
                OTHERS.iter().for_each(|(_, _, beat)| beat(&server).wake());
                wake();
                std::thread::park_timeout(INTERVAL);
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

/// What the watch remembers from look to look.
struct Round {
    workers: Vec<Part>,
    others: Vec<(Part, BeatOf)>,
    slots: Slots,
    /// Commands that have had their locks for so long that the log has told of them.
    told: Vec<Arc<Holder>>,
    asked: u64,
    asked_ns: u64,
    looks: u64,
    /// What the task that was given to the workers last had answered before it was; `None` before the first.
    pinged: Option<u64>,
}

impl Round {
    fn new(server: &Server) -> Self {
        let workers = server.identity.workers;
        Self {
            workers: (0..workers).map(|number| Part::new(format!("worker-{number}"), LIMIT_NS)).collect(),
            others: OTHERS.iter().map(|&(name, limit_ns, beat)| (Part::new(name, limit_ns), beat)).collect(),
            slots: Slots::default(),
            told: Vec::new(),
            asked: 0,
            asked_ns: server.clock.monotonic_ns(),
            looks: 0,
            pinged: None,
        }
    }

    /// Looks what came of the last question, and puts the next one. Returns whether a task is to be given to
    /// the workers: the one before has run.
    fn look(&mut self, server: &Server) -> bool {
        let now_ns = server.clock.monotonic_ns();
        if now_ns.saturating_sub(self.asked_ns) > STOPPED_NS {
            self.begin_anew();
        }
        let mut parts = Vec::with_capacity(self.workers.len() + self.others.len() + 1);
        if self.asked > 0 {
            for (part, life) in self.workers.iter_mut().zip(server.health.workers.lives()) {
                let news = part.look(life, self.asked, self.asked_ns, now_ns);
                let about = work_of(server, life, now_ns);
                tell(news, part, &about);
                parts.push(part.finding(life, now_ns, about));
            }
            for (part, beat) in &mut self.others {
                let life = beat(server).life();
                let news = part.look(life, self.asked, self.asked_ns, now_ns);
                tell(news, part, "");
                parts.push(part.finding(life, now_ns, String::new()));
            }
            let is_excused = server.is_slow();
            self.slots.look(&server.keyspace, now_ns);
            parts.push(self.slots.finding(server, is_excused, now_ns));
            if is_excused {
                excuse(&mut parts);
            }
        }
        let holding = self.look_at_holders(server, now_ns);
        self.looks += 1;
        *server.health.findings.lock() = Findings { looks: self.looks, looked_ns: now_ns, parts, holding };
        // Tasks that nobody runs are not to pile up.
        let answered = server.health.tasks.life().answered;
        let has_run = self.pinged.is_none_or(|before| before != answered);
        self.pinged = Some(if has_run { answered } else { self.pinged.unwrap_or_default() });
        self.asked_ns = server.clock.monotonic_ns();
        self.asked = server.health.workers.ask();
        has_run
    }

    /// Looks which commands have had their locks for long. Tells the log of each, once, and when it has ended.
    fn look_at_holders(&mut self, server: &Server, now_ns: u64) -> Vec<Held> {
        let holders: Vec<_> = server.heavy.holders().into_iter().map(|(holder, _)| holder).collect();
        self.told.retain(|told| {
            let goes_on = holders.iter().any(|holder| holder.is_of_same(told));
            if !goes_on {
                let after_ms = told.ran_ns(now_ns) / 1_000_000;
                tracing::warn!(runs = told.in_words(), after_ms, "has given its locks back");
            }
            goes_on
        });
        let is_long = |holder: &&Arc<Holder>| holder.ran_ns(now_ns) >= LIMIT_NS;
        for holder in holders.iter().filter(is_long) {
            if self.told.len() < HOLDERS_MAX && !self.told.iter().any(|told| told.is_of_same(holder)) {
                let for_ms = holder.ran_ns(now_ns) / 1_000_000;
                tracing::warn!(runs = holder.in_words(), for_ms, "keeps its locks from others");
                self.told.push(Arc::clone(holder));
            }
        }
        holders.iter().filter(is_long).take(HOLDERS_MAX).map(|holder| Held::new(holder, now_ns)).collect()
    }

    fn begin_anew(&mut self) {
        self.workers.iter_mut().for_each(Part::begin_anew);
        self.others.iter_mut().for_each(|(part, _)| part.begin_anew());
        self.slots.begin_anew();
    }
}

/// A worker may wait for a slot or for the gate that a heavy command or a slow script has; that it runs is
/// known, and the server is not to be ended for it.
fn excuse(parts: &mut [PartFinding]) {
    for part in parts {
        if part.state == State::Stuck && part.name != "file-writer" {
            part.state = State::Busy;
        }
    }
}

/// What a worker runs: the command, and for whom; where it waits for a lock, who has that.
fn work_of(server: &Server, life: Life, now_ns: u64) -> String {
    if life.client == 0 {
        return String::new();
    }
    let Some(client) = server.clients.by_id(life.client) else { return format!("client {}", life.client) };
    let runs = server.in_words(client.last_command.load(Ordering::Relaxed), &client);
    match life.waits {
        None => runs,
        Some(lock) => {
            format!("{runs}, waits for {}", held_in_words(server, lock, is_late(server, life), now_ns))
        }
    }
}

/// Whether a worker has been within one batch for a while: it has answered none of the last questions.
fn is_late(server: &Server, life: Life) -> bool {
    server.health.workers.asked().saturating_sub(life.answered) >= LATE
}

/// A lock that a worker waits for, and who has it, where it waits for long.
fn held_in_words(server: &Server, lock: WaitsFor, is_long: bool, now_ns: u64) -> String {
    let (name, lock) = match lock {
        WaitsFor::Gate => ("the whole keyspace".to_owned(), None),
        WaitsFor::Slot { database, slot, write } => {
            (format!("slot {slot} of database {database}"), Some(SlotLock { database, slot, write }))
        }
    };
    match is_long {
        true => format!("{name}, which {} has", holder_in_words(server, lock, now_ns)),
        false => name,
    }
}

/// Who has had a lock for a while, or the whole keyspace: a command that is known to take long, or else whoever of
/// the workers has been within one batch for as long and does not wait itself.
pub(super) fn holder_in_words(server: &Server, lock: Option<SlotLock>, now_ns: u64) -> String {
    if let Some(holder) = server.heavy.holds(lock) {
        return holder.in_words_at(now_ns);
    }
    let runs = |life: &Life| life.client != 0 && life.waits.is_none() && is_late(server, *life);
    let named = server.health.workers.lives().filter(runs).filter_map(|life| {
        let client = server.clients.by_id(life.client)?;
        Some(server.in_words(client.last_command.load(Ordering::Relaxed), &client))
    });
    let named: Vec<String> = named.take(NAMED_MAX).collect();
    if named.is_empty() { "a thread in the background".to_owned() } else { named.join(" or ") }
}

fn tell(news: Option<News>, part: &Part, about: &str) {
    match news {
        None => {}
        Some(News::Stuck) => tracing::warn!(part = part.name(), runs = about, "does not answer"),
        Some(News::GoesOn(after_ns)) => {
            tracing::warn!(part = part.name(), after_ms = after_ns / 1_000_000, "answers again");
        }
    }
}
