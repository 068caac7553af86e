//! Files that several processes may make at the same time. Each is written beside its place and then put
//! there whole, so a reader never sees half of one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::TlsError;

/// Mode of a file that holds a secret.
pub(super) const SECRET: u32 = 0o600;
/// Mode of a file for everybody.
pub(super) const PUBLIC: u32 = 0o644;
/// Size in bytes beyond which a file is taken for something else.
const MAX_BYTES: u64 = 1 << 20;
/// Names tried for a file beside its place, of which crashed processes may have left some.
const MAX_ATTEMPTS: u32 = 1000;

/// Makes the folder unless it is there.
pub(super) fn make_folder(path: &Path) -> Result<(), TlsError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| write_error(path, &error))
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    read_if_there(path)?.ok_or_else(|| read_error(path, &io::ErrorKind::NotFound.into()))
}

/// Reads a file; `None` when there is none.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, TlsError> {
    use std::io::Read;

    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(read_error(path, &error)),
    };
    let mut content = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut content).map_err(|error| read_error(path, &error))?;
    Ok(Some(content))
}

/// Writes a file, over one that is there.
pub(super) fn write(path: &Path, mode: u32, content: &[u8]) -> Result<(), TlsError> {
    let beside = write_beside(path, mode, content)?;
    std::fs::rename(&beside, path).map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        write_error(path, &error)
    })
}

/// Writes a file unless there is one, and returns what is there then: of several processes the first one's.
pub(super) fn write_first(path: &Path, mode: u32, content: &[u8]) -> Result<Vec<u8>, TlsError> {
    let beside = write_beside(path, mode, content)?;
    let linked = match std::fs::hard_link(&beside, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
            // A file system without links: the last one wins, by a hair's breadth.
            std::fs::rename(&beside, path)
        }
        _ => Ok(()),
    };
    let _ = std::fs::remove_file(&beside);
    linked.map_err(|error| write_error(path, &error))?;
    read(path)
}

fn write_beside(path: &Path, mode: u32, content: &[u8]) -> Result<PathBuf, TlsError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for attempt in 0..MAX_ATTEMPTS {
        let beside = path.with_file_name(format!(".{name}.{}.{attempt}.tmp", std::process::id()));
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(write_error(&beside, &error)),
        };
        return match file.write_all(content).and_then(|()| file.sync_all()) {
            Ok(()) => Ok(beside),
            Err(error) => {
                let _ = std::fs::remove_file(&beside);
                Err(write_error(&beside, &error))
            }
        };
    }
    Err(write_error(path, &io::ErrorKind::AlreadyExists.into()))
}

pub(super) fn read_error(path: &Path, error: &io::Error) -> TlsError {
    TlsError::Read { path: path.to_owned(), reason: error.to_string() }
}

fn write_error(path: &Path, error: &io::Error) -> TlsError {
    TlsError::Write { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::Folder;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn of_many_writers_the_first_one_wins_whole() {
        let folder = Folder::new();
        let path = folder.path().join("file");
        let seen: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8u8)
                .map(|writer| {
                    let path = &path;
                    scope.spawn(move || write_first(path, SECRET, &vec![writer; 10_000]).expect("written"))
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().expect("no panic")).collect()
        });
        assert!(seen.iter().all(|content| content == &seen[0] && content.len() == 10_000));
        let left = std::fs::read_dir(folder.path()).expect("readable").count();
        assert_eq!(left, 1);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, SECRET);
    }

    #[test]
    fn writing_replaces_what_is_there() {
        let folder = Folder::new();
        let path = folder.write("file", "old");
        write(&path, PUBLIC, b"new").expect("written");
        assert_eq!(read(&path).expect("there"), b"new");
        assert!(matches!(read(&folder.path().join("none")), Err(TlsError::Read { .. })));
    }
}
