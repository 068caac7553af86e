//! [`Saver`]: writes snapshots into the file that `dbfilename` names: when asked, at save points, and before
//! the end.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use thiserror::Error;

use super::background::{give_way, sync_each};
use super::files::{Files, GradualOutput, Output, remove_leftovers};
use super::lock::{FolderError, FolderLock};
use super::rdb::load::Purpose;
use super::{aof, rdb};
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::reading_again::ReadingAgain;
use crate::engine::saving::{Background, EndError, SaveFigures, Saving};
use crate::error::CommandError;
use crate::keyspace::evict::Worth;
use crate::keyspace::snapshot::{Failure, Snapshot};
use crate::lua::functions::Library;
use crate::rdb::file::{FileVersion, FileWriter, WriteError, WriteOptions};
use crate::replication::StreamPlace;
use crate::shared::pause::{FOR_EVER_MS, Purpose as PausedFor, Scope};

/// How the name of a snapshot begins and ends while it is written; between them stands the process's id.
const TEMPORARY_BEGIN: &str = "temp-";
const TEMPORARY_END: &str = ".rdb";

/// Bytes that are gathered before they are written.
const CHUNK: usize = 256 << 10;

/// Bytes after which a snapshot is synced while it is written (`rdb-save-incremental-fsync`).
const SYNC_EACH: u64 = 32 << 20;

/// Seconds after a snapshot that failed before a save point asks for the next one (Redis's figure).
const RETRY_S: u64 = 5;

