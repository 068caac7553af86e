//! [`Backup`]: BACKUP's files. A base with the data of one instant, a file with what was changed from there
//! on until it was sealed, and a manifest: an append-only file of its own in `backupdirname`, which a server
//! starts from with that folder as its `appenddirname`.
//!
//! It is written from the journal beside the append-only file, whether that is on or not, and neither hinders
//! the other: rewriting goes on, and so does a backup when `appendonly` is switched off.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use parking_lot::Mutex;

use super::aof::snapshot;
use super::background::{give_way, sync_each};
use super::files::{Files, GradualOutput, Output};
use crate::aof::{Manifest, Part};
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::backup::{BackupStatus, Backups, Phase};
use crate::error::{CommandError, CommandResult, system_text};
use crate::journal::{Begin, Reader, Stretch};

/// Bytes of changes that may be unwritten. A backup that falls further behind is given up, as they are kept
/// in memory.
const UNWRITTEN_MAX: u64 = 256 << 20;

/// Bytes after which the base is synced while it is written.
const SYNC_EACH: u64 = 32 << 20;

/// Longest wait of BACKUP SEAL for the disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time after which the thread that follows the changes looks up by itself.
const LOOK: Duration = Duration::from_secs(1);

/// Backups of a server, one at a time.
pub struct Backup {
    server: Weak<Server>,
    files: Arc<dyn Files>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    status: BackupStatus,
    /// Files that do not change any more.
    pinned: Vec<PathBuf>,
    run: Option<Arc<Run>>,
    /// Whether BACKUP SEAL waits for the disk.
    seals: bool,
    /// Threads of runs, some of which have ended.
    threads: Vec<JoinHandle<()>>,
}

/// One backup while it is written.
struct Run {
    folder: PathBuf,
    base: Part,
    incremental: Part,
    manifest: String,
    cancelled: AtomicBool,
    seal: Mutex<Option<Seal>>,
    follower: Mutex<Option<Thread>>,
}

/// Where the changes are to end.
struct Seal {
    position: u64,
    done: Sender<()>,
}

