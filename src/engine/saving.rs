//! What commands may ask of snapshot files. The engine knows no files: `persistence` implements [`Saving`],
//! and run.rs hands it over.

use std::sync::Arc;

use super::Server;
use crate::error::CommandError;

/// Snapshot files, as commands reach them.
pub trait Saving: Send + Sync {
    /// Writes a snapshot and returns when it is in its place (SAVE).
    ///
    /// # Errors
    /// One is being written, or it cannot be written.
    fn save(&self) -> Result<(), CommandError>;

    /// Begins to write a snapshot in the background (BGSAVE); `schedule` lets it wait for what is in its way.
    /// Returns what is answered.
    ///
    /// # Errors
    /// One is being written, or something else is in the way.
    fn save_in_background(&self, schedule: bool) -> Result<&'static str, CommandError>;

    /// Gives up what is being written or scheduled (BGSAVE CANCEL). Returns whether there was anything.
    fn cancel(&self) -> bool;

    /// Begins what is due: what is scheduled, and a snapshot for which a save point asks. Called once a
    /// second.
    fn look(&self);

    /// Writes the last snapshot before the end, if `asked` for, or by default where there are save points.
    /// Clients cannot change anything from here on, unless this fails.
    ///
    /// # Errors
    /// It cannot be written; the server goes on.
    fn save_before_end(&self, asked: Option<bool>) -> Result<(), String>;

    /// Loads the last snapshot (DEBUG RELOAD): with `save` one is written first, with `empty` all data are
    /// removed before. Clients hear LOADING meanwhile.
    ///
    /// # Errors
    /// With what is wrong; with `empty` the data are gone then.
    fn reload(&self, save: bool, empty: bool) -> Result<(), String>;

    /// Its figures for INFO.
    fn figures(&self) -> SaveFigures;
}

/// Figures of snapshots, as INFO shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaveFigures {
    /// Whether one is being written in the background.
    pub in_progress: bool,
    /// When the last one was written, in seconds of Unix time; 0 where none was.
    pub last_save_s: u64,
    /// Whether the last one in the background failed.
    pub failed: bool,
    /// Seconds that the last one took.
    pub last_took_s: Option<u64>,
    /// Seconds since the present one began.
    pub current_s: Option<u64>,
    /// How many were written.
    pub saves: u64,
    /// Changes of the data since the last one.
    pub changes: u64,
    /// Keys written so far, and how many there are to write.
    pub keys: (u64, u64),
}

impl Server {
    /// Says how snapshots are written; called once, at the start.
    pub fn set_saving(&self, saving: Arc<dyn Saving>) {
        // Whoever is there first stays.
        let _ = self.saving.set(saving);
    }

    /// Snapshot files; `None` in a server without files, as benches have one.
    pub fn saving(&self) -> Option<&dyn Saving> {
        self.saving.get().map(|saving| &**saving)
    }

    /// Changes of the data since the server's start, counted as Redis counts them.
    pub fn change_count(&self) -> u64 {
        self.changes.load(std::sync::atomic::Ordering::Relaxed)
            + self.stats.sum(crate::shared::stats::Counter::Changes)
    }
}
