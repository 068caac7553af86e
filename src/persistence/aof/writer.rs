//! The writer: it reads the journal and writes the incremental file, on a thread of its own or, for a step, on a
//! worker ([`Desk`](super::desk::Desk)).
//!
//! With `appendfsync always` it syncs what it has written before it says so, and all replies wait for that:
//! one sync serves all changes that came during the one before. Otherwise replies do not wait; with
//! `everysec` another thread syncs, and the writer keeps what is not synced yet, to write it again should the
//! sync fail (what a failed sync leaves in the system's cache is not to be trusted). Only when so much is
//! unwritten that memory is at stake ([`UNWRITTEN_MAX`]) do connections wait for the writer.
//!
//! While the file cannot be written or synced, writes are refused, nothing that was not acknowledged is, and
//! the writer tries again.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::syncer::Syncer;
use crate::aof::Part;
use crate::config::Directive;
use crate::engine::Server;
use crate::journal::{Begin, Reader};
use crate::persistence::files::Output;
use crate::worker::Busy;

use super::folder::Folder;

/// Bytes of changes that may be unwritten before connections wait.
const UNWRITTEN_MAX: u64 = 256 << 20;

/// Bytes that are kept to be written again should a sync fail. With more, a failed sync is followed by a
/// rewrite.
const KEPT_MAX: u64 = 32 << 20;

/// Time in which changes gather before they are written; where replies wait for them, the longest such time
/// (see `Writer::gather`).
pub(super) const GATHER: Duration = Duration::from_millis(2);

/// Pause between two tries to write or sync what could not be.
const RETRY: Duration = Duration::from_millis(100);

/// Time between two syncs of `everysec`.
pub(super) const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// A sync that takes longer than this is counted as delayed, each time it has taken as long again.
const DELAYED: Duration = Duration::from_secs(2);

/// How long changes are written before syncs get their turn.
const STRETCH: Duration = Duration::from_millis(50);

/// Time between two looks whether the file is still there.
const LOOK: Duration = Duration::from_secs(1);

/// As long as a sync takes no longer than this on average, workers write and sync themselves what their clients
/// wait for (see [`Desk`](super::desk::Desk)).
const QUICK_SYNC_US: u64 = 1000;

/// Bytes of changes up to which a worker writes them itself.
const FEW_BYTES: u64 = 1 << 20;

/// `appendfsync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Always,
    EverySecond,
    Never,
}

/// A new incremental file is to begin at a position.
pub struct Switch {
    /// Where it begins in the journal.
    pub begin: Begin,
    /// Told once it has begun, or why it could not.
    pub done: Sender<io::Result<Part>>,
}

/// What other threads tell the writer, and what it tells them.
#[derive(Default)]
pub struct Shared {
    pub(super) thread: Mutex<Option<Thread>>,
    /// New files that are to begin.
    switches: Mutex<VecDeque<Switch>>,
    /// Set to end the writer when it has written all.
    pub stop: AtomicBool,
    /// Whether the manifest names the file that is written: before the first rewrite has ended it does not,
    /// and nothing is promised.
    pub counts: AtomicBool,
    /// Whether a rewrite runs (`no-appendfsync-on-rewrite`).
    pub rewrites: AtomicBool,
    /// Set where only a rewrite makes the files whole again.
    pub needs_rewrite: AtomicBool,
    /// Set while the file that is written has been taken away: until a rewrite has ended, nothing counts.
    pub is_gone: AtomicBool,
    /// Bytes of all files but the present one.
    pub other_bytes: AtomicU64,
    /// Bytes of the present file.
    pub file_bytes: AtomicU64,
    /// Position up to which changes are written.
    pub written: AtomicU64,
    /// Position up to which changes are synced.
    pub synced: AtomicU64,
    /// Set to have the next sync begin before its time.
    pub wants_sync: AtomicBool,
    /// Whether a sync is under way on its own thread.
    pub syncs: AtomicBool,
    /// Syncs that took too long.
    pub delayed_syncs: AtomicU64,
    /// Whether workers write and sync themselves what their clients wait for.
    pub is_quick: AtomicBool,
    /// Set where a worker leaves that to the writer's thread all the same.
    pub wants_thread: AtomicBool,
    /// Set where the writer's thread is called, and not only asked for a sign of life.
    pub is_called: AtomicBool,
}