/// Why a snapshot was not written.
#[derive(Debug, Error)]
pub enum SaveError {
    /// Another one is being read.
    #[error("another snapshot is being written")]
    Busy,
    /// It was given up on request.
    #[error("it was cancelled")]
    Cancelled,
    /// It could not be read to its end.
    #[error(transparent)]
    Snapshot(#[from] Failure),
    /// The data do not fit the version asked for.
    #[error(transparent)]
    Version(#[from] WriteError),
    /// The disk refuses.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// Writes snapshots, one at a time.
pub struct Saver {
    server: Weak<Server>,
    files: Arc<dyn Files>,
    state: Mutex<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Keeps other servers from writing the same file.
    lock: Mutex<Option<FolderLock>>,
    cancel: AtomicBool,
    keys_done: AtomicU64,
    keys_total: AtomicU64,
    /// Told when the last snapshot before the end is written, or given up.
    last_ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// When the present one began, in milliseconds of Unix time.
    began_ms: Option<u64>,
    in_background: bool,
    scheduled: bool,
    /// Whether the present one is the last before the end.
    is_last: bool,
    /// Whether that one was given up, perhaps before it began.
    last_given_up: bool,
    /// How the last one before the end went; `None` before the first attempt.
    last_outcome: Option<Result<(), EndError>>,
    last_save_s: u64,
    last_try_s: u64,
    failed: bool,
    last_took_s: Option<u64>,
    saves: u64,
    /// The server's count of changes at the instant of the last snapshot.
    changes_saved: u64,
}

/// A snapshot that was begun, with what is not in the keyspace.
pub(super) struct Begun<'s> {
    pub(super) snapshot: Snapshot<'s>,
    pub(super) libraries: Vec<Arc<Library>>,
    changes: u64,
    /// The place in the stream that goes on here; `None` where none is written.
    stream: Option<StreamPlace>,
    /// Whether the data may differ from what the stream says up to there: a copy for a replica names the place
    /// all the same, a file does not.
    is_in_doubt: bool,
}

impl Saver {
    /// Makes it for a server that started just now, and removes the snapshots that processes which are gone
    /// have not finished.
    pub fn new(server: &Arc<Server>, files: Arc<dyn Files>) -> Arc<Self> {
        if let Some(folder) = file_of(server).parent() {
            remove_leftovers(&*files, folder, TEMPORARY_BEGIN, TEMPORARY_END);
        }
        let state = State { last_save_s: server.clock.now_ms() / 1000, ..State::default() };
        Arc::new(Self {
            server: Arc::downgrade(server),
            files,
            state: Mutex::new(state),
            thread: Mutex::new(None),
            lock: Mutex::new(None),
            cancel: AtomicBool::new(false),
            keys_done: AtomicU64::new(0),
            keys_total: AtomicU64::new(0),
            last_ended: Condvar::new(),
        })
    }

    /// Takes the file of snapshots for this server alone, where there are save points. A folder that cannot
    /// be written is told in the log: the data can be read all the same.
    ///
    /// # Errors
    /// Another server has the file.
    pub fn lock(&self) -> Result<(), FolderError> {
        let Some(server) = self.server.upgrade() else { return Ok(()) };
        if server.config.save_points().is_empty() {
            return Ok(());
        }
        let place = file_of(&server);
        let folder = place.parent().unwrap_or(Path::new("."));
        match FolderLock::take(folder, &server.config.text(Directive::Dbfilename)) {
            Ok(lock) => *self.lock.lock() = Some(lock),
            Err(error @ FolderError::InUse { .. }) => return Err(error),
            Err(error) => tracing::warn!(
                "{error}: no snapshot can be written, and writes will be refused after the first that fails. Set dir to a folder that can be written, or save to nothing"
            ),
        }
        Ok(())
    }

    /// Gives up what is being written, and waits for the thread that does.
    pub fn stop(&self) {
        self.cancel.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // Its panics were reported by the panic hook.
            drop(thread.join());
        }
    }

    /// Lets other servers have the file.
    pub fn finish(&self) {
        *self.lock.lock() = None;
    }

    /// Takes the right to write a snapshot.
    fn begin(&self, server: &Server, in_background: bool) -> Result<(), SaveError> {
        let mut state = self.state.lock();
        if state.began_ms.is_some() {
            return Err(SaveError::Busy);
        }
        let now_ms = server.clock.now_ms();
        (state.began_ms, state.in_background, state.last_try_s) =
            (Some(now_ms), in_background, now_ms / 1000);
        self.cancel.store(state.is_last && state.last_given_up, Ordering::Relaxed);
        self.keys_done.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Writes a snapshot for which [`begin`](Self::begin) took the right, and notes how it went. `at_begin`
    /// is called when its instant has passed, or is far.
    fn run(&self, server: &Server, at_begin: &mut dyn FnMut()) -> Result<(), SaveError> {
        let began = Instant::now();
        let result = self.write_file(server, at_begin);
        let seconds = began.elapsed().as_secs_f64();
        let mut state = self.state.lock();
        let now_ms = server.clock.now_ms();
        let took_s = state.began_ms.take().map(|began_ms| now_ms.saturating_sub(began_ms) / 1000);
        let in_background = std::mem::take(&mut state.in_background);
        match &result {
            Ok(changes) => {
                (state.last_save_s, state.changes_saved, state.failed) = (now_ms / 1000, *changes, false);
                state.saves += 1;
                let keys = self.keys_done.load(Ordering::Relaxed);
                tracing::info!("DB saved on disk: {keys} keys in {seconds:.3} seconds");
            }
            Err(SaveError::Cancelled) => tracing::info!("the snapshot was given up: it was cancelled"),
            Err(error) => {
                let place = file_of(server);
                let place = std::path::absolute(&place).unwrap_or(place);
                let (folder, file) =
                    (place.parent().unwrap_or(&place), place.file_name().unwrap_or_default());
                tracing::error!(%error, file = %file.display(), folder = %folder.display(), "the snapshot could not be written");
                state.failed |= in_background;
            }
        }
        if in_background {
            state.last_took_s = took_s;
        }
        server.snapshot_failed.store(state.failed, Ordering::Relaxed);
        result.map(drop)
    }

    /// Removes the file of a snapshot that is not whole, as the process ends.
    pub fn remove_unfinished(&self) {
        if let Some(server) = self.server.upgrade() {
            drop(self.files.remove(&temporary_of(&file_of(&server)).1));
        }
    }

    /// Writes a snapshot beside its place and gives it its name. Returns the server's count of changes at its
    /// instant.
    fn write_file(&self, server: &Server, at_begin: &mut dyn FnMut()) -> Result<u64, SaveError> {
        let place = file_of(server);
        let (folder, temporary) = temporary_of(&place);
        let written = self.files.create(&temporary).map_err(SaveError::from).and_then(|file| {
            let changes = self.write_into(server, &*file, at_begin)?;
            file.sync()?;
            self.files.rename(&temporary, &place)?;
            self.files.sync_folder(&folder)?;
            Ok(changes)
        });
        if written.is_err() {
            // What is half written is of no use, and may be why the disk is full.
            drop(self.files.remove(&temporary));
        }
        written
    }

    fn write_into(
        &self,
        server: &Server,
        file: &dyn Output,
        at_begin: &mut dyn FnMut(),
    ) -> Result<u64, SaveError> {
        let is_cancelled = || self.cancel.load(Ordering::Relaxed);
        let gives_up = || is_cancelled() || *server.shutdown_signal().borrow();
        let begun = loop {
            if let Some(begun) = begin_snapshot(server, &gives_up, &mut |_| ()) {
                break begun;
            }
            // A rewrite of the append-only file ends first: one snapshot at a time is read.
            at_begin();
            if gives_up() {
                return Err(if is_cancelled() { SaveError::Cancelled } else { SaveError::Busy });
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        self.keys_total.store(begun.snapshot.key_count() as u64, Ordering::Relaxed);
        at_begin();
        let changes = begun.changes;
        let incremental = server.config.flag(Directive::RdbSaveIncrementalFsync);
        let sync_each = incremental.then(|| sync_each(&server.config, SYNC_EACH));
        let mut out = GradualOutput::new(file, sync_each);
        let mut write = |bytes: &[u8]| out.write_all(bytes);
        write_snapshot(server, begun, false, &mut write, &mut |keys| {
            self.keys_done.store(keys, Ordering::Relaxed);
            if self.cancel.load(Ordering::Relaxed) { Err(SaveError::Cancelled) } else { Ok(()) }
        })?;
        Ok(changes)
    }

    /// Writes the last snapshot before the end.
    fn save_last(&self, server: &Server) -> Result<(), EndError> {
        // What is being written, on its own thread or for a client's SAVE, would be out of date.
        self.stop();
        if let Some(append_only) = server.append_only() {
            append_only.give_up_rewrite();
        }
        while self.state.lock().began_ms.is_some() || server.keyspace.handover.is_running() {
            std::thread::sleep(Duration::from_millis(1));
        }
        tracing::info!("Saving the final RDB snapshot before exiting.");
        // Nothing changes any more, or it would be lost.
        let now_ms = server.clock.now_ms();
        server.pause.start(PausedFor::Shutdown, Scope::Write, FOR_EVER_MS, now_ms);
        let saved = self.begin(server, false).and_then(|()| self.run(server, &mut || ()));
        if saved.is_err() {
            server.end_pause(PausedFor::Shutdown);
        }
        saved.map_err(|error| match error {
            SaveError::Cancelled => EndError::Aborted,
            error => EndError::NotSaved(error.to_string()),
        })
    }

    /// Writes a snapshot after all data were removed, behind the one that was given up. Returns whether it
    /// could; not beside a rewrite of the append-only file, which may take long.
    fn save_empty(&self, server: &Server) -> bool {
        loop {
            match self.begin(server, false) {
                Ok(()) => break,
                Err(SaveError::Busy) if !self.state.lock().in_background => return false,
                Err(SaveError::Busy) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => return false,
            }
        }
        if server.keyspace.handover.is_running() {
            self.state.lock().began_ms = None;
            return false;
        }
        self.run(server, &mut || ()).is_ok()
    }

    /// Does the work of DEBUG RELOAD while clients hear LOADING.
    fn reload_file(
        self: &Arc<Self>,
        server: &Server,
        reading: &ReadingAgain<'_>,
        save: bool,
        empty: bool,
    ) -> Result<(), String> {
        if save {
            self.save().map_err(|error| error.to_string())?;
        }
        let purpose = match (empty, save) {
            (true, true) => Purpose::Again,
            (true, false) => Purpose::Data,
            (false, _) => Purpose::Addition,
        };
        let place = file_of(server);
        // Before the data go.
        rdb::load::check_header(server, &*self.files, &place).map_err(|error| error.to_string())?;
        reading.take_apart();
        if empty {
            aof::load::empty(server).map_err(|error| error.to_string())?;
        }
        rdb::load_data(server, &*self.files, &place, purpose).map_err(|error| error.to_string())?;
        if !(save && empty)
            && let Some(append_only) = server.append_only()
        {
            append_only.data_were_replaced();
        }
        Ok(())
    }

    /// Starts the thread that writes a snapshot in the background. The channel returned ends when the
    /// snapshot's instant has passed, or is far, or there is none.
    fn spawn(self: &Arc<Self>, server: &Arc<Server>) -> Result<Receiver<()>, SaveError> {
        self.begin(server, true)?;
        let mut thread = self.thread.lock();
        if let Some(before) = thread.take() {
            // It has ended, as the right to write was free.
            drop(before.join());
        }
        let (saver, server) = (Arc::clone(self), Arc::clone(server));
        let (begins, begun) = channel();
        let spawned = std::thread::Builder::new().name("kvarts-save".into()).spawn(move || {
            let mut begins = Some(begins);
            let mut has_begun = || {
                if begins.take().is_some() {
                    give_way();
                }
            };
            // How it went was noted and logged.
            drop(saver.run(&server, &mut has_begun));
        });
        match spawned {
            Ok(handle) => *thread = Some(handle),
            Err(error) => {
                drop(thread);
                let mut state = self.state.lock();
                (state.began_ms, state.failed) = (None, true);
                return Err(error.into());
            }
        }
        Ok(begun)
    }
}

/// The folder of a snapshot's file, and the file in it that is written first.
fn temporary_of(place: &Path) -> (PathBuf, PathBuf) {
    let folder = place.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let temporary = folder.join(format!("{TEMPORARY_BEGIN}{}{TEMPORARY_END}", std::process::id()));
    (folder, temporary)
}

/// The file of snapshots.
pub fn file_of(server: &Server) -> PathBuf {
    let folder = server.config.path(Directive::Dir).unwrap_or_else(|| PathBuf::from("."));
    folder.join(&*server.config.text(Directive::Dbfilename))
}

/// Begins a snapshot; `None` where one is being read, or `give_up` says so while it waits. `at_begin` is
/// called at its instant with the server.
pub(super) fn begin_snapshot<'s>(
    server: &'s Server,
    give_up: &dyn Fn() -> bool,
    at_begin: &mut dyn FnMut(&Server),
) -> Option<Begun<'s>> {
    let (mut libraries, mut changes, mut stream, mut is_in_doubt) = (Vec::new(), 0, None, false);
    let snapshot = server.begin_snapshot(give_up, || {
        libraries = server.scripting.libraries.all();
        changes = server.change_count();
        at_begin(server);
        stream = server.stream_place();
        is_in_doubt = server.following.standing.is_in_doubt();
    })?;
    Some(Begun { snapshot, libraries, changes, stream, is_in_doubt })
}

/// What a snapshot is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) version: FileVersion,
    /// Whether it is the base of an append-only file.
    pub(super) aof_base: bool,
    /// Whether it holds keys, not only libraries of functions.
    pub(super) has_keys: bool,
}

/// The version in which a snapshot is written where nobody asks for another (`rdb-version`).
pub(super) fn default_version(server: &Server, snapshot: &Snapshot<'_>, aof_base: bool) -> FileVersion {
    match server.config.word(Directive::RdbVersion) {
        // The append-only file is this server's own, and must hold all of its data.
        "11" if !aof_base => FileVersion::Redis11,
        "80" => FileVersion::Valkey80,
        _ if snapshot.has_field_ends() => FileVersion::Valkey80,
        _ => FileVersion::Redis11,
    }
}

/// Writes a snapshot as the bytes of an RDB file in the default version. `progress` is told how many keys
/// were written, and may end it.
pub(super) fn write_snapshot(
    server: &Server,
    begun: Begun<'_>,
    aof_base: bool,
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    progress: &mut dyn FnMut(u64) -> Result<(), SaveError>,
) -> Result<(), SaveError> {
    let version = default_version(server, &begun.snapshot, aof_base);
    let begun = Begun { stream: begun.stream.filter(|_| !begun.is_in_doubt), ..begun };
    write_as(server, begun, Form { version, aof_base, has_keys: true }, write, progress)
}

/// Does what [`write_snapshot`] does, in any form.
pub(super) fn write_as(
    server: &Server,
    begun: Begun<'_>,
    form: Form,
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    progress: &mut dyn FnMut(u64) -> Result<(), SaveError>,
) -> Result<(), SaveError> {
    let Begun { mut snapshot, libraries, stream, .. } = begun;
    let now_ms = server.clock.now_ms();
    let options = WriteOptions {
        version: form.version,
        compress: server.config.flag(Directive::Rdbcompression),
        checksum: server.config.flag(Directive::Rdbchecksum),
        access: uses_access_clock(server).then(|| server.settings.access_clock(now_ms)),
    };
    let mut fields = vec![
        ("redis-ver", crate::REDIS_VERSION.to_owned()),
        ("kvarts-ver", crate::VERSION.to_owned()),
        ("redis-bits", "64".to_owned()),
        ("ctime", (now_ms / 1000).to_string()),
        ("used-mem", server.used_memory().to_string()),
    ];
    if let (Some(place), false) = (stream, form.aof_base) {
        let StreamPlace { id, offset, database } = place;
        let numbers = [("repl-stream-db", database.to_string()), ("repl-offset", offset.to_string())];
        fields.extend(numbers);
        fields.push(("repl-id", id));
    }
    fields.push(("aof-base", u8::from(form.aof_base).to_string()));
    let mut writer = FileWriter::new(options, &fields);
    libraries.iter().for_each(|library| writer.library(&library.source));
    loop {
        let keys = writer.keys();
        let more = form.has_keys && snapshot.next(&mut writer)?;
        if writer.pending() >= CHUNK {
            writer.drain(&mut *write)?;
        }
        progress(writer.keys())?;
        pause_for_tests(server, writer.keys() - keys);
        if !more {
            break;
        }
    }
    writer.finish()?;
    writer.drain(write)?;
    Ok(())
}

/// Whether the eviction policy ranks keys by their use.
fn uses_access_clock(server: &Server) -> bool {
    let policy = server.settings.eviction().policy;
    policy.is_some_and(|policy| matches!(policy.worth, Worth::Lru | Worth::Lfu | Worth::Lrm))
}

/// Sleeps for each key as `rdb-key-save-delay` says.
pub(super) fn pause_for_tests(server: &Server, keys: u64) {
    let delay_us = server.config.int(Directive::RdbKeySaveDelay);
    if let (Ok(delay_us @ 1..), 1..) = (u64::try_from(delay_us), keys) {
        std::thread::sleep(Duration::from_micros(delay_us.saturating_mul(keys)).min(Duration::from_secs(1)));
    }
}

const IN_PROGRESS: CommandError = CommandError::text("ERR Background save already in progress");

impl Saving for Arc<Saver> {
    fn save(&self) -> Result<(), CommandError> {
        let Some(server) = self.server.upgrade() else { return Err(CommandError::text("ERR")) };
        self.begin(&server, false).map_err(|_| IN_PROGRESS)?;
        self.run(&server, &mut || ()).map_err(|_| CommandError::text("ERR"))
    }

