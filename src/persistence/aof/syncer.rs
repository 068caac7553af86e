//! [`Syncer`]: a thread that syncs a file, so that the writer goes on meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::writer::Shared;
use crate::persistence::files::Output;

/// A file that is to be synced as far as it is written.
struct Work {
    file: Arc<dyn Output>,
    position: u64,
    file_len: u64,
}

/// What came of it.
pub struct Done {
    /// Position in the journal behind what was written when the sync began.
    pub position: u64,
    /// Length of the file at that moment.
    pub file_len: u64,
    /// The outcome.
    pub result: io::Result<()>,
}

/// The thread, which ends when this is dropped and its last work is done.
pub struct Syncer {
    work: Sender<Work>,
    done: Receiver<Done>,
}

impl Syncer {
    /// Starts it. It wakes the writer when a sync has ended.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (work, to_do) = channel::<Work>();
        let (outcome, done) = channel();
        std::thread::Builder::new().name("kvarts-sync".into()).spawn(move || {
            for Work { file, position, file_len } in to_do {
                let result = file.sync();
                if outcome.send(Done { position, file_len, result }).is_err() {
                    return;
                }
                shared.wake();
            }
        })?;
        Ok(Self { work, done })
    }

    /// Begins a sync. There is one at a time.
    pub fn begin(&self, file: Arc<dyn Output>, position: u64, file_len: u64) {
        // The thread ends only when this is dropped.
        let _ = self.work.send(Work { file, position, file_len });
    }

    /// The outcome, once it is there.
    pub fn take(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}