impl Run {
    fn new(server: &Server) -> io::Result<Self> {
        let dir = std::path::absolute(&*server.config.text(Directive::Dir))?;
        let stem = server.config.text(Directive::Appendfilename);
        let names = Manifest::default();
        Ok(Self {
            folder: dir.join(&*server.config.text(Directive::Backupdirname)),
            base: names.next_base(&stem, true),
            incremental: names.next_incremental(&stem),
            manifest: format!("{}.manifest", &*stem),
            cancelled: AtomicBool::new(false),
            seal: Mutex::new(None),
            follower: Mutex::new(None),
        })
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = &*self.follower.lock() {
            thread.unpark();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn all_files(&self) -> Vec<PathBuf> {
        let names = [&*self.base.name, &*self.incremental.name, &*self.manifest];
        names.map(|name| self.path(name)).to_vec()
    }

    fn temporary_manifest(&self) -> PathBuf {
        self.path(&format!("temp-{}", self.manifest))
    }

    /// Removes what there is of it.
    fn remove(&self, files: &dyn Files) {
        // Some may not be there.
        self.all_files().iter().for_each(|file| drop(files.remove(file)));
        drop(files.remove(&self.temporary_manifest()));
    }
}

impl Backup {
    /// Backups of a server; none is begun.
    pub fn new(server: &Arc<Server>, files: Arc<dyn Files>) -> Arc<Self> {
        Arc::new(Self { server: Arc::downgrade(server), files, state: Mutex::default() })
    }

    /// Removes the files of a backup that a process which is gone has left.
    fn remove_leftovers(&self, server: &Server) {
        if let Ok(run) = Run::new(server)
            && !is_own_folder(server)
        {
            run.remove(&*self.files);
        }
    }

    /// Writes the base, and has what is changed meanwhile written behind it.
    fn write(self: &Arc<Self>, server: &Arc<Server>, run: &Arc<Run>) -> io::Result<()> {
        let incremental = self.files.create(&run.path(&run.incremental.name))?;
        let base = self.files.create(&run.path(&run.base.name))?;
        let mut begun = Ok(());
        let mut at_begin = |begin| {
            begun = self.begin(server, run, &incremental, begin);
            give_way();
        };
        let gradual = GradualOutput::new(&*base, Some(sync_each(&server.config, SYNC_EACH)));
        let mut out = BufWriter::with_capacity(256 << 10, gradual);
        let is_cancelled = || run.is_cancelled();
        snapshot::write(server, true, &mut at_begin, &is_cancelled, &mut out)?;
        begun?;
        out.flush()?;
        base.sync()?;
        self.files.sync_folder(&run.folder)
    }

    /// Has changes written from the instant of the snapshot on. The caller is alone in the keyspace.
    fn begin(
        self: &Arc<Self>,
        server: &Arc<Server>,
        run: &Arc<Run>,
        file: &Arc<dyn Output>,
        begin: Begin,
    ) -> io::Result<()> {
        let called = Arc::clone(run);
        let reader = server.journal().listen(move || called.wake());
        let (backup, server, run, file) =
            (Arc::clone(self), Arc::clone(server), Arc::clone(run), Arc::clone(file));
        let mut state = self.state.lock();
        if state.status.phase == Phase::Pending {
            state.status.phase = Phase::Snapshotting;
        }
        let spawned = std::thread::Builder::new().name("kvarts-backup-log".into()).spawn({
            let (server, reader) = (Arc::clone(&server), reader);
            move || {
                *run.follower.lock() = Some(std::thread::current());
                if let Err(error) = follow(&server, &run, &reader, &*file, begin) {
                    backup.fail(&run, &system_text(&error));
                }
                *run.follower.lock() = None;
                // BACKUP SEAL does not wait for what has failed.
                run.seal.lock().take();
                // Commands ask once whether anybody reads.
                let _alone = server.be_alone();
                server.journal().leave(&reader);
            }
        });
        state.threads.push(spawned?);
        Ok(())
    }

    /// Notes that a run has failed, unless it was given up before.
    fn fail(&self, run: &Arc<Run>, error: &str) {
        let mut state = self.state.lock();
        if state.run.as_ref().is_some_and(|current| Arc::ptr_eq(current, run)) && !run.is_cancelled() {
            tracing::error!(error, "the backup could not be written");
            state.give_up(&*self.files, error);
        }
    }

    /// The thread of a run: waits for the threads of those before, writes the base, and says so.
    fn run(self: &Arc<Self>, server: &Arc<Server>, run: &Arc<Run>, before: Vec<JoinHandle<()>>) {
        // What they panicked about was reported.
        before.into_iter().for_each(|thread| drop(thread.join()));
        match self.write(server, run) {
            Err(error) => self.fail(run, &system_text(&error)),
            Ok(()) => {
                let mut state = self.state.lock();
                if !run.is_cancelled() {
                    state.status.phase = Phase::Incrementing;
                    state.pinned = vec![run.path(&run.base.name)];
                    tracing::info!("the base of the backup is written");
                }
            }
        }
        if run.is_cancelled() {
            // Made after the others were removed.
            run.remove(&*self.files);
        }
    }

    fn write_manifest(&self, run: &Run) -> io::Result<()> {
        let manifest = Manifest {
            base: Some(run.base.clone()),
            incremental: vec![run.incremental.clone()],
            history: Vec::new(),
        };
        let beside = run.temporary_manifest();
        let file = self.files.create(&beside)?;
        file.write(&manifest.to_bytes())?;
        file.sync()?;
        self.files.rename(&beside, &run.path(&run.manifest))?;
        self.files.sync_folder(&run.folder)
    }

    /// Removes a sealed backup whose time is over (`backup-sealed-ttl`); called several times a second.
    pub fn look(&self) {
        let Some(server) = self.server.upgrade() else { return };
        let ttl_s = server.config.unsigned(Directive::BackupSealedTtl);
        let mut state = self.state.lock();
        let is_over = server.clock.now_ms() / 1000 >= state.status.end_s.saturating_add(ttl_s);
        if state.status.phase == Phase::Sealed && ttl_s > 0 && is_over {
            tracing::info!("the sealed backup is removed: its time is over");
            state.forget(&*self.files);
        }
    }

    /// Gives up what is being written, and waits for its threads. To be called when no more commands run.
    pub fn finish(&self) {
        let mut state = self.state.lock();
        if state.status.phase.is_in_progress() {
            state.give_up(&*self.files, "the server ended");
        }
        let mut threads = std::mem::take(&mut state.threads);
        drop(state);
        while !threads.is_empty() {
            threads.into_iter().for_each(|thread| drop(thread.join()));
            // One of them may have begun another.
            threads = std::mem::take(&mut self.state.lock().threads);
        }
    }
}

impl State {
    fn give_up(&mut self, files: &dyn Files, error: &str) {
        if let Some(run) = &self.run {
            run.cancel();
            run.remove(files);
        }
        self.status.phase = Phase::Failed;
        self.status.error = error.to_owned();
        self.pinned.clear();
    }

    fn forget(&mut self, files: &dyn Files) {
        if let Some(run) = self.run.take() {
            run.remove(files);
        }
        self.status = BackupStatus::default();
        self.pinned.clear();
    }
}

/// Writes all changes into a file, until it is sealed or given up.
fn follow(server: &Server, run: &Run, reader: &Reader, file: &dyn Output, begin: Begin) -> io::Result<()> {
    let mut written = begin.position;
    let mut begin = Some(begin);
    loop {
        let end = run.seal.lock().as_ref().map_or(u64::MAX, |seal| seal.position);
        if written >= end {
            file.sync()?;
            let seal = run.seal.lock().take();
            // Whoever asked may not wait any more.
            let _ = seal.map(|seal| seal.done.send(()));
            return Ok(());
        }
        if run.is_cancelled() {
            return Ok(());
        }
        if server.journal().unread(reader) > UNWRITTEN_MAX {
            return Err(io::Error::other("the disk is too slow for the changes"));
        }
        let Some(Stretch { position, mut bytes, for_links }) = server.journal().read(reader) else {
            std::thread::park_timeout(LOOK);
            continue;
        };
        debug_assert_eq!(position, written);
        bytes.truncate(usize::try_from(end - written).unwrap_or(usize::MAX));
        if !for_links {
            let select = begin.take().map_or_else(Vec::new, |begin| begin.select_before(&bytes));
            if !select.is_empty() {
                file.write(&select)?;
            }
            file.write(&bytes)?;
        }
        written += bytes.len() as u64;
    }
}

/// Whether backups would be made where the append-only file is.
fn is_own_folder(server: &Server) -> bool {
    server.config.text(Directive::Backupdirname) == server.config.text(Directive::Appenddirname)
}

impl Backups for Arc<Backup> {
    fn start(&self) -> CommandResult {
        let failed = |error: io::Error| CommandError::new(format!("ERR Can't start the backup: {error}"));
        let Some(server) = self.server.upgrade() else { return Ok(()) };
        let mut state = self.state.lock();
        match state.status.phase {
            phase if phase.is_in_progress() => {
                return Err(CommandError::text("ERR Backup already in progress"));
            }
            Phase::Sealed => {
                return Err(CommandError::text("ERR A sealed backup exists, use BACKUP CLEANUP first"));
            }
            _ => {}
        }
        if is_own_folder(&server) {
            return Err(CommandError::text("ERR backupdirname and appenddirname are the same folder"));
        }
        let run = Arc::new(Run::new(&server).map_err(failed)?);
        self.files.create_folder(&run.folder).map_err(failed)?;
        if !self.files.names(&run.folder).map_err(failed)?.is_empty() {
            return Err(CommandError::text("ERR Backup directory is not empty"));
        }
        let before = std::mem::take(&mut state.threads);
        let (backup, of_thread) = (Arc::clone(self), (Arc::clone(&server), Arc::clone(&run)));
        let phase = if snapshot::is_in_the_way(&server) { Phase::Pending } else { Phase::Snapshotting };
        let start_s = server.clock.now_ms() / 1000;
        let thread = std::thread::Builder::new()
            .name("kvarts-backup".into())
            .spawn(move || backup.run(&of_thread.0, &of_thread.1, before))
            .map_err(failed)?;
        state.threads.push(thread);
        state.status = BackupStatus { phase, start_s, ..BackupStatus::default() };
        (state.run, state.seals) = (Some(run), false);
        tracing::info!("a backup has begun");
        Ok(())
    }

    fn seal(&self) -> CommandResult {
        const NONE: CommandError = CommandError::text("ERR No backup ready to seal");
        let Some(server) = self.server.upgrade() else { return Ok(()) };
        let mut state = self.state.lock();
        let run = match (&state.run, state.status.phase) {
            (Some(run), Phase::Incrementing) if !state.seals => Arc::clone(run),
            _ => return Err(NONE),
        };
        let (done, sealed) = channel();
        *run.seal.lock() = Some(Seal { position: server.journal().end(), done });
        state.seals = true;
        drop(state);
        run.wake();
        let written = match sealed.recv_timeout(PATIENCE) {
            Ok(()) => self.write_manifest(&run),
            Err(_) => Err(io::Error::other("the changes could not be written")),
        };
        let mut state = self.state.lock();
        state.seals = false;
        match written {
            Ok(()) if !run.is_cancelled() => {
                (state.status.phase, state.status.end_s) = (Phase::Sealed, server.clock.now_ms() / 1000);
                state.pinned = run.all_files();
                tracing::info!("the backup is sealed");
                Ok(())
            }
            Ok(()) => {
                run.remove(&*self.files);
                Err(NONE)
            }
            Err(error) => {
                if !run.is_cancelled() {
                    state.give_up(&*self.files, &system_text(&error));
                }
                Err(CommandError::new(format!("ERR Can't seal the backup: {}", state.status.error)))
            }
        }
    }

    fn abort(&self) -> CommandResult {
        let mut state = self.state.lock();
        if !state.status.phase.is_in_progress() {
            return Err(CommandError::text("ERR No backup in progress"));
        }
        state.give_up(&*self.files, "aborted by user");
        Ok(())
    }

    fn clean_up(&self) -> CommandResult {
        let mut state = self.state.lock();
        if state.status.phase.is_in_progress() {
            return Err(CommandError::text("ERR Backup in progress, use BACKUP ABORT first"));
        }
        if state.pinned.is_empty()
            && let Some(server) = self.server.upgrade()
        {
            self.remove_leftovers(&server);
        }
        state.forget(&*self.files);
        Ok(())
    }

    fn status(&self) -> BackupStatus {
        self.state.lock().status.clone()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.state.lock().pinned.clone()
    }
}