impl Shared {
    /// Wakes the writer.
    pub fn wake(&self) {
        self.is_called.store(true, Ordering::Release);
        if let Some(thread) = &*self.thread.lock() {
            thread.unpark();
        }
    }

    /// Whether replies wait until what they show is synced.
    pub fn holds_replies(&self, server: &Server) -> bool {
        let is_strict = server.config.word(Directive::Appendfsync) == "always";
        is_strict && self.counts.load(Ordering::Acquire) && !self.spares_sync(server)
    }

    /// Whether nothing is synced for now because a rewrite has the disk.
    fn spares_sync(&self, server: &Server) -> bool {
        self.rewrites.load(Ordering::Relaxed) && server.config.flag(Directive::NoAppendfsyncOnRewrite)
    }

    /// Has a new file begin.
    pub fn begin_file(&self, switch: Switch) {
        self.switches.lock().push_back(switch);
        self.wake();
    }

    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.other_bytes.load(Ordering::Relaxed) + self.file_bytes.load(Ordering::Relaxed)
    }
}

/// Bytes that are written and not synced, with the position behind them.
struct Kept {
    end: u64,
    bytes: Bytes,
}

/// What the writer's thread does between two steps.
pub(super) enum Rest {
    /// Nothing.
    None,
    /// It sleeps.
    Sleep(Duration),
    /// It rests until it is called, but no longer than this.
    UntilCalled(Duration),
}

/// The writer's own state.
pub struct Writer {
    pub(super) server: Arc<Server>,
    busy: Arc<Busy>,
    pub(super) shared: Arc<Shared>,
    folder: Arc<Mutex<Folder>>,
    reader: Reader,
    file: Arc<dyn Output>,
    /// Where the file begins in the journal; `None` once there is anything in it.
    begin: Option<Begin>,
    /// Bytes of the file that are known to be right, and of those the ones that are synced.
    file_len: u64,
    synced_len: u64,
    /// Position in the journal behind what is written, and behind what is synced.
    pub(super) written: u64,
    synced: u64,
    /// Read from the journal and not written.
    unwritten: VecDeque<Bytes>,
    kept: VecDeque<Kept>,
    kept_bytes: u64,
    /// Whether `kept` has all that is not synced.
    keeps_all: bool,
    /// Second of the last time noted in the file.
    noted_s: u64,
    /// Whether the last attempt to write or sync failed, and whether it was a sync.
    failed: bool,
    sync_failed: bool,
    syncer: Syncer,
    last_sync: Instant,
    /// What a sync of its own takes, a moving average.
    sync_us: Option<u64>,
    /// Whether it has ended.
    ended: bool,
    /// When the sync under way began, or was last counted as delayed.
    sync_began: Option<Instant>,
    last_look: Instant,
}

