//! [`FolderLock`]: keeps a second server out of the files that one writes into a folder.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

/// How the name of the file that is locked ends.
pub const LOCK_END: &str = ".lock";

/// How often a lock that another has is tried again, and the pause before.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// The lock, which ends with the process or when this is dropped.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Why a folder cannot be used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// Another server writes into it.
    #[error("another server uses the folder {}: it holds the lock {name} there", .folder.display())]
    InUse {
        /// Where it writes.
        folder: PathBuf,
        /// The file that is locked.
        name: String,
    },
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
    /// What the names of the files begin with whose locks were ever taken in a folder.
    pub fn stems_in(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| Some(name.strip_suffix(LOCK_END)?.to_owned())).collect()
    }

    /// Takes the lock of the files in a folder whose names begin with `stem`, and makes the folder. Servers
    /// with other names may share it.
    ///
    /// # Errors
    /// Another server has it, or the folder cannot be written.
    pub fn take(folder: &Path, stem: &str) -> Result<Self, FolderError> {
        let not_writable = |error| FolderError::NotWritable { folder: folder.to_owned(), error };
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(not_writable(error)),
            _ => {}
        }
        let name = format!("{stem}{LOCK_END}");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(&name))
            .map_err(not_writable)?;
        // A server that just ended may have begun a program that has the lock until it runs.
        let mut tried = file.try_lock();
        for _ in 0..TRIES {
            if !matches!(tried, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(PAUSE);
            tried = file.try_lock();
        }
        match tried {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse { folder: folder.to_owned(), name }),
            Err(TryLockError::Error(error)) => Err(not_writable(error)),
        }
    }
}
