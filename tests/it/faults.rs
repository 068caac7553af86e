//! A disk for tests, below everything that persistence writes: operations fail, syncs are counted and held
//! up, and a power failure takes what was not synced.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kvarts::persistence::files::{Disk, Files, Output, Scratch};
use parking_lot::Mutex;

use crate::harness::*;

/// Input/output error.
pub const EIO: i32 = 5;
/// The disk is full.
pub const ENOSPC: i32 = 28;
/// The file system takes no writes.
pub const EROFS: i32 = 30;

/// The longest that a sync is held: a test that fails meanwhile ends, too.
const HOLD_MAX: Duration = Duration::from_secs(20);

/// What fails, by the number of the error; 0 for nothing.
#[derive(Default)]
pub struct Faults {
    /// Writing: half of the bytes are written.
    pub write: AtomicI32,
    /// Syncing: what was written since the last sync is lost, as a failed sync may lose it.
    pub sync: AtomicI32,
    /// Making, renaming and removing files, and syncing folders.
    pub names: AtomicI32,
    /// Operations that work before all fail, as if the machine had stopped; negative for no end.
    pub left: AtomicI64,
    /// Operations so far.
    pub count: AtomicI64,
    /// While set, syncs do not end.
    pub holds_syncs: AtomicBool,
    /// While set, syncs of files with changes, not of bases, do not end.
    pub holds_syncs_of_changes: AtomicBool,
    /// What a sync takes.
    pub sync_ms: AtomicU64,
    /// The name of the thread that has made the last sync.
    pub syncs_on: Mutex<String>,
    /// The files that were written, by their present names.
    outputs: Mutex<HashMap<PathBuf, Arc<FaultyOutput>>>,
}

impl Faults {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(-1), ..Self::default() })
    }

    fn check(&self, kind: &AtomicI32) -> io::Result<()> {
        self.count.fetch_add(1, SeqCst);
        if self.left.load(SeqCst) >= 0 && self.left.fetch_sub(1, SeqCst) <= 0 {
            self.left.store(0, SeqCst);
            return Err(io::Error::from_raw_os_error(EIO));
        }
        match kind.load(SeqCst) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// How often the file was synced whose name ends like this.
    pub fn syncs_of(&self, end: &str) -> u64 {
        let outputs = self.outputs.lock();
        let found = outputs.iter().find(|(path, _)| path.to_string_lossy().ends_with(end));
        found.unwrap_or_else(|| panic!("{end} was written")).1.syncs.load(SeqCst)
    }

    /// Cuts the power: nothing works any more. Returns the folder as it is found afterwards: each file of
    /// `appendonlydir` with the bytes that were synced.
    pub fn cut_power(&self, dir: &Path) -> TempDir {
        self.left.store(0, SeqCst);
        let found = TempDir::new();
        let to = found.path().join("appendonlydir");
        std::fs::create_dir(&to).expect("a folder");
        let outputs = self.outputs.lock();
        for entry in std::fs::read_dir(dir.join("appendonlydir")).expect("the folder") {
            let path = entry.expect("an entry").path();
            let mut bytes = std::fs::read(&path).expect("a file");
            if let Some(output) = outputs.get(&path) {
                bytes.truncate(output.synced.load(SeqCst) as usize);
            }
            std::fs::write(to.join(path.file_name().expect("a name")), bytes).expect("written");
        }
        found
    }
}

/// The machine's files, some of whose operations fail.
pub struct FaultyFiles(pub Arc<Faults>);

struct FaultyOutput {
    faults: Arc<Faults>,
    file: Arc<dyn Output>,
    /// Whether it is a file with changes.
    of_changes: bool,
    len: AtomicU64,
    synced: AtomicU64,
    syncs: AtomicU64,
}

impl FaultyFiles {
    fn output(&self, path: &Path, file: Arc<dyn Output>, len: u64) -> Arc<dyn Output> {
        let (len, synced, syncs) = (AtomicU64::new(len), AtomicU64::new(len), AtomicU64::new(0));
        let (faults, of_changes) = (Arc::clone(&self.0), path.to_string_lossy().contains(".incr."));
        let output = Arc::new(FaultyOutput { faults, file, of_changes, len, synced, syncs });
        self.0.outputs.lock().insert(path.to_owned(), Arc::clone(&output));
        output
    }
}

impl Files for FaultyFiles {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.0.check(&self.0.names)?;
        Disk.create_folder(path)
    }

    fn append(&self, path: &Path) -> io::Result<Arc<dyn Output>> {
        self.0.check(&self.0.names)?;
        let file = Disk.append(path)?;
        Ok(self.output(path, file, Disk.len(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn Output>> {
        self.0.check(&self.0.names)?;
        Ok(self.output(path, Disk.create(path)?, 0))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Disk.read(path)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Disk.len(path)
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        Disk.names(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.check(&self.0.names)?;
        Disk.rename(from, to)?;
        let mut outputs = self.0.outputs.lock();
        if let Some(output) = outputs.remove(from) {
            outputs.insert(to.to_owned(), output);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.check(&self.0.names)?;
        Disk.remove(path)?;
        self.0.outputs.lock().remove(path);
        Ok(())
    }

    fn scratch(&self, path: &Path) -> io::Result<Arc<dyn Scratch>> {
        self.0.check(&self.0.names)?;
        Ok(Arc::new(FaultyScratch { faults: Arc::clone(&self.0), file: Disk.scratch(path)? }))
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.0.check(&self.0.names)
    }
}

struct FaultyScratch {
    faults: Arc<Faults>,
    file: Arc<dyn Scratch>,
}

impl Scratch for FaultyScratch {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        if let Err(error) = self.faults.check(&self.faults.write) {
            self.file.write_at(&bytes[..bytes.len() / 2], at)?;
            return Err(error);
        }
        self.file.write_at(bytes, at)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_at(buffer, at)
    }
}

impl Output for FaultyOutput {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.faults.check(&self.faults.write) {
            self.file.write(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.file.write(bytes)?;
        self.len.fetch_add(bytes.len() as u64, SeqCst);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let len = self.len.load(SeqCst);
        let is_held = |held: &AtomicBool| held.load(SeqCst);
        let began = Instant::now();
        while (is_held(&self.faults.holds_syncs)
            || self.of_changes && is_held(&self.faults.holds_syncs_of_changes))
            && began.elapsed() < HOLD_MAX
        {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        std::thread::sleep(std::time::Duration::from_millis(self.faults.sync_ms.load(SeqCst)));
        *self.faults.syncs_on.lock() = std::thread::current().name().unwrap_or_default().to_owned();
        if let Err(error) = self.faults.check(&self.faults.sync) {
            let (len, synced) = (self.len.load(SeqCst), self.synced.load(SeqCst));
            self.file.truncate(synced)?;
            self.file.truncate(len)?;
            return Err(error);
        }
        // The power fails in this file only: the disk below is not asked, which may take its time.
        self.synced.store(len, SeqCst);
        self.syncs.fetch_add(1, SeqCst);
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.faults.check(&self.faults.write)?;
        self.file.truncate(len)?;
        self.len.store(len, SeqCst);
        self.synced.fetch_min(len, SeqCst);
        Ok(())
    }
}
