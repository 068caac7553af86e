//! [`Folder`]: the files of the append-only file in their folder, and the manifest that names them.
//!
//! Every step leaves a folder that loads to all data: a file is made and its name made lasting before the
//! manifest names it, the manifest is written beside and renamed, and what it no longer names is removed
//! last.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use thiserror::Error;

use crate::aof::{Manifest, ManifestError, Part};
use crate::config::{Config, Directive};
use crate::persistence::files::{Files, Output, remove_leftovers};

/// How the name of a base begins and ends while it is written; between them stands the process's id.
const BASE_BEGIN: &str = "temp-rewriteaof-bg-";
const BASE_END: &str = ".aof";

/// Largest manifest that is read, in bytes.
const MANIFEST_MAX: u64 = 64 << 20;

/// Why a folder cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The manifest cannot be read as one.
    #[error("{path}: {error}")]
    Manifest {
        /// The manifest's file.
        path: String,
        /// What is wrong with it.
        error: ManifestError,
    },
    /// Something cannot be read, written or moved.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
}

/// The folder of an append-only file. A clone is for reading: as long as there is one, no file is removed.
#[derive(Clone)]
pub struct Folder {
    /// The file system.
    pub files: Arc<dyn Files>,
    /// `dir`, where a single file of old versions may lie.
    outside: PathBuf,
    /// `dir`/`appenddirname`.
    path: PathBuf,
    /// `appendfilename`.
    stem: String,
    /// Whether history is kept (`aof-disable-auto-gc`).
    pub keeps_history: Arc<AtomicBool>,
    /// What clones are counted by.
    clones: Arc<()>,
    /// The files as the manifest on disk names them.
    pub manifest: Manifest,
}

impl Folder {
    /// The folder that a configuration names; nothing is read yet.
    pub fn new(files: Arc<dyn Files>, config: &Config) -> Self {
        let outside = PathBuf::from(&*config.text(Directive::Dir));
        Self {
            files,
            path: outside.join(&*config.text(Directive::Appenddirname)),
            outside,
            stem: config.text(Directive::Appendfilename).to_string(),
            keeps_history: Arc::new(AtomicBool::new(config.flag(Directive::AofDisableAutoGc))),
            clones: Arc::default(),
            manifest: Manifest::default(),
        }
    }

