//! Rewriting: a job that writes all data into a new base, and puts it in the place of the old files.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use parking_lot::Mutex;

use super::folder::Folder;
use super::snapshot;
use super::writer::{Shared, Switch};
use crate::aof::Part;
use crate::engine::Server;
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
        let (done, begun) = channel();
        let mut done = Some(done);
        self.write_base(&mut |position| {
            if let Some(done) = done.take() {
                shared.begin_file(Switch { position, done });
            }
        })?;
        let part = begun.recv().map_err(|_| io::Error::other("the append-only file was switched off"))??;
        self.take_base(Some(&part))
    }

    /// Writes a base and takes it while nothing is appended.
    pub(super) fn by_itself(&self) -> io::Result<()> {
        self.folder.lock().make()?;
        self.write_base(&mut |_| {})?;
        self.take_base(None)
    }

    /// Writes all data into the file that is to be the base. `at_begin` hears the position in the journal.
    pub(super) fn write_base(&self, at_begin: &mut dyn FnMut(u64)) -> io::Result<()> {
        let (files, path) = {
            let folder = self.folder.lock();
            (Arc::clone(&folder.files), folder.temporary_base())
        };
        let file = files.create(&path)?;
        let base = GradualOutput::new(&*file, self.syncs_bit_by_bit.then_some(SYNC_EACH));
        let mut out = BufWriter::with_capacity(256 << 10, base);
        let is_cancelled = || self.cancelled.load(Ordering::Acquire);
        let mut at_begin = |position| {
            self.waits.store(false, Ordering::Release);
            at_begin(position);
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
