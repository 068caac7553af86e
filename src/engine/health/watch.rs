//! The watch: a thread that asks all parts of the server for a sign of life.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::part::{News, Part};
use super::slots::Slots;
use super::{Findings, INTERVAL, PartFinding, State};
use crate::engine::Server;
use crate::worker::{Beat, Life};

/// From so long without an answer on most parts are stuck.
const LIMIT_NS: u64 = 1_000_000_000;

/// The same of the thread that writes the append-only file: a disk may take seconds, and nobody waits for it
/// unless `appendfsync always` says so.
const FILE_LIMIT_NS: u64 = 10_000_000_000;

/// How often the housekeeping task looks.
const HOUSEKEEPING_NS: u64 = 1_000_000_000;

/// How long the keeper's and the file writer's threads sleep while they have nothing to do.
const KEEPER_NS: u64 = 100_000_000;
const FILE_WRITER_NS: u64 = 1_000_000_000;

/// The sweeper's thread sleeps for no longer than this.
const SWEEPER_NS: u64 = 8_000_000;

/// Where the watch itself has not run for so long nothing else has: the process was stopped, or the machine.
const STOPPED_NS: u64 = 500_000_000;

/// A sign of life among those of the server.
type BeatOf = fn(&Server) -> &Beat;

/// The threads and tasks beside the workers: name, limit, how long they sleep by themselves, sign of life.
const OTHERS: &[(&str, u64, u64, BeatOf)] = &[
    ("tasks", LIMIT_NS, 0, |server| &server.health.tasks),
    ("sweeper", LIMIT_NS, SWEEPER_NS, |server| &server.health.sweeper),
    ("keeper", LIMIT_NS, KEEPER_NS, |server| &server.health.keeper),
    ("housekeeping", LIMIT_NS, HOUSEKEEPING_NS, |server| &server.health.housekeeping),
    ("file-writer", FILE_LIMIT_NS, FILE_WRITER_NS, |server| &server.health.file_writer),
];

/// The watch's thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts it. `ping` has some worker run a task that answers for `tasks`.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(server: Arc<Server>, ping: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        server.health.tasks.set_rests(false);
        let thread = std::thread::Builder::new().name("kvarts-health".into()).spawn(move || {
            let mut round = Round::new(&server);
            while !stopped.load(Ordering::Acquire) {
                if round.look(&server) {
                    ping();
                }
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
            workers: (0..workers).map(|number| Part::new(format!("worker-{number}"), LIMIT_NS, 0)).collect(),
            others: OTHERS
                .iter()
                .map(|&(name, limit_ns, pace_ns, beat)| (Part::new(name, limit_ns, pace_ns), beat))
                .collect(),
            slots: Slots::default(),
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
                let about = work_of(server, life);
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
            parts.push(self.slots.finding(is_excused, now_ns));
            if is_excused {
                excuse(&mut parts);
            }
        }
        self.looks += 1;
        *server.health.findings.lock() = Findings { looks: self.looks, looked_ns: now_ns, parts };
        // Tasks that nobody runs are not to pile up.
        let answered = server.health.tasks.life().answered;
        let has_run = self.pinged.is_none_or(|before| before != answered);
        self.pinged = Some(if has_run { answered } else { self.pinged.unwrap_or_default() });
        self.asked_ns = server.clock.monotonic_ns();
        self.asked = server.health.workers.ask();
        has_run
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

/// What a worker runs: the command, and for whom.
fn work_of(server: &Server, life: Life) -> String {
    if life.client == 0 {
        return String::new();
    }
    let Some(client) = server.clients.by_id(life.client) else { return format!("client {}", life.client) };
    let command = server.commands.entries().get(client.last_command.load(Ordering::Relaxed) as usize);
    let command = command.map_or("?", |entry| entry.full_name.as_str());
    format!("{command} for client {} at {}", client.id, client.address)
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
