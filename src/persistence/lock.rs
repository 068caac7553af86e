//! [`FolderLock`]: keeps a second server out of the folder that one writes its files into.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Name of the file that is locked, in `dir`.
const NAME: &str = "kvarts.lock";

/// The lock, which ends with the process or when this is dropped.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Why a folder cannot be used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// Another server writes into it.
    #[error("another server uses the folder {}: it holds {NAME} there", .0.display())]
    InUse(PathBuf),
    /// It cannot be written.
    #[error("cannot write into the folder {}: {error}", .folder.display())]
    NotWritable {
        /// Where it cannot write.
        folder: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

impl FolderLock {
    /// Whether a server has ever used a folder.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(NAME).exists()
    }

    /// Takes the lock of a folder.
    ///
    /// # Errors
    /// Another server has it, or the folder cannot be written.
    pub fn take(folder: &Path) -> Result<Self, FolderError> {
        let not_writable = |error| FolderError::NotWritable { folder: folder.to_owned(), error };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(NAME))
            .map_err(not_writable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => Err(not_writable(error)),
        }
    }
}
