//! The append-only file: what was changed, in files that are repeated at the next start.
//!
//! `folder.rs` keeps the files and their manifest, `writer.rs` appends to the last of them, `rewrite.rs`
//! replaces all by a new base, `load.rs` repeats them. This file starts and ends these.

pub(super) mod check;
mod desk;
mod folder;
mod lanes;
pub(super) mod load;
mod plain;
mod repeat;
mod rewrite;
pub(super) mod snapshot;
mod syncer;
mod writer;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use thiserror::Error;

use super::files::{Files, Output};
use super::lock::{FolderError, FolderLock};
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::append_only::{AppendOnly, Figures};
use crate::engine::reading_again::ReadingAgain;
use crate::error::CommandError;
use crate::worker::Busy;
use desk::Desk;
use folder::{Folder, OpenError};
use load::LoadError;
use rewrite::Job;
use writer::{Shared, Writer};

/// Failures in a row after which the next automatic rewrite waits, a minute at first.
const FAILURES_MAX: u64 = 3;

/// The longest such wait.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// The wait between two tries to bring back a file that was taken away.
const WAIT_GONE: Duration = Duration::from_secs(1);

/// Stack of the thread that repeats the files, in bytes: scripts nest calls and tables.
const STACK: usize = 16 << 20;

/// Why the append-only file cannot be used at the start.
#[derive(Debug, Error)]
pub enum AofError {
    /// The folder is another server's, or cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The manifest cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file cannot be made or opened.
    #[error("cannot write the append-only file: {0}")]
    Write(#[from] io::Error),
}

/// The append-only file of a server.
pub struct AppendOnlyFile {
    /// The server, which holds this.
    server: Weak<Server>,
    folder: Arc<Mutex<Folder>>,
    /// That of the folder, which may be locked for long.
    keeps_history: Arc<AtomicBool>,
    /// The workers, whose changes the writer gathers.
    busy: Arc<Busy>,
    /// The writer that has begun last.
    desk: Mutex<Weak<Desk>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether `appendonly` is on.
    wanted: bool,
    /// Whether the files are being loaded at the start: nothing else is done with them meanwhile.
    loads: bool,
    lock: Option<FolderLock>,
    /// The writer; `None` while it is off or has not begun.
    writer: Option<RunningWriter>,
    /// A writer that was told to stop.
    ending: Option<JoinHandle<()>>,
    rewrite: Option<RunningRewrite>,
    /// Whether a rewrite was asked for while one that was given up had not ended.
    rewrites_again: bool,
    /// Whether the last rewrite failed, and how long it took.
    rewrite_failed: bool,
    last_rewrite: Option<Duration>,
    rewrites: u64,
    failures: u64,
    /// When the last rewrite ended.
    last_end: Option<Instant>,
    /// When the log was last told that none could begin; `None` where one could since.
    told_at: Option<Instant>,
    /// Bytes of all files at the start or after the last rewrite.
    base_bytes: u64,
}

impl State {
    /// How long after the last rewrite the next one may begin by itself, once some have failed.
    fn pause(&self) -> Duration {
        let is_gone = |writer: &RunningWriter| writer.shared.is_gone.load(Ordering::Acquire);
        match self.failures {
            0 => Duration::ZERO,
            // Writes are refused until one has ended.
            _ if self.writer.as_ref().is_some_and(is_gone) => WAIT_GONE,
            1..FAILURES_MAX => Duration::ZERO,
            failures => (Duration::from_secs(60) * (1 << (failures - FAILURES_MAX).min(6))).min(WAIT_MAX),
        }
    }

    /// Whether so many rewrites have failed in a row that the log is told of no more of them.
    fn fails_on(&self) -> bool {
        self.failures > FAILURES_MAX
    }
}

struct RunningWriter {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct RunningRewrite {
    began: Instant,
    cancelled: Arc<AtomicBool>,
    /// Set while another snapshot has to end before it can begin.
    waits: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RunningRewrite {
    fn waits(&self) -> bool {
        self.waits.load(Ordering::Acquire)
    }
}

impl AppendOnlyFile {
    /// The append-only file of a server, not opened yet.
    pub fn new(server: &Arc<Server>, files: Arc<dyn Files>, busy: Arc<Busy>) -> Arc<Self> {
        let folder = Folder::new(files, &server.config);
        let aof = Arc::new(Self {
            server: Arc::downgrade(server),
            keeps_history: Arc::clone(&folder.keeps_history),
            folder: Arc::new(Mutex::new(folder)),
            busy,
            desk: Mutex::default(),
            state: Mutex::default(),
        });
        server.set_append_only(Arc::clone(&aof) as Arc<dyn AppendOnly>);
        aof
    }

