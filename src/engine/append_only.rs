//! What commands may ask of the append-only file. The engine knows no files: `persistence` implements
//! [`AppendOnly`], and run.rs hands it over.

use std::sync::Arc;

use super::Server;
use crate::error::CommandError;

/// The append-only file, as commands reach it.
pub trait AppendOnly: Send + Sync {
    /// Begins to rewrite it in the background. Returns what BGREWRITEAOF answers.
    ///
    /// # Errors
    /// It is being rewritten, or cannot be.
    fn rewrite(self: Arc<Self>) -> Result<&'static str, CommandError>;

    /// Switches it on or off (`appendonly`). On, it holds all data once its first rewrite has ended.
    ///
    /// # Errors
    /// With the text for the client.
    fn switch(self: Arc<Self>, on: bool) -> Result<(), String>;

    /// Gives up a rewrite that runs, and waits until it has ended: the server is about to save its data and
    /// end.
    fn give_up_rewrite(&self);

    /// Hears that directives have changed: wakes the writer.
    fn settings_changed(&self);

    /// Writes and syncs on this thread, a worker's, what replies wait for, where that is done quickly; where it is not
    /// the writer's thread does it.
    fn sync_if_quick(&self);

    /// Waits until all changes are in the file, replaces all data by what the file holds, and goes on
    /// (DEBUG LOADAOF). Returns false, and does nothing, where there are no files.
    ///
    /// # Errors
    /// With what is wrong with the file.
    fn reload(&self) -> Result<bool, String>;

    /// Hears that the data are others than the changes that were told make of them (DEBUG RELOAD of a file that was
    /// written before): the files are rewritten.
    fn data_were_replaced(&self);

    /// Its figures for INFO.
    fn figures(&self) -> Figures;
}

/// Figures of the append-only file, as INFO shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Whether it is on.
    pub enabled: bool,
    /// Whether its first base is being written, so that it does not hold all data yet.
    pub is_partial: bool,
    /// Whether it is being rewritten.
    pub rewrites: bool,
    /// Whether a rewrite follows as soon as it can.
    pub scheduled: bool,
    /// Seconds that the last rewrite took.
    pub last_rewrite_s: Option<u64>,
    /// Seconds that the present one has taken.
    pub current_rewrite_s: Option<u64>,
    /// Whether the last rewrite failed.
    pub rewrite_failed: bool,
    /// Rewrites that were begun.
    pub rewrite_count: u64,
    /// Rewrites that have failed one after the other.
    pub failures: u64,
    /// Whether the last attempt to write or sync failed.
    pub write_failed: bool,
    /// Whether somebody has taken the file away, and no rewrite has brought another one yet.
    pub is_gone: bool,
    /// Bytes of all its files.
    pub current_bytes: u64,
    /// Bytes of all its files after the last rewrite, or at the start.
    pub base_bytes: u64,
    /// Bytes of changes that are not written yet.
    pub unwritten_bytes: u64,
    /// Whether a sync is under way on its own thread.
    pub syncs: bool,
    /// How often writing went on although a sync had been under way for two seconds.
    pub delayed_syncs: u64,
}

impl Server {
    /// Says how the append-only file is reached; called once, at the start.
    pub fn set_append_only(&self, append_only: Arc<dyn AppendOnly>) {
        // Whoever is there first stays.
        let _ = self.append_only.set(append_only);
    }

    /// The append-only file; `None` in a server without files, as benches have one.
    pub fn append_only(&self) -> Option<Arc<dyn AppendOnly>> {
        self.append_only.get().map(Arc::clone)
    }
}
