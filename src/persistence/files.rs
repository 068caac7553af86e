//! [`Files`]: all that persistence does with files, as a trait, so that tests can have any of it fail.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
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

    /// Names of all that stands in a folder.
    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// Gives a file another name, in place of the file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes lasting which names stand in a folder.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes a file that has a name for no longer than it takes to open it: it goes when it is closed.
    fn scratch(&self, path: &Path) -> io::Result<Arc<dyn Scratch>>;
}

/// A file without a name, for bytes that no other process and no later run needs.
pub trait Scratch: Send + Sync {
    /// Writes bytes at this place: all, or some of them and an error.
    ///
    /// # Errors
    /// What the system says, as for all that follow.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Fills the buffer with what stands at this place.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;
}

impl Scratch for File {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(buffer, at)
    }
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

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
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

    fn scratch(&self, path: &Path) -> io::Result<Arc<dyn Scratch>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        std::fs::remove_file(path)?;
        Ok(Arc::new(file))
    }
}

/// Removes from a folder what processes that are gone were writing when they ended: files whose name is a
/// process's id between `begin` and `end`. To be called before this process writes such files.
pub fn remove_leftovers(files: &dyn Files, folder: &Path, begin: &str, end: &str) {
    // A folder that is not there, or cannot be looked into, is told where it is used.
    for name in files.names(folder).unwrap_or_default() {
        let id =
            name.to_str().and_then(|name| name.strip_prefix(begin)?.strip_suffix(end)?.parse::<u32>().ok());
        if id.is_some_and(|id| !is_running(id)) {
            let path = folder.join(&name);
            match files.remove(&path) {
                Ok(()) => tracing::info!(file = %path.display(), "removed what an earlier process has left"),
                Err(error) => tracing::warn!(file = %path.display(), %error, "cannot remove an old file"),
            }
        }
    }
}

/// Whether another process has this id, as far as the system tells.
fn is_running(id: u32) -> bool {
    let processes = Path::new("/proc");
    id != std::process::id() && (!processes.join("self").exists() || processes.join(id.to_string()).exists())
}

/// A file that is written as a stream and may be synced bit by bit, so that the disk is not asked for all at
/// the end.
pub struct GradualOutput<'f> {
    file: &'f dyn Output,
    /// Bytes after which it is synced; `None` for never.
    sync_each: Option<u64>,
    unsynced: u64,
}

impl<'f> GradualOutput<'f> {
    /// Goes on at the end of a file.
    pub fn new(file: &'f dyn Output, sync_each: Option<u64>) -> Self {
        Self { file, sync_each, unsynced: 0 }
    }
}

impl Write for GradualOutput<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)?;
        self.unsynced += bytes.len() as u64;
        if self.sync_each.is_some_and(|each| self.unsynced >= each) {
            self.unsynced = 0;
            self.file.sync()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
