//! `kvarts check`: looks through RDB files, append-only files and folders with them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::aof::check as requests;
use super::lock::{FolderLock, LOCK_END};
use super::rdb::check as snapshot;
use crate::aof::Manifest;

/// Largest manifest that is read, in bytes.
const MANIFEST_MAX: u64 = 64 << 20;

/// A look through files.
pub(super) struct Check<'o> {
    /// Whether torn ends are cut.
    pub(super) fixes: bool,
    pub(super) out: &'o mut dyn Write,
}

/// What a file is, as far as it matters for looking through it.
enum Kind {
    Snapshot,
    Requests,
    Manifest,
}

impl Check<'_> {
    /// Looks through a file, or all files of a folder. Returns whether nothing is wrong, or nothing any more.
    pub(super) fn path(&mut self, path: &Path) -> io::Result<bool> {
        if path.is_dir() {
            return self.folder(path);
        }
        let kind = match kind_of(path) {
            Ok(kind) => kind,
            Err(error) => return self.wrong(path, &error),
        };
        match kind {
            Kind::Snapshot => self.snapshot(path),
            Kind::Requests => self.part(path, true),
            Kind::Manifest => self.manifest(path),
        }
    }

    fn wrong(&mut self, path: &Path, what: &dyn std::fmt::Display) -> io::Result<bool> {
        writeln!(self.out, "{}: {what}", path.display())?;
        Ok(false)
    }

    /// A folder: its RDB files, its manifests, and those of the folders in it.
    fn folder(&mut self, path: &Path) -> io::Result<bool> {
        let of_this = files_of(path)?;
        let mut manifests = of_this.manifests.clone();
        for folder in &of_this.folders {
            // Other folders are nobody's business.
            manifests.extend(files_of(folder).map(|files| files.manifests).unwrap_or_default());
        }
        let named: BTreeSet<PathBuf> = of_this.manifests.iter().flat_map(|path| names_of(path)).collect();
        let alone = |path: &&PathBuf| !named.contains(*path);
        let snapshots: Vec<_> = of_this.snapshots.iter().filter(alone).cloned().collect();
        let parts: Vec<_> = of_this.parts.iter().filter(alone).cloned().collect();
        let mut is_right = true;
        for file in snapshots {
            is_right &= self.snapshot(&file)?;
        }
        for file in &manifests {
            is_right &= self.manifest(file)?;
        }
        let is_nothing = of_this.snapshots.is_empty() && manifests.is_empty() && parts.is_empty();
        if of_this.manifests.is_empty() {
            // Files whose manifest is gone, or the single file of old versions.
            for file in parts {
                is_right &= self.part(&file, true)?;
                if is_numbered(&file) {
                    is_right = self.wrong(&file, &"WRONG: no manifest names this file: it is not loaded")?;
                }
            }
        }
        if is_nothing {
            return self.wrong(path, &"no .rdb file, .aof file or .manifest in it");
        }
        Ok(is_right)
    }

    fn snapshot(&mut self, path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) => return self.wrong(path, &error),
        };
        let report = snapshot::check(file, now_ms())?;
        write!(self.out, "{}: {report}", path.display())?;
        if report.is_right() || !self.fixes {
            return Ok(report.is_right());
        }
        let Some(_locks) = self.lock(path, 1)? else { return Ok(false) };
        match snapshot::fix(path, &report)? {
            Some(snapshot::Cut { kept, cut, original }) => {
                let original = original.display();
                writeln!(self.out, "cut: {cut} bytes behind byte {kept}; the file as it was is {original}")?;
                // Other errors are still in it.
                Ok(report.error_count == 1)
            }
            None => {
                writeln!(self.out, "not fixed: only a file that ends too early can be")?;
                Ok(false)
            }
        }
    }

    /// A file of an append-only file; only of the last one may an end be cut.
    fn part(&mut self, path: &Path, is_last: bool) -> io::Result<bool> {
        let report = match requests::check(path, now_ms()) {
            Ok(report) => report,
            Err(error) => return self.wrong(path, &error),
        };
        write!(self.out, "{}: {report}", path.display())?;
        if report.is_right() || !self.fixes {
            return Ok(report.is_right());
        }
        if !is_last {
            writeln!(self.out, "not fixed: other files follow, which go on from what is missing here")?;
            return Ok(false);
        }
        let Some(_locks) = self.lock(path, 2)? else { return Ok(false) };
        let Some(cut) = requests::fix(path, &report)? else {
            writeln!(self.out, "not fixed: only a torn end can be cut")?;
            return Ok(false);
        };
        let requests::Cut { kept, cut, tail, request_at } = cut;
        writeln!(self.out, "cut: {cut} bytes behind byte {kept}; they are in {}", tail.display())?;
        if let Some(at) = request_at {
            writeln!(
                self.out,
                "look there: a request seems to begin at offset {at}, so more may be wrong than a torn end"
            )?;
        }
        Ok(true)
    }

    fn manifest(&mut self, path: &Path) -> io::Result<bool> {
        let mut bytes = Vec::new();
        if let Err(error) = File::open(path).and_then(|file| file.take(MANIFEST_MAX).read_to_end(&mut bytes))
        {
            return self.wrong(path, &error);
        }
        let manifest = match Manifest::parse(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => return self.wrong(path, &format_args!("WRONG: {error}")),
        };
        let (bases, increments) = (usize::from(manifest.base.is_some()), manifest.incremental.len());
        let past = manifest.history.len();
        writeln!(
            self.out,
            "{}: manifest, {bases} base, {increments} incremental files, {past} of history",
            path.display()
        )?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let lines = lines_of(&bytes);
        let mut is_right = true;
        for (name, lines) in &lines {
            if let [_, again, ..] = lines[..] {
                is_right = self.wrong(path, &format_args!("WRONG: line {again} names {name} again"))?;
            }
        }
        let last = manifest.live().last().map(|part| part.name.clone());
        for part in manifest.live() {
            let file = folder.join(&part.name);
            if !file.exists() {
                let line = lines.get(&part.name).and_then(|lines| lines.first()).copied().unwrap_or_default();
                let what = format!("WRONG: line {line} names {}, which is not there", part.name);
                is_right = self.wrong(path, &what)?;
                continue;
            }
            is_right &= self.part(&file, last.as_ref() == Some(&part.name))?;
        }
        self.tell_others(folder, &lines)?;
        Ok(is_right)
    }

    /// Says which files beside a manifest it does not name.
    fn tell_others(&mut self, folder: &Path, lines: &BTreeMap<String, Vec<usize>>) -> io::Result<()> {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(here)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_part = ![".manifest", LOCK_END].iter().any(|end| name.ends_with(end));
            if entry.path().is_file() && is_part && !lines.contains_key(&name) {
                names.insert(name);
            }
        }
        for name in names {
            writeln!(self.out, "{}: no manifest names it; it is not loaded", folder.join(name).display())?;
        }
        Ok(())
    }

    /// Keeps servers out of the folder of a file that is to be changed, or out of so many folders above it.
    /// `None` where one is in them.
    fn lock(&mut self, path: &Path, levels: usize) -> io::Result<Option<Vec<FolderLock>>> {
        let absolute = std::path::absolute(path)?;
        let mut locks = Vec::new();
        for folder in absolute.ancestors().skip(1).take(levels) {
            for stem in FolderLock::stems_in(folder) {
                match FolderLock::take(folder, &stem) {
                    Ok(lock) => locks.push(lock),
                    Err(error) => {
                        writeln!(self.out, "not fixed: {error}")?;
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(locks))
    }
}

/// Says what a file is by its name, else by its first byte.
fn kind_of(path: &Path) -> io::Result<Kind> {
    let mut first = Vec::new();
    File::open(path)?.take(1).read_to_end(&mut first)?;
    Ok(match path.extension().and_then(OsStr::to_str) {
        Some("manifest") => Kind::Manifest,
        Some("aof") => Kind::Requests,
        _ if matches!(first[..], [b'*' | b'#']) => Kind::Requests,
        _ => Kind::Snapshot,
    })
}

/// The files of a folder that can be looked through, and the folders in it.
#[derive(Default)]
struct FolderFiles {
    snapshots: Vec<PathBuf>,
    parts: Vec<PathBuf>,
    manifests: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

fn files_of(path: &Path) -> io::Result<FolderFiles> {
    let mut files = FolderFiles::default();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            files.folders.push(path);
            continue;
        }
        match path.extension().and_then(OsStr::to_str) {
            Some("rdb") => files.snapshots.push(path),
            Some("aof") => files.parts.push(path),
            Some("manifest") => files.manifests.push(path),
            _ => {}
        }
    }
    for list in [&mut files.snapshots, &mut files.parts, &mut files.manifests, &mut files.folders] {
        list.sort();
    }
    Ok(files)
}

/// The files that a manifest names; none where it cannot be read.
fn names_of(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let bytes = std::fs::read(path).unwrap_or_default();
    lines_of(&bytes).into_keys().map(|name| folder.join(name)).collect()
}

/// The lines of a manifest on which each name stands, counted from 1.
fn lines_of(bytes: &[u8]) -> BTreeMap<String, Vec<usize>> {
    let mut lines: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Ok(manifest) = Manifest::parse(line) else { continue };
        for part in manifest.live().chain(&manifest.history) {
            lines.entry(part.name.clone()).or_default().push(index + 1);
        }
    }
    lines
}

/// Whether a name is one that only files of a manifest have: `NAME.1.incr.aof`.
fn is_numbered(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".incr.aof") || name.ends_with(".base.aof")
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
}