impl Writer {
    /// A writer that goes on at the end of a file. `begin` is where the reader stands.
    pub fn new(
        server: Arc<Server>,
        busy: Arc<Busy>,
        shared: Arc<Shared>,
        folder: Arc<Mutex<Folder>>,
        reader: Reader,
        begin: Begin,
        file: Arc<dyn Output>,
        file_len: u64,
    ) -> io::Result<Self> {
        Ok(Self {
            server,
            busy,
            syncer: Syncer::start(Arc::clone(&shared))?,
            shared,
            folder,
            reader,
            file,
            begin: Some(begin),
            file_len,
            synced_len: file_len,
            written: begin.position,
            synced: begin.position,
            unwritten: VecDeque::new(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            keeps_all: true,
            noted_s: 0,
            failed: false,
            sync_failed: false,
            last_sync: Instant::now(),
            sync_us: None,
            ended: false,
            sync_began: None,
            last_look: Instant::now(),
        })
    }

    /// Ends it: nothing is written from here on.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.shared.is_quick.store(false, Ordering::Release);
        let unwritten = self.server.journal().end().saturating_sub(self.written);
        if self.failed || unwritten > 0 {
            tracing::error!(
                bytes = unwritten,
                "the AOF ends with changes that could not be written or synced: they are lost"
            );
        }
        // A rewrite that waits for its file hears that there is none.
        self.shared.switches.lock().clear();
        {
            // Commands ask once whether anybody reads.
            let _alone = self.server.be_alone();
            self.server.journal().leave(&self.reader);
        }
        self.server.durability.set_error(None);
        for waiter in self.server.durability.publish(|| (u64::MAX, false), None) {
            self.server.end_if_acknowledged(&waiter);
        }
    }

    /// Whether what is to be written and synced now takes a worker no longer than clients wait anyway.
    pub(super) fn is_quickly_done(&self) -> bool {
        let shared = &self.shared;
        !self.ended
            && !self.failed
            && self.sync_began.is_none()
            && !shared.stop.load(Ordering::Acquire)
            && shared.is_quick.load(Ordering::Acquire)
            && shared.holds_replies(&self.server)
            && self.server.journal().end().saturating_sub(self.written) <= FEW_BYTES
            && shared.switches.lock().is_empty()
    }

    /// A step of a worker.
    pub(super) fn step_quickly(&mut self) {
        self.look_for_file();
        if let Err(error) = self.write_some().and_then(|()| self.sync_now()) {
            self.fail(&error);
        }
        self.note_quickness();
    }

    /// Notes whether syncs are quick enough to be made by workers.
    fn note_quickness(&self) {
        let is_quick = !self.failed
            && self.sync_us.is_some_and(|mean| mean <= QUICK_SYNC_US)
            && self.shared.holds_replies(&self.server);
        self.shared.is_quick.store(is_quick, Ordering::Release);
    }

    /// Reads, writes and syncs once. Returns whether there was anything to read.
    pub(super) fn step(&mut self, stops: bool) -> bool {
        let before = self.written;
        let policy = self.policy();
        self.take_sync();
        self.look_for_file();
        if policy == Policy::Always {
            self.gather();
        }
        let done = self.repair().and_then(|()| self.write_some()).and_then(|()| match policy {
            _ if stops => self.sync_now(),
            Policy::Always if !self.shared.spares_sync(&self.server) => self.sync_now(),
            _ => Ok(()),
        });
        match done {
            Ok(()) => self.recovered(),
            Err(error) => self.fail(&error),
        }
        if policy == Policy::EverySecond && !self.failed && !stops {
            self.sync_beside();
        }
        self.note_quickness();
        self.written != before
    }

    /// Lets workers that have something to do go on until one has not, so that the changes that are on their way
    /// come under the same sync: their clients then wait for one sync, not for the end of one and for another. The
    /// clients that the last sync has answered are waited for as well, for a while.
    fn gather(&self) {
        if self.server.journal().end() > self.written {
            self.busy.wait(GATHER);
            let durability = &self.server.durability;
            self.busy.wait_until(durability.crowd_wait(), || durability.is_crowd_back());
        }
    }

    /// Looks once a second whether somebody has taken the file away: what is written into it then is lost.
    fn look_for_file(&mut self) {
        if self.last_look.elapsed() < LOOK || !self.shared.counts.load(Ordering::Acquire) {
            return;
        }
        self.last_look = Instant::now();
        let found = {
            // A rewrite that writes the manifest may take its time.
            let Some(folder) = self.folder.try_lock() else { return };
            let Some(last) = folder.manifest.incremental.last() else { return };
            folder.files.len(&folder.path_of(&last.name))
        };
        if let Err(error) = found
            && error.kind() == io::ErrorKind::NotFound
        {
            self.shared.is_gone.store(true, Ordering::Release);
            self.shared.needs_rewrite.store(true, Ordering::Release);
            self.fail(&error);
        }
    }

