//! Rewriting: a job that writes all data into a new base, and puts it in the place of the old files.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::folder::Folder;
use super::snapshot;
use super::writer::{Shared, Switch};
use crate::aof::Part;
use crate::config::Directive;
use crate::engine::Server;
use crate::journal::Begin;
use crate::persistence::background::{give_way, sync_each};
use crate::persistence::files::GradualOutput;

/// Bytes after which a base is synced while it is written (`aof-rewrite-incremental-fsync`).
const SYNC_EACH: u64 = 4 << 20;

/// What a job works with.
pub(super) struct Job {
    pub(super) server: Arc<Server>,
    pub(super) folder: Arc<Mutex<Folder>>,
    /// Whether the base is an RDB file (`aof-use-rdb-preamble`), else requests.
    pub(super) is_rdb: bool,
    pub(super) syncs_bit_by_bit: bool,
    /// Set to have the job end before its work is done.
    pub(super) cancelled: Arc<AtomicBool>,
    /// Cleared when the snapshot begins.
    pub(super) waits: Arc<AtomicBool>,
}

impl Job {
    /// Writes a base and takes it, beside a writer that goes on in a new file.
    pub(super) fn beside_writer(&self, shared: &Shared) -> io::Result<()> {
        self.sync_before(shared);
        let (done, begun) = channel();
        let mut done = Some(done);
        self.write_base(&mut |begin| {
            if let Some(done) = done.take() {
                shared.begin_file(Switch { begin, done });
            }
        })?;
        let part = begun.recv().map_err(|_| io::Error::other("the append-only file was switched off"))??;
        self.take_base(Some(&part))
    }

    /// Waits for a sync of what is written so far. The old file is synced as a whole before a new one begins,
    /// and meanwhile nothing is written: the less is left to sync then, the less a killed process loses. While the file
    /// cannot be written no sync comes, and clients wait for what the rewrite brings.
    fn sync_before(&self, shared: &Shared) {
        /// The longest wait: a disk that takes longer has the rewrite begin all the same.
        const PATIENCE: Duration = Duration::from_secs(10);
        let config = &self.server.config;
        let syncs_each_second = config.word(Directive::Appendfsync) == "everysec";
        if !syncs_each_second || config.flag(Directive::NoAppendfsyncOnRewrite) {
            return;
        }
        let (written, deadline) = (shared.written.load(Ordering::Acquire), Instant::now() + PATIENCE);
        shared.wants_sync.store(true, Ordering::Release);
        shared.wake();
        while shared.synced.load(Ordering::Acquire) < written
            && Instant::now() < deadline
            && !self.server.durability.refuses_writes()
            && !self.cancelled.load(Ordering::Acquire)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Writes a base and takes it while nothing is appended.
    pub(super) fn by_itself(&self) -> io::Result<()> {
        self.folder.lock().make()?;
        self.write_base(&mut |_| {})?;
        self.take_base(None)
    }

    /// Writes all data into the file that is to be the base. `at_begin` hears the place in the journal.
    ///
    /// It is a thread of its own that writes and [gives way](give_way): threads inherit their priority, and the
    /// one that rewrites may start the writer.
    pub(super) fn write_base(&self, at_begin: &mut (dyn FnMut(Begin) + Send)) -> io::Result<()> {
        std::thread::scope(|scope| {
            let named = std::thread::Builder::new().name("kvarts-base".into());
            let writing = named.spawn_scoped(scope, || self.write_all(at_begin))?;
            writing.join().unwrap_or_else(|_| Err(io::Error::other("writing the base panicked")))
        })
    }

    fn write_all(&self, at_begin: &mut dyn FnMut(Begin)) -> io::Result<()> {
        let (files, path) = {
            let folder = self.folder.lock();
            (Arc::clone(&folder.files), folder.temporary_base())
        };
        let file = files.create(&path)?;
        let sync_each = self.syncs_bit_by_bit.then(|| sync_each(&self.server.config, SYNC_EACH));
        let base = GradualOutput::new(&*file, sync_each);
        let mut out = BufWriter::with_capacity(256 << 10, base);
        let is_cancelled = || self.cancelled.load(Ordering::Acquire);
        let mut at_begin = |begin| {
            self.waits.store(false, Ordering::Release);
            at_begin(begin);
            give_way();
        };
        snapshot::write(&self.server, self.is_rdb, &mut at_begin, &is_cancelled, &mut out)?;
        out.flush()?;
        file.sync()
    }

    /// Puts the file that was written in the place of the base and of all files before `first`.
    pub(super) fn take_base(&self, first: Option<&Part>) -> io::Result<()> {
        self.folder.lock().take_base(self.is_rdb, first)
    }
}