    /// Loads the files, and appends all changes from here on. While this runs no client may do anything.
    ///
    /// # Errors
    /// The files cannot be loaded or written.
    pub fn open(&self, server: &Arc<Server>) -> Result<(), AofError> {
        {
            let mut state = self.state.lock();
            state.lock = Some(take_lock(server)?);
            state.loads = true;
        }
        let opened = self.open_files(server);
        self.state.lock().loads = false;
        opened
    }

    /// Does the work of [`open`](Self::open). Nothing is locked while it takes its time: INFO, CONFIG SET and the
    /// end ask how it stands, some of them within the keyspace, for which it waits.
    fn open_files(&self, server: &Arc<Server>) -> Result<(), AofError> {
        let mut folder = Folder::new(Arc::clone(&self.folder.lock().files), &server.config);
        folder.keeps_history = Arc::clone(&self.keeps_history);
        let loaded = Self::load(server, &mut folder);
        let is_new = folder.manifest.live().next().is_none();
        *self.folder.lock() = folder;
        loaded?;
        if is_new {
            let job = self.job(server, &Arc::default());
            job.write_base(&mut |_| {})?;
            job.take_base(None)?;
        }
        if *server.shutdown_signal().borrow() {
            // Nobody would end the writer.
            return Err(LoadError::Stopped { path: self.folder.lock().shown() }.into());
        }
        let (file, len, total) = {
            let mut folder = self.folder.lock();
            let (_, file, len) = folder.open_last()?;
            (file, len, folder.total_bytes())
        };
        let shared = Arc::new(Shared::default());
        shared.counts.store(true, Ordering::Release);
        shared.file_bytes.store(len, Ordering::Relaxed);
        shared.other_bytes.store(total.saturating_sub(len), Ordering::Relaxed);
        let alone = server.be_alone();
        let writer = self.begin_writer(server, shared, file, len)?;
        let mut state = self.state.lock();
        (state.base_bytes, state.wanted, state.writer) = (total, true, Some(writer));
        drop(state);
        drop(alone);
        Ok(())
    }

    /// Loads the files of a folder, and makes it one that can be written.
    fn load(server: &Server, folder: &mut Folder) -> Result<(), AofError> {
        folder.remove_leftovers();
        folder.open()?;
        let began = Instant::now();
        let cuts = server.config.flag(Directive::AofLoadTruncated);
        let loaded = on_large_stack(|| load::load(server, folder, cuts))??;
        if loaded.bytes > 0 {
            let (seconds, requests) = (began.elapsed().as_secs_f64(), loaded.requests);
            tracing::info!(requests, "DB loaded from append only file: {seconds:.3} seconds");
        }
        folder.make()?;
        folder.remove_history();
        Ok(())
    }

    /// Starts a writer with what is changed from here on. The caller is alone in the keyspace.
    fn begin_writer(
        &self,
        server: &Arc<Server>,
        shared: Arc<Shared>,
        file: Arc<dyn Output>,
        file_len: u64,
    ) -> io::Result<RunningWriter> {
        let (called, asked) = (Arc::clone(&shared), Arc::downgrade(server));
        let reader = server.journal().listen(move || {
            let is_quick = called.is_quick.load(Ordering::Acquire);
            if !is_quick || !asked.upgrade().is_some_and(|server| server.durability.ask_for_sync()) {
                called.wake();
            }
        });
        let begin = server.journal().begin_part();
        let (server, folder) = (Arc::clone(server), Arc::clone(&self.folder));
        let busy = Arc::clone(&self.busy);
        let writer = Writer::new(server, busy, Arc::clone(&shared), folder, reader, begin, file, file_len)?;
        // Before any change is made: the thread may take its time to begin, and no reply may go out
        // meanwhile.
        writer.publish();
        let desk = Arc::new(Desk::new(writer));
        *self.desk.lock() = Arc::downgrade(&desk);
        let thread = std::thread::Builder::new().name("kvarts-aof".into()).spawn(move || desk.run())?;
        Ok(RunningWriter { shared, thread })
    }