    /// What its thread does until there may be something to do.
    pub(super) fn rest_after(&self, has_read: bool) -> Rest {
        if self.failed {
            return Rest::UntilCalled(RETRY);
        }
        if has_read {
            // More is on its way: looked for without being called. With `always` it is there already.
            return if self.policy() == Policy::Always { Rest::None } else { Rest::Sleep(GATHER) };
        }
        let left = SYNC_INTERVAL.saturating_sub(self.last_sync.elapsed());
        let needs_sync = self.synced < self.written && self.policy() == Policy::EverySecond;
        Rest::UntilCalled(if needs_sync { left.max(GATHER) } else { SYNC_INTERVAL })
    }

    fn policy(&self) -> Policy {
        match self.server.config.word(Directive::Appendfsync) {
            "always" => Policy::Always,
            "no" => Policy::Never,
            _ => Policy::EverySecond,
        }
    }

    /// Writes what the journal has, and begins new files on the way. Where changes come as quickly as they
    /// are written there is no end of it, so it stops after a while: syncs are not to wait for a pause in the
    /// load.
    fn write_some(&mut self) -> io::Result<()> {
        let began = Instant::now();
        while began.elapsed() < STRETCH {
            while let Some(bytes) = self.unwritten.pop_front() {
                if let Err(error) = self.write(&bytes) {
                    self.unwritten.push_front(bytes);
                    return Err(error);
                }
            }
            self.switch_if_due()?;
            let Some(stretch) = self.server.journal().read(&self.reader) else { return Ok(()) };
            debug_assert_eq!(stretch.position, self.written);
            if stretch.for_links {
                self.pass_over(stretch.bytes.len() as u64);
            } else {
                self.take(stretch.position, stretch.bytes);
            }
        }
        Ok(())
    }

    /// Passes over bytes that no file is to hold.
    fn pass_over(&mut self, len: u64) {
        if self.synced == self.written {
            self.synced += len;
        }
        self.written += len;
    }

    /// Takes bytes from the journal, cut where a new file begins.
    fn take(&mut self, position: u64, mut bytes: Bytes) {
        let end = position + bytes.len() as u64;
        let mut at = position;
        for switch in &*self.shared.switches.lock() {
            if at < switch.begin.position && switch.begin.position < end {
                self.unwritten.push_back(bytes.split_to((switch.begin.position - at) as usize));
                at = switch.begin.position;
            }
        }
        self.unwritten.push_back(bytes);
    }

