//! [`Files`]: all that persistence does with files, as a trait, so that tests can have any of it fail.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// A file system.
pub trait Files: Send + Sync {
    /// Makes a folder; one that is there is no error.
    ///
    /// # Errors
    /// What the system says, as for all that follow.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Opens a file to write at its end, and makes it if it is not there.
    fn append(&self, path: &Path) -> io::Result<Arc<dyn Output>>;

    /// Makes a file, or empties it, to write into it.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Output>>;

    /// Opens a file to read.
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;

    /// Bytes of a file.
    fn len(&self, path: &Path) -> io::Result<u64>;

    /// Gives a file another name, in place of the file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes lasting which names stand in a folder.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// A file that is written.
pub trait Output: Send + Sync {
    /// Writes bytes at the end: all, or some of them and an error.
    ///
    /// # Errors
    /// What the system says, as for all that follow.
    fn write(&self, bytes: &[u8]) -> io::Result<()>;

    /// Makes lasting what was written.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file.
    fn truncate(&self, len: u64) -> io::Result<()>;
}

/// The machine's own file system.
#[derive(Debug)]
pub struct Disk;

impl Files for Disk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    }

    fn append(&self, path: &Path) -> io::Result<Arc<dyn Output>> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Arc::new(file))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn Output>> {
        // Appending, so that a cut is followed by the next bytes.
        drop(File::create(path)?);
        self.append(path)
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Box::new(file))
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.len())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl Output for File {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}
