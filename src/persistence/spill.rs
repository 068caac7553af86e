//! [`SpillFile`]: the front of the stream of changes in a file, for replicas that are far behind.
//!
//! What goes there and what comes back is the journal's to say (`src/journal/spilling.rs`). The file consists of
//! segments in the folder of the data, without names: they are gone with the process, however that ends.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::files::{Files, Scratch, remove_leftovers};
use crate::config::Directive;
use crate::engine::Server;
use crate::journal::{Journal, SpillJob};

/// How the name of a segment begins and ends, for the moment for which it has one; between them stands the
/// process's id.
const NAME_BEGIN: &str = "temp-spill-";
const NAME_END: &str = ".part";

/// Bytes after which a new segment is begun, so that room is given back little by little.
const SEGMENT: u64 = 64 << 20;

/// Segments that the limit is divided into, at least.
const PARTS: u64 = 8;

/// Pause after a failure before the file is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// The spill file of a server, kept by a thread of its own.
pub struct SpillFile {
    stops: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A part of the file.
struct Segment {
    /// The position of its first byte.
    start: u64,
    len: u64,
    file: Arc<dyn Scratch>,
}

impl Segment {
    fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// What the thread works on.
struct Keeper {
    server: Weak<Server>,
    files: Arc<dyn Files>,
    segments: VecDeque<Segment>,
    /// When it could not be written, unless it was since.
    failed_at: Option<Instant>,
}

impl SpillFile {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(server: &Arc<Server>, files: Arc<dyn Files>) -> io::Result<Self> {
        if let Some(folder) = server.config.path(Directive::Dir) {
            remove_leftovers(&*files, &folder, NAME_BEGIN, NAME_END);
        }
        let stops = Arc::new(AtomicBool::new(false));
        let mut keeper =
            Keeper { server: Arc::downgrade(server), files, segments: VecDeque::new(), failed_at: None };
        let stop = Arc::clone(&stops);
        let thread = std::thread::Builder::new().name("kvarts-spill".into()).spawn(move || {
            while !stop.load(Ordering::Acquire) {
                let Some(server) = keeper.server.upgrade() else { return };
                let did_something = keeper.step(&server);
                drop(server);
                match keeper.failed_at {
                    _ if did_something => {}
                    Some(_) => std::thread::park_timeout(RETRY),
                    None => std::thread::park(),
                }
            }
        })?;
        let called = thread.thread().clone();
        server.journal().set_spill_waker(move || called.unpark());
        Ok(Self { stops, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread, and with it the file.
    pub fn stop(&self) {
        self.stops.store(true, Ordering::Release);
        if let Some(thread) = self.thread.lock().take() {
            thread.thread().unpark();
            // Its panics were reported by the panic hook.
            drop(thread.join());
        }
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Keeper {
    /// Gives room back, reads what is asked for, writes what there is. Returns whether there was anything.
    fn step(&mut self, server: &Server) -> bool {
        let journal = server.journal();
        self.give_back(journal);
        let mut did_something = false;
        while let Some(fetch) = journal.take_fetch() {
            did_something = true;
            let read = self.read(fetch.position, fetch.max_len);
            if let Err(error) = &read {
                tracing::error!(%error, "the spill file of replicas cannot be read: one of them is cut");
            }
            journal.fetched(fetch, read.ok());
        }
        if self.failed_at.is_some_and(|at| at.elapsed() >= RETRY) {
            self.failed_at = None;
            journal.retry_spill();
        }
        if let Some(job) = journal.take_spill(self.used()) {
            did_something = true;
            match self.write(server, &job) {
                Ok(()) => journal.spilled(&job),
                Err(error) => {
                    if self.failed_at.replace(Instant::now()).is_none() {
                        tracing::error!(
                            %error,
                            "the spill file of replicas cannot be written: those that are too far behind are cut"
                        );
                    }
                    self.cut_back(job.position);
                    journal.spill_failed();
                }
            }
            journal.set_spill_bytes(self.used());
        }
        did_something
    }

    fn used(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Drops segments of which nothing is needed any more.
    fn give_back(&mut self, journal: &Journal) {
        let needed = journal.spilled_range();
        let before = self.segments.len();
        self.segments.retain(|segment| !needed.is_empty() && segment.end() > needed.start);
        if self.segments.len() != before {
            journal.set_spill_bytes(self.used());
        }
    }

    /// Forgets what stands at a position and behind it, which may be half written.
    fn cut_back(&mut self, position: u64) {
        if let Some(last) = self.segments.back_mut() {
            last.len = last.len.min(position.saturating_sub(last.start));
        }
        self.segments.retain(|segment| segment.len > 0);
    }

    fn write(&mut self, server: &Server, job: &SpillJob) -> io::Result<()> {
        let limit = server.config.unsigned(Directive::ReplSpillSize);
        let full = SEGMENT.min(limit / PARTS);
        let goes_on = self.segments.back().is_some_and(|last| last.end() == job.position && last.len < full);
        if !goes_on {
            let folder = server.config.path(Directive::Dir).unwrap_or_else(|| PathBuf::from("."));
            let name = format!("{NAME_BEGIN}{}{NAME_END}", std::process::id());
            let file = self.files.scratch(&folder.join(name))?;
            self.segments.push_back(Segment { start: job.position, len: 0, file });
        }
        let Some(last) = self.segments.back_mut() else { return Ok(()) };
        for piece in &job.pieces {
            last.file.write_at(piece, last.len)?;
            last.len += piece.len() as u64;
        }
        Ok(())
    }

    fn read(&self, position: u64, max_len: u64) -> io::Result<Bytes> {
        let at = self.segments.iter().find(|segment| (segment.start..segment.end()).contains(&position));
        let Some(segment) = at else { return Err(io::ErrorKind::NotFound.into()) };
        let mut bytes = vec![0; max_len.min(segment.end() - position) as usize];
        segment.file.read_at(&mut bytes, position - segment.start)?;
        Ok(bytes.into())
    }
}