    fn save_in_background(&self, how: Background) -> Result<&'static str, CommandError> {
        let Some(server) = self.server.upgrade() else { return Err(CommandError::text("ERR")) };
        if self.state.lock().began_ms.is_some() {
            return Err(IN_PROGRESS);
        }
        if how == Background::InTransaction {
            self.state.lock().scheduled = true;
            return Ok("Background saving scheduled");
        }
        if server.keyspace.handover.is_running() {
            if how != Background::Scheduled {
                return Err(CommandError::text(
                    "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.",
                ));
            }
            self.state.lock().scheduled = true;
            return Ok("Background saving scheduled");
        }
        let begun = self.spawn(&server).map_err(|error| match error {
            SaveError::Busy => IN_PROGRESS,
            _ => CommandError::text("ERR"),
        })?;
        // Nothing is ever sent: the channel ends.
        let _ended = begun.recv();
        Ok("Background saving started")
    }

    fn cancel(&self) -> Option<&'static str> {
        let mut state = self.state.lock();
        if state.began_ms.is_some() && state.in_background {
            self.cancel.store(true, Ordering::Relaxed);
            return Some("Background saving cancelled");
        }
        std::mem::take(&mut state.scheduled).then_some("Scheduled background saving cancelled")
    }

    fn flushed(&self, waits: bool) -> bool {
        let Some(server) = self.server.upgrade() else { return false };
        let saves = !server.config.save_points().is_empty();
        let state = self.state.lock();
        let is_writing = state.began_ms.is_some();
        if is_writing && state.in_background {
            self.cancel.store(true, Ordering::Relaxed);
        }
        if !saves {
            return false;
        }
        drop(state);
        if waits && self.save_empty(&server) {
            return true;
        }
        let mut state = self.state.lock();
        // A rewrite of the append-only file comes first, and so does what has to end before.
        state.scheduled = true;
        let is_in_the_way = is_writing || server.keyspace.handover.is_running();
        drop(state);
        if !is_in_the_way && self.spawn(&server).is_ok() {
            self.state.lock().scheduled = false;
        }
        false
    }

    fn look(&self) {
        let Some(server) = self.server.upgrade() else { return };
        let now_s = server.clock.now_ms() / 1000;
        let due = {
            let mut state = self.state.lock();
            if state.began_ms.is_some() || server.keyspace.handover.is_running() || server.loading.is_active()
            {
                return;
            }
            let changes = server.change_count().saturating_sub(state.changes_saved);
            let may_retry = !state.failed || now_s.saturating_sub(state.last_try_s) > RETRY_S;
            let point = server.config.save_points().into_iter().find(|point| {
                let waited_s = now_s.saturating_sub(state.last_save_s);
                changes >= point.changes.max(0) as u64 && waited_s > point.seconds.max(0) as u64 && may_retry
            });
            if let Some(point) = &point {
                tracing::info!("{} changes in {} seconds. Saving...", point.changes, point.seconds);
            }
            std::mem::take(&mut state.scheduled) || point.is_some()
        };
        if due && let Err(error) = self.spawn(&server) {
            tracing::error!(%error, "cannot begin a snapshot");
        }
    }

    fn save_before_end(&self, asked: Option<bool>) -> Result<(), EndError> {
        let Some(server) = self.server.upgrade() else { return Ok(()) };
        let wanted = asked.unwrap_or_else(|| !server.config.save_points().is_empty());
        // While data are being loaded the file has more of them than the keyspace.
        if !wanted || server.loading.is_active() {
            self.stop();
            return Ok(());
        }
        {
            let mut state = self.state.lock();
            if state.is_last {
                while state.is_last {
                    self.last_ended.wait(&mut state);
                }
                return state.last_outcome.clone().unwrap_or(Ok(()));
            }
            (state.is_last, state.last_given_up) = (true, false);
        }
        let outcome = self.save_last(&server);
        let mut state = self.state.lock();
        (state.is_last, state.last_outcome) = (false, Some(outcome.clone()));
        self.last_ended.notify_all();
        outcome
    }

    fn abort_end(&self) -> bool {
        let mut state = self.state.lock();
        if state.is_last {
            state.last_given_up = true;
            self.cancel.store(true, Ordering::Relaxed);
        }
        state.is_last
    }

    fn reload(&self, save: bool, empty: bool) -> Result<(), String> {
        let Some(server) = self.server.upgrade() else { return Ok(()) };
        let reading = server.read_again().ok_or("data are being loaded")?;
        self.reload_file(&server, &reading, save, empty)
    }

    fn figures(&self) -> SaveFigures {
        let state = self.state.lock();
        let server = self.server.upgrade();
        let now_ms = server.as_ref().map_or(0, |server| server.clock.now_ms());
        let in_progress = state.began_ms.is_some() && state.in_background;
        let keys = (self.keys_done.load(Ordering::Relaxed), self.keys_total.load(Ordering::Relaxed));
        SaveFigures {
            in_progress,
            is_last: state.is_last,
            last_save_s: state.last_save_s,
            failed: state.failed,
            last_took_s: state.last_took_s,
            current_s: state
                .began_ms
                .filter(|_| in_progress)
                .map(|began_ms| now_ms.saturating_sub(began_ms) / 1000),
            saves: state.saves,
            changes: server.map_or(0, |server| server.change_count().saturating_sub(state.changes_saved)),
            keys: if in_progress { keys } else { (0, 0) },
        }
    }
}
