//! What commands may ask of snapshot files. The engine knows no files: `persistence` implements [`Saving`],
//! and run.rs hands it over.

use std::sync::Arc;

use thiserror::Error;

use super::Server;
use crate::error::CommandError;

/// Snapshot files, as commands reach them.
pub trait Saving: Send + Sync {
    /// Writes a snapshot and returns when it is in its place (SAVE).
    ///
    /// # Errors
    /// One is being written, or it cannot be written.
    fn save(&self) -> Result<(), CommandError>;

    /// Begins to write a snapshot in the background (BGSAVE), and returns what is answered. Its instant has
    /// passed then, unless it is scheduled: what is changed later is not in it.
    ///
    /// # Errors
    /// One is being written, or something else is in the way.
    fn save_in_background(&self, how: Background) -> Result<&'static str, CommandError>;

    /// Gives up what is being written, else what is scheduled (BGSAVE CANCEL). Returns what is answered;
    /// `None` where there was nothing.
    fn cancel(&self) -> Option<&'static str>;

    /// Hears that all data were removed (FLUSHALL). What is being written in the background is given up, and
    /// where there are save points the next snapshot is written at once, or as soon as it can: the file would
    /// bring the data back. With `waits` it is written when this returns; returns whether it is.
    fn flushed(&self, waits: bool) -> bool;

    /// Begins what is due: what is scheduled, and a snapshot for which a save point asks. Called once a
    /// second.
    fn look(&self);

    /// Writes the last snapshot before the end, if `asked` for, or by default where there are save points.
    /// Clients cannot change anything from here on, unless this fails. Asked again meanwhile, it waits for
    /// the one that is being written; without a snapshot it gives that one up.
    ///
    /// # Errors
    /// It cannot be written, or was given up; the server goes on.
    fn save_before_end(&self, asked: Option<bool>) -> Result<(), EndError>;

    /// Gives up the last snapshot, and with it the end (SHUTDOWN ABORT). Returns whether one was being
    /// written.
    fn abort_end(&self) -> bool;

    /// Loads the last snapshot (DEBUG RELOAD): with `save` one is written first, with `empty` all data are
    /// removed before. Clients hear LOADING meanwhile.
    ///
    /// # Errors
    /// With what is wrong; with `empty` the data are gone then.
    fn reload(&self, save: bool, empty: bool) -> Result<(), String>;

    /// Its figures for INFO.
    fn figures(&self) -> SaveFigures;
}

/// How a snapshot in the background begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// At once, or not at all (BGSAVE).
    AtOnce,
    /// As soon as what is in its way has ended (BGSAVE SCHEDULE).
    Scheduled,
    /// After the transaction that asks for it: the keyspace is not free before.
    InTransaction,
}

/// Why the server does not end although it was asked to.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EndError {
    /// SHUTDOWN ABORT came.
    #[error("Shutdown manually aborted")]
    Aborted,
    /// The last snapshot cannot be written, with the reason.
    #[error("the final snapshot could not be written: {0}")]
    NotSaved(String),
    /// The append-only file does not hold all data yet.
    #[error("Writing initial AOF, can't exit.")]
    InitialAof,
}

/// Figures of snapshots, as INFO shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaveFigures {
    /// Whether one is being written in the background.
    pub in_progress: bool,
    /// Whether the last one before the end is being written.
    pub is_last: bool,
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