    /// Writes bytes that begin with an entry.
    fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        self.switch_if_due()?;
        let delay_us = self.server.upkeep.aof_flush_sleep_us.load(Ordering::Relaxed);
        if delay_us > 0 {
            std::thread::sleep(Duration::from_micros(delay_us));
        }
        let noted = self.note_time()?;
        let select = Bytes::from(self.begin.map_or_else(Vec::new, |begin| begin.select_before(bytes)));
        if !select.is_empty() {
            self.file.write(&select)?;
        }
        self.file.write(bytes)?;
        self.begin = None;
        self.file_len += (noted.len() + select.len() + bytes.len()) as u64;
        self.written += bytes.len() as u64;
        self.shared.file_bytes.store(self.file_len, Ordering::Relaxed);
        if self.policy() == Policy::Never {
            self.keeps_all = false;
            self.forget_kept(u64::MAX);
        }
        for part in [noted, select, bytes.clone()] {
            self.keep(part);
        }
        Ok(())
    }

    /// Writes the time where a second has passed since it was written last (`aof-timestamp-enabled`).
    fn note_time(&mut self) -> io::Result<Bytes> {
        let now_s = self.server.clock.now_ms() / 1000;
        if now_s <= self.noted_s || !self.server.config.flag(Directive::AofTimestampEnabled) {
            return Ok(Bytes::new());
        }
        let line = Bytes::from(format!("#TS:{now_s}\r\n"));
        self.file.write(&line)?;
        self.noted_s = now_s;
        Ok(line)
    }

    fn keep(&mut self, bytes: Bytes) {
        if !self.keeps_all || bytes.is_empty() {
            return;
        }
        self.kept_bytes += bytes.len() as u64;
        self.kept.push_back(Kept { end: self.written, bytes });
        if self.kept_bytes > KEPT_MAX {
            self.keeps_all = false;
            self.forget_kept(u64::MAX);
        }
    }

    fn forget_kept(&mut self, position: u64) {
        while self.kept.front().is_some_and(|first| first.end <= position) {
            let first = self.kept.pop_front();
            self.kept_bytes -= first.map_or(0, |first| first.bytes.len() as u64);
        }
    }

    /// Begins a new file where the next change is to stand in one.
    fn switch_if_due(&mut self) -> io::Result<()> {
        loop {
            let mut switches = self.shared.switches.lock();
            let is_due = switches.front().is_some_and(|switch| switch.begin.position <= self.written);
            let Some(switch) = (if is_due { switches.pop_front() } else { None }) else { return Ok(()) };
            drop(switches);
            // The old file is whole on disk before the manifest names the next one.
            if let Err(error) = self.sync_now() {
                self.shared.switches.lock().push_front(switch);
                return Err(error);
            }
            let begun = self.folder.lock().begin_incremental(true);
            let begun = begun.map(|(part, file)| {
                self.shared.other_bytes.fetch_add(self.file_len, Ordering::Relaxed);
                self.shared.file_bytes.store(0, Ordering::Relaxed);
                (self.file, self.file_len, self.synced_len, self.noted_s) = (file, 0, 0, 0);
                self.begin = Some(switch.begin);
                part
            });
            // The rewrite that asked may have been given up.
            let _ = switch.done.send(begun);
        }
    }

    /// Makes everything lasting that is written.
    fn sync_now(&mut self) -> io::Result<()> {
        if self.synced == self.written {
            return Ok(());
        }
        self.await_syncer()?;
        let began = Instant::now();
        let result = self.file.sync();
        // One that takes long says little about the next.
        let took_us = (began.elapsed().as_micros() as u64).min(2 * QUICK_SYNC_US);
        let mean_us = self.sync_us.map_or(took_us, |mean| (mean * 7 + took_us) / 8);
        self.sync_us = Some(mean_us);
        self.server.durability.note_sync_time(mean_us);
        self.synced_up_to(self.written, self.file_len, result)
    }

    /// Has the syncer's thread make lasting what is written, once a second.
    fn sync_beside(&mut self) {
        if let Some(began) = self.sync_began {
            if began.elapsed() >= DELAYED && self.written > self.synced {
                self.shared.delayed_syncs.fetch_add(1, Ordering::Relaxed);
                self.sync_began = Some(Instant::now());
            }
            return;
        }
        let is_wanted = self.shared.wants_sync.swap(false, Ordering::AcqRel);
        let is_due = (is_wanted || self.last_sync.elapsed() >= SYNC_INTERVAL) && self.synced < self.written;
        if is_due && !self.shared.spares_sync(&self.server) {
            self.syncer.begin(Arc::clone(&self.file), self.written, self.file_len);
            self.shared.syncs.store(true, Ordering::Relaxed);
            (self.sync_began, self.last_sync) = (Some(Instant::now()), Instant::now());
        }
    }

    /// Takes the outcome of the syncer's work, if there is one.
    fn take_sync(&mut self) {
        if let Some(done) = self.syncer.take() {
            self.sync_ended(done.position, done.file_len, done.result);
        }
    }

    /// Waits for the sync under way on the other thread.
    fn await_syncer(&mut self) -> io::Result<()> {
        while self.sync_began.is_some() {
            match self.syncer.take() {
                Some(done) => return self.sync_ended_with(done.position, done.file_len, done.result),
                None => std::thread::park_timeout(RETRY),
            }
        }
        Ok(())
    }

    fn sync_ended(&mut self, position: u64, file_len: u64, result: io::Result<()>) {
        if let Err(error) = self.sync_ended_with(position, file_len, result) {
            self.fail(&error);
        }
    }

    fn sync_ended_with(&mut self, position: u64, file_len: u64, result: io::Result<()>) -> io::Result<()> {
        self.sync_began = None;
        self.shared.syncs.store(false, Ordering::Relaxed);
        self.synced_up_to(position, file_len, result)
    }

    fn synced_up_to(&mut self, position: u64, file_len: u64, result: io::Result<()>) -> io::Result<()> {
        self.last_sync = Instant::now();
        if let Err(error) = result {
            // Whether the system still has what it could not write is not known.
            self.sync_failed = true;
            return Err(error);
        }
        (self.synced, self.synced_len) = (position, file_len);
        self.forget_kept(position);
        if self.synced == self.written {
            self.keeps_all = true;
        }
        Ok(())
    }

    /// After a failure: cuts off what may be half written, and writes again what a failed sync may have lost.
    fn repair(&mut self) -> io::Result<()> {
        if !self.failed {
            return Ok(());
        }
        if !self.sync_failed {
            return self.file.truncate(self.file_len);
        }
        if self.keeps_all {
            self.file.truncate(self.synced_len)?;
            let mut len = self.synced_len;
            for Kept { bytes, .. } in &self.kept {
                self.file.write(bytes)?;
                len += bytes.len() as u64;
            }
            debug_assert_eq!(len, self.file_len);
        } else {
            self.file.truncate(self.file_len)?;
        }
        self.file.sync()?;
        self.sync_failed = false;
        if !self.keeps_all {
            self.shared.needs_rewrite.store(true, Ordering::Release);
        }
        self.synced_up_to(self.written, self.file_len, Ok(()))
    }

    fn fail(&mut self, error: &io::Error) {
        if !self.failed {
            tracing::error!(%error, "Error writing to the AOF file; writes are refused until it can be written");
        }
        self.failed = true;
        self.server.durability.set_error(Some(error));
    }

    fn recovered(&mut self) {
        if self.shared.is_gone.load(Ordering::Acquire) {
            return;
        }
        if std::mem::take(&mut self.failed) {
            tracing::info!("AOF write error looks solved. The server can write again.");
            self.server.durability.set_error(None);
        }
    }

    /// Tells those that wait how far everything has come.
    pub fn publish(&self) {
        self.shared.written.store(self.written, Ordering::Release);
        self.shared.synced.store(self.synced, Ordering::Release);
        let unwritten: usize = self.unwritten.iter().map(Bytes::len).sum();
        self.server.journal().set_kept_by_reader(self.kept_bytes + unwritten as u64);
        if self.shared.is_gone.load(Ordering::Acquire) {
            return;
        }
        let counts = self.shared.counts.load(Ordering::Acquire);
        let released = || {
            let is_strict = self.shared.holds_replies(&self.server);
            let position = match is_strict {
                true => self.synced,
                false if counts => self.written + UNWRITTEN_MAX,
                false => u64::MAX,
            };
            (position, is_strict)
        };
        // What is synced because the file is switched off, WAITAOF is not told of: there is no file any more.
        let stops = self.shared.stop.load(Ordering::Acquire);
        let synced = (counts && !stops).then_some(self.synced);
        for waiter in self.server.durability.publish(released, synced) {
            self.server.end_if_acknowledged(&waiter);
        }
    }
}
