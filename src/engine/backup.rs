//! What commands may ask of backups. The engine knows no files: `persistence` implements [`Backups`], and
//! run.rs hands it over.

use std::path::PathBuf;
use std::sync::Arc;

use super::Server;
use crate::error::CommandError;

/// How far a backup has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// There is none.
    #[default]
    Idle,
    /// It waits for another snapshot to end.
    Pending,
    /// The base is being written.
    Snapshotting,
    /// The base is there; changes are written behind it.
    Incrementing,
    /// It is complete, and nothing is added any more.
    Sealed,
    /// It was given up or could not be written; nothing of it is left.
    Failed,
}

impl Phase {
    /// The word for clients.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Pending => "pending",
            Phase::Snapshotting => "snapshotting",
            Phase::Incrementing => "incrementing",
            Phase::Sealed => "sealed",
            Phase::Failed => "failed",
        }
    }

    /// Whether something is being written, or is to be.
    pub fn is_in_progress(self) -> bool {
        matches!(self, Phase::Pending | Phase::Snapshotting | Phase::Incrementing)
    }
}

/// What BACKUP STATUS tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupStatus {
    /// How far it has come.
    pub phase: Phase,
    /// Why it failed; empty otherwise.
    pub error: String,
    /// When it began, in seconds of Unix time; 0 where there is none.
    pub start_s: u64,
    /// When it was sealed, in seconds of Unix time; 0 where it was not.
    pub end_s: u64,
}

/// Backups, as commands reach them: one at a time.
pub trait Backups: Send + Sync {
    /// Begins one in the background.
    ///
    /// # Errors
    /// There is one, or its folder cannot be used.
    fn start(&self) -> Result<(), CommandError>;

    /// Completes it with all changes up to now, and waits until it is on disk.
    ///
    /// # Errors
    /// There is none whose base is complete, or it cannot be written.
    fn seal(&self) -> Result<(), CommandError>;

    /// Gives it up before it is sealed, and removes its files.
    ///
    /// # Errors
    /// There is none.
    fn abort(&self) -> Result<(), CommandError>;

    /// Removes the files of one that is sealed, and forgets it; without one nothing is done.
    ///
    /// # Errors
    /// It is being written.
    fn clean_up(&self) -> Result<(), CommandError>;

    /// How far it has come.
    fn status(&self) -> BackupStatus;

    /// Its files that do not change any more, with absolute paths.
    fn files(&self) -> Vec<PathBuf>;
}

impl Server {
    /// Says how backups are reached; called once, at the start.
    pub fn set_backups(&self, backups: Arc<dyn Backups>) {
        // Whoever is there first stays.
        let _ = self.backups.set(backups);
    }

    /// Backups; `None` in a server without files, as benches have one.
    pub fn backups(&self) -> Option<Arc<dyn Backups>> {
        self.backups.get().map(Arc::clone)
    }
}