    /// Reads the manifest; without one the folder is taken to be empty. A single file of old versions, which
    /// lies in `dir`, becomes the base.
    ///
    /// # Errors
    /// The manifest cannot be read, or the old file not be moved.
    pub fn open(&mut self) -> Result<(), OpenError> {
        let path = self.manifest_path();
        match self.read_small(&path) {
            Ok(bytes) => {
                let error = |error| OpenError::Manifest { path: shown(&path), error };
                self.manifest = Manifest::parse(&bytes).map_err(error)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.manifest = Manifest::default(),
            Err(error) => return Err(OpenError::File { path: shown(&path), error }),
        }
        self.take_over_old_file()
    }

    /// Moves the single file of old versions into the folder. The manifest names it first: ended in between,
    /// the move is made at the next start.
    fn take_over_old_file(&mut self) -> Result<(), OpenError> {
        let (old, new) = (self.outside.join(&self.stem), self.path.join(&self.stem));
        let is_named = match &self.manifest {
            Manifest { base: None, incremental, history } if incremental.is_empty() && history.is_empty() => {
                false
            }
            Manifest { base: Some(base), incremental, .. } if base.name == self.stem => {
                if !incremental.is_empty() && self.files.len(&new).is_ok() {
                    return Ok(());
                }
                true
            }
            _ => return Ok(()),
        };
        if self.files.len(&old).is_err() || self.files.len(&new).is_ok() {
            return Ok(());
        }
        let error = |error| OpenError::File { path: shown(&old), error };
        if !is_named {
            self.make().map_err(error)?;
            let name = self.stem.clone();
            let kind = crate::aof::PartKind::Base;
            let base = Part { name, sequence: 1, kind, offsets: (None, None) };
            self.write_manifest(Manifest { base: Some(base), ..Manifest::default() }).map_err(error)?;
        }
        self.files.rename(&old, &new).map_err(error)?;
        self.sync().map_err(error)?;
        self.files.sync_folder(&self.outside).map_err(error)?;
        tracing::info!("Successfully migrated an old-style AOF into the AOF directory.");
        Ok(())
    }

    fn read_small(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.files.read(path)?.take(MANIFEST_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Makes the folder.
    ///
    /// # Errors
    /// What the system says, as for all that follow.
    pub fn make(&self) -> io::Result<()> {
        self.files.create_folder(&self.path)?;
        self.files.sync_folder(&self.outside)
    }

    fn manifest_path(&self) -> PathBuf {
        self.path.join(format!("{}.manifest", self.stem))
    }

    /// The folder's path from the root, for people.
    pub fn shown(&self) -> String {
        shown(&std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone()))
    }

    /// Path of a file in the folder.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Path of the file that a rewrite writes before it is the base.
    pub fn temporary_base(&self) -> PathBuf {
        self.path.join(format!("{BASE_BEGIN}{}{BASE_END}", std::process::id()))
    }

    /// Whether all files are there that the manifest names.
    ///
    /// # Errors
    /// With the first that cannot be opened.
    pub fn check(&self) -> Result<(), OpenError> {
        self.manifest.live().try_for_each(|part| {
            let path = self.path_of(&part.name);
            self.files.read(&path).map(drop).map_err(|error| OpenError::File { path: shown(&path), error })
        })
    }

    /// Bytes of the files that the manifest names.
    pub fn total_bytes(&self) -> u64 {
        let len = |part: &Part| self.files.len(&self.path_of(&part.name)).unwrap_or(0);
        self.manifest.live().map(len).sum()
    }

    fn sync(&self) -> io::Result<()> {
        self.files.sync_folder(&self.path)
    }

    /// Puts a manifest in the place of the present one.
    fn write_manifest(&mut self, manifest: Manifest) -> io::Result<()> {
        let beside = self.path.join(format!("temp-{}.manifest", self.stem));
        let file = self.files.create(&beside)?;
        file.write(&manifest.to_bytes())?;
        file.sync()?;
        self.files.rename(&beside, &self.manifest_path())?;
        self.sync()?;
        self.manifest = manifest;
        Ok(())
    }

    /// Opens the last incremental file to go on in it, or begins the first one. Returns its number, the file
    /// and its length.
    pub fn open_last(&mut self) -> io::Result<(u64, Arc<dyn Output>, u64)> {
        match self.manifest.incremental.last() {
            Some(last) => {
                let path = self.path_of(&last.name);
                let sequence = last.sequence;
                Ok((sequence, self.files.append(&path)?, self.files.len(&path)?))
            }
            None => self.begin_incremental(true).map(|(part, file)| (part.sequence, file, 0)),
        }
    }

    /// Begins a new incremental file. With `named` the manifest names it from now on, else
    /// [`take_base`](Self::take_base) will.
    pub fn begin_incremental(&mut self, named: bool) -> io::Result<(Part, Arc<dyn Output>)> {
        let part = self.manifest.next_incremental(&self.stem);
        let file = self.files.create(&self.path_of(&part.name))?;
        if named {
            self.sync()?;
            let mut manifest = self.manifest.clone();
            manifest.incremental.push(part.clone());
            self.write_manifest(manifest)?;
        }
        Ok((part, file))
    }

    /// Makes the file that a rewrite has written, and synced, the base. It holds what the incremental files
    /// before `first` hold; `first` may be one that the manifest does not name yet, `None` where no file
    /// follows.
    pub fn take_base(&mut self, is_rdb: bool, first: Option<&Part>) -> io::Result<()> {
        let base = self.manifest.next_base(&self.stem, is_rdb);
        self.files.rename(&self.temporary_base(), &self.path_of(&base.name))?;
        self.sync()?;
        let mut manifest = self.manifest.clone();
        manifest.replace(base, first.map_or(u64::MAX, |first| first.sequence));
        if let Some(first) = first
            && manifest.incremental.is_empty()
        {
            manifest.incremental.push(first.clone());
        }
        self.write_manifest(manifest)?;
        self.remove_history();
        Ok(())
    }

    /// Removes the files that are no longer needed. What cannot be removed stays for the next time.
    pub fn remove_history(&mut self) {
        let is_read = Arc::strong_count(&self.clones) > 1;
        if is_read || self.keeps_history.load(Relaxed) || self.manifest.history.is_empty() {
            return;
        }
        let mut manifest = self.manifest.clone();
        manifest.history.retain(|part| match self.files.remove(&self.path_of(&part.name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = part.name, %error, "cannot remove an old file of the AOF");
                true
            }
            _ => false,
        });
        if let Err(error) = self.write_manifest(manifest) {
            tracing::warn!(%error, "cannot write the AOF manifest after removing old files");
        }
    }

    /// Removes the bases that processes which are gone have not finished.
    pub fn remove_leftovers(&self) {
        remove_leftovers(&*self.files, &self.path, BASE_BEGIN, BASE_END);
    }

    /// Removes what a rewrite has left that was not finished.
    pub fn remove_temporary(&self, part: Option<&Part>) {
        // There may be none.
        drop(self.files.remove(&self.temporary_base()));
        if let Some(part) = part {
            drop(self.files.remove(&self.path_of(&part.name)));
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