    fn job(&self, server: &Arc<Server>, cancelled: &Arc<AtomicBool>) -> Job {
        Job {
            server: Arc::clone(server),
            folder: Arc::clone(&self.folder),
            is_rdb: server.config.flag(Directive::AofUseRdbPreamble),
            syncs_bit_by_bit: server.config.flag(Directive::AofRewriteIncrementalFsync),
            cancelled: Arc::clone(cancelled),
            waits: Arc::default(),
        }
    }

    /// Starts a job in the background: a rewrite, or where the file is wanted and not there its beginning.
    fn begin_rewrite(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let Some(server) = self.server.upgrade() else { return Ok(()) };
        if state.loads {
            return Err(io::Error::other("the files are being loaded"));
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        let job = self.job(&server, &cancelled);
        let waits = Arc::clone(&job.waits);
        waits.store(snapshot::is_in_the_way(&server), Ordering::Release);
        let shared = state.writer.as_ref().map(|writer| Arc::clone(&writer.shared));
        if shared.as_ref().is_some_and(|shared| shared.is_gone.load(Ordering::Acquire)) {
            // Perhaps with its folder, and the lock in it.
            state.lock = None;
            state.lock = Some(take_lock(&server).map_err(io::Error::other)?);
            self.folder.lock().make()?;
        }
        let (wanted, ending) = (state.wanted, state.ending.take());
        let aof = Arc::clone(self);
        state.rewrites += 1;
        if !state.fails_on() {
            tracing::info!("Background append only file rewriting started");
        }
        let thread = std::thread::Builder::new().name("kvarts-rewrite".into()).spawn(move || {
            if let Some(ending) = ending {
                drop(ending.join());
            }
            let result = match &shared {
                Some(shared) => {
                    shared.rewrites.store(true, Ordering::Relaxed);
                    let result = job.beside_writer(shared);
                    shared.rewrites.store(false, Ordering::Relaxed);
                    result
                }
                None if wanted => aof.begin(&job),
                None => job.by_itself(),
            };
            aof.rewrite_ended(result);
        })?;
        state.rewrite =
            Some(RunningRewrite { began: Instant::now(), cancelled, waits, thread: Some(thread) });
        Ok(())
    }

    /// Begins the file while the server runs: a base with all data, and a first file with what is changed
    /// from there on. The manifest names them when both are there.
    fn begin(&self, job: &Job) -> io::Result<()> {
        let (part, file) = {
            let mut folder = self.folder.lock();
            folder.make()?;
            folder.begin_incremental(false)?
        };
        let mut begun = None;
        let written = job.write_base(&mut |_| {
            begun = Some(self.begin_writer(&job.server, Arc::default(), Arc::clone(&file), 0));
        });
        let writer = match begun {
            Some(Ok(writer)) => writer,
            Some(Err(error)) => return Err(error),
            None => return written,
        };
        let taken = written.and_then(|()| job.take_base(Some(&part)));
        let mut state = self.state.lock();
        if taken.is_ok() && state.wanted && !job.cancelled.load(Ordering::Acquire) {
            let shared = Arc::clone(&writer.shared);
            shared.counts.store(true, Ordering::Release);
            state.writer = Some(writer);
            drop(state);
            // From here on it holds what is acknowledged; it is called begun when it holds what was.
            self.wait_for_begin(&job.server, &shared);
            return Ok(());
        }
        writer.shared.stop.store(true, Ordering::Release);
        writer.shared.wake();
        state.ending = Some(writer.thread);
        if taken.is_err() {
            tracing::info!("Removing the temp incr aof file");
            self.folder.lock().remove_temporary(Some(&part));
        }
        taken
    }

    /// Waits until what was changed up to now is in the file, as safe as `appendfsync` asks for. No longer
    /// than the file is wanted, or the disk works.
    fn wait_for_begin(&self, server: &Server, shared: &Shared) {
        let end = server.journal().end();
        let is_there = || {
            let is_written = shared.written.load(Ordering::Acquire) >= end;
            is_written && (!shared.holds_replies(server) || server.durability.is_synced(end))
        };
        while !is_there() && self.state.lock().wanted && !server.durability.refuses_writes() {
            shared.wake();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn rewrite_ended(self: &Arc<Self>, result: io::Result<()>) {
        // Before others wait: the writer may have it for as long as a sync takes.
        let total = self.folder.lock().total_bytes();
        let mut state = self.state.lock();
        let Some(rewrite) = state.rewrite.take() else { return };
        (state.last_rewrite, state.last_end) = (Some(rewrite.began.elapsed()), Some(Instant::now()));
        let was_cancelled = rewrite.cancelled.load(Ordering::Acquire);
        match result {
            Ok(()) => {
                (state.rewrite_failed, state.failures) = (false, 0);
                state.base_bytes = total;
                if let Some(writer) = &state.writer {
                    let shared = &writer.shared;
                    let other = total.saturating_sub(shared.file_bytes.load(Ordering::Relaxed));
                    shared.other_bytes.store(other, Ordering::Relaxed);
                    shared.needs_rewrite.store(false, Ordering::Release);
                    shared.is_gone.store(false, Ordering::Release);
                    shared.wake();
                }
                tracing::info!("Background AOF rewrite finished successfully");
            }
            Err(error) => {
                self.folder.lock().remove_temporary(None);
                if was_cancelled {
                    tracing::info!("AOF rewrite was cancelled");
                } else {
                    state.failures += 1;
                    if !state.fails_on() {
                        let folder = self.folder.lock().shown();
                        tracing::error!(%error, folder, "Background AOF rewrite failed");
                    }
                }
                state.rewrite_failed = !was_cancelled;
            }
        }
        if std::mem::take(&mut state.rewrites_again)
            && let Err(error) = self.begin_rewrite(&mut state)
        {
            tracing::error!(%error, "cannot rewrite the AOF");
        }
    }

    /// Looks whether the file is to be rewritten; called several times a second.
    pub fn look(self: &Arc<Self>) {
        let Some(server) = self.server.upgrade() else { return };
        let mut state = self.state.lock();
        if state.rewrite.is_some() || !state.wanted {
            return;
        }
        if state.last_end.is_some_and(|last_end| last_end.elapsed() < state.pause()) {
            return;
        }
        let is_due = match &state.writer {
            None => true,
            Some(writer) => {
                writer.shared.needs_rewrite.load(Ordering::Acquire)
                    || has_grown(&server, state.base_bytes, writer.shared.total_bytes())
            }
        };
        if is_due {
            self.begin_due_rewrite(&mut state);
        }
    }

    /// Begins a rewrite that is due. What is in the way may stay so for long and is tried several times a second: it is
    /// told once a minute.
    fn begin_due_rewrite(self: &Arc<Self>, state: &mut State) {
        const TOLD_EACH: Duration = Duration::from_secs(60);
        match self.begin_rewrite(state) {
            Ok(()) => state.told_at = None,
            Err(error) => {
                state.rewrite_failed |= !state.loads;
                if state.told_at.is_none_or(|at| at.elapsed() >= TOLD_EACH) {
                    state.told_at = Some(Instant::now());
                    tracing::error!(%error, "cannot rewrite the AOF");
                }
            }
        }
    }

    /// Ends all: what is changed is written and synced. To be called when no more commands run.
    pub fn finish(&self) {
        let mut state = self.state.lock();
        (state.wanted, state.rewrites_again) = (false, false);
        let rewrite = state.rewrite.as_mut().and_then(|rewrite| {
            rewrite.cancelled.store(true, Ordering::Release);
            rewrite.thread.take()
        });
        let writer = state.writer.take();
        let ending = state.ending.take();
        if let Some(writer) = &writer {
            writer.shared.stop.store(true, Ordering::Release);
            writer.shared.wake();
        }
        drop(state);
        let threads = rewrite.into_iter().chain(writer.map(|writer| writer.thread)).chain(ending);
        threads.for_each(|thread| drop(thread.join()));
        let mut state = self.state.lock();
        if let Some(ending) = state.ending.take() {
            drop(state);
            drop(ending.join());
            state = self.state.lock();
        }
        state.lock = None;
    }

    /// Does the work of DEBUG LOADAOF while clients hear LOADING.
    fn reload_files(&self, server: &Server, reading: &ReadingAgain<'_>) -> Result<bool, String> {
        let (shared, wanted) = {
            let state = self.state.lock();
            (state.writer.as_ref().map(|writer| Arc::clone(&writer.shared)), state.wanted)
        };
        match shared {
            Some(shared) => wait_for_writer(server, &shared)?,
            // It was switched on, and the files that are there are those of before.
            None if wanted => return Ok(false),
            // Off, but a rewrite may have left files, now or long ago.
            None => self.folder.lock().open().map_err(|error| error.to_string())?,
        }
        // Not locked meanwhile: CONFIG SET, within the keyspace, may wait for who waits for it.
        let folder = self.folder.lock().clone();
        if folder.manifest.live().next().is_none() {
            return Ok(false);
        }
        folder.check().map_err(|error| error.to_string())?;
        reading.take_apart();
        let loaded = on_large_stack(|| load::reload(server, &folder));
        drop(folder);
        self.folder.lock().remove_history();
        loaded.map_err(|error| error.to_string())?.map(|_| true).map_err(|error| error.to_string())
    }
}

/// What [`AppendOnly`] asks of an [`AppendOnlyFile`] that is shared.
impl AppendOnly for AppendOnlyFile {
    fn rewrite(self: Arc<Self>) -> Result<&'static str, CommandError> {
        let mut state = self.state.lock();
        if state.rewrite.as_ref().is_some_and(|rewrite| rewrite.cancelled.load(Ordering::Acquire)) {
            state.rewrites_again = true;
            return Ok("Background append only file rewriting scheduled");
        }
        if state.rewrite.is_some() {
            return Err(CommandError::text("ERR Background append only file rewriting already in progress"));
        }
        self.begin_rewrite(&mut state).map_err(|error| {
            tracing::error!(%error, "cannot rewrite the AOF");
            CommandError::text("ERR Can't execute an AOF background rewriting. Please check the server logs for more information.")
        })?;
        let waits = state.rewrite.as_ref().is_some_and(RunningRewrite::waits);
        Ok(if waits {
            "Background append only file rewriting scheduled"
        } else {
            "Background append only file rewriting started"
        })
    }

    fn switch(self: Arc<Self>, on: bool) -> Result<(), String> {
        let mut state = self.state.lock();
        if state.loads {
            return Err("The append-only file is being loaded".to_owned());
        }
        if state.wanted == on {
            return Ok(());
        }
        if !on {
            state.wanted = false;
            if let Some(rewrite) = &state.rewrite {
                // In the words that tools look for.
                tracing::info!("Killing AOF child: the rewrite is given up");
                rewrite.cancelled.store(true, Ordering::Release);
            }
            if let Some(writer) = state.writer.take() {
                writer.shared.stop.store(true, Ordering::Release);
                writer.shared.wake();
                state.ending = Some(writer.thread);
            }
            return Ok(());
        }
        let failed = |error: String| {
            tracing::error!(error, "cannot turn on the AOF");
            "Unable to turn on AOF. Check server logs.".to_owned()
        };
        let server = self.server.upgrade().ok_or("the server ends")?;
        if state.lock.is_none() {
            state.lock = Some(take_lock(&server).map_err(|error| failed(error.to_string()))?);
        }
        {
            let mut folder = self.folder.lock();
            folder.open().map_err(|error| failed(error.to_string()))?;
            folder.make().map_err(|error| failed(error.to_string()))?;
        }
        state.wanted = true;
        state.failures = 0;
        if state.rewrite.is_some() {
            // The file is begun when that has ended.
            return Ok(());
        }
        self.begin_rewrite(&mut state).map_err(|error| failed(error.to_string()))
    }

    fn give_up_rewrite(&self) {
        /// Pause between two looks whether it has ended.
        const LOOK: Duration = Duration::from_millis(1);
        loop {
            {
                let mut state = self.state.lock();
                state.rewrites_again = false;
                let Some(rewrite) = &state.rewrite else { return };
                rewrite.cancelled.store(true, Ordering::Release);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn sync_if_quick(&self) {
        let desk = self.desk.lock().upgrade();
        if let Some(desk) = desk {
            desk.step_on_worker();
        }
    }

    fn settings_changed(&self) {
        let state = self.state.lock();
        if let (Some(writer), Some(server)) = (&state.writer, self.server.upgrade()) {
            // From this command's reply on it holds: the writer itself may be in the midst of a sync.
            server.durability.hold(|| writer.shared.holds_replies(&server));
            writer.shared.wake();
        }
        if let Some(server) = self.server.upgrade() {
            let keeps = server.config.flag(Directive::AofDisableAutoGc);
            self.keeps_history.store(keeps, Ordering::Relaxed);
        }
    }

    fn reload(&self) -> Result<bool, String> {
        let server = self.server.upgrade().ok_or("the server ends")?;
        let reading = server.read_again().ok_or("data are being loaded")?;
        self.reload_files(&server, &reading)
    }

    fn data_were_replaced(&self) {
        let mut state = self.state.lock();
        // One that has begun before would have the data of before.
        state.rewrites_again |= state.rewrite.is_some();
        if let Some(writer) = &state.writer {
            writer.shared.needs_rewrite.store(true, Ordering::Release);
        }
    }

    fn figures(&self) -> Figures {
        let state = self.state.lock();
        let mut figures = Figures {
            enabled: state.wanted || state.loads,
            is_partial: state.wanted && state.writer.is_none() && state.rewrite.is_some(),
            rewrites: state.rewrite.as_ref().is_some_and(|rewrite| !rewrite.waits()),
            scheduled: state.rewrite.as_ref().is_some_and(RunningRewrite::waits)
                || state.wanted && state.writer.is_none() && state.rewrite.is_none(),
            last_rewrite_s: state.last_rewrite.map(|took| took.as_secs()),
            current_rewrite_s: state.rewrite.as_ref().map(|rewrite| rewrite.began.elapsed().as_secs()),
            rewrite_failed: state.rewrite_failed,
            rewrite_count: state.rewrites,
            failures: state.failures,
            base_bytes: state.base_bytes,
            ..Figures::default()
        };
        if let Some(writer) = &state.writer {
            let shared = &writer.shared;
            let end = self.server.upgrade().map_or(0, |server| {
                figures.write_failed = server.durability.refuses_writes();
                server.journal().end()
            });
            figures.is_gone = shared.is_gone.load(Ordering::Acquire);
            figures.current_bytes = shared.total_bytes();
            figures.unwritten_bytes = end.saturating_sub(shared.written.load(Ordering::Acquire));
            figures.syncs = shared.syncs.load(Ordering::Relaxed);
            figures.delayed_syncs = shared.delayed_syncs.load(Ordering::Relaxed);
        }
        figures
    }
}

/// Waits until the writer has written all changes.
fn wait_for_writer(server: &Server, shared: &Shared) -> Result<(), String> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let (end, began) = (server.journal().end(), Instant::now());
    while shared.written.load(Ordering::Acquire) < end {
        if began.elapsed() > PATIENCE {
            return Err("the append-only file cannot be written".to_owned());
        }
        shared.wake();
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn take_lock(server: &Server) -> Result<FolderLock, FolderError> {
    let config = &server.config;
    let folder = Path::new(&*config.text(Directive::Dir)).join(&*config.text(Directive::Appenddirname));
    FolderLock::take(&folder, &config.text(Directive::Appendfilename))
}

/// Whether the files have grown by as much as `auto-aof-rewrite-percentage` says.
fn has_grown(server: &Server, base_bytes: u64, bytes: u64) -> bool {
    let percent = server.config.int(Directive::AutoAofRewritePercentage).max(0) as u64;
    let min = server.config.unsigned(Directive::AutoAofRewriteMinSize);
    if percent == 0 || bytes <= min {
        return false;
    }
    let base = base_bytes.max(1);
    let growth = u128::from(bytes).saturating_mul(100) / u128::from(base);
    growth >= u128::from(percent) + 100
}

/// Runs `work` on a thread with a stack for scripts, and waits for it.
fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("kvarts-load".into()).stack_size(STACK);
        thread.spawn_scoped(scope, work)?.join().map_err(|_| io::Error::other("loading has panicked"))
    })
}
