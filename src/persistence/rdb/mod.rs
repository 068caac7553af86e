//! RDB files: loading them, looking through them, converting them.

pub mod check;
pub mod convert;
pub mod load;
pub mod take;

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::files::Files;
use crate::config::Directive;
use crate::engine::Server;
use crate::rdb::file::{Fault, FileError};
use crate::replication::StreamPlace;
use load::{LoadError, Purpose};

/// The file that holds all the data: `dbfilename` in `dir`, if there is one.
pub fn existing_file(server: &Server) -> Option<PathBuf> {
    let path = server.config.path(Directive::Dbfilename)?;
    // Whatever cannot be looked at is found out when it is opened.
    path.try_exists().unwrap_or(true).then_some(path)
}

/// Loads the file that holds all the data, and logs what it held. Returns the place in the stream that
/// went on behind it, if it names any.
///
/// # Errors
/// A file that cannot be read or is broken.
pub fn load_data(
    server: &Server,
    files: &dyn Files,
    path: &Path,
    purpose: Purpose,
) -> Result<Option<StreamPlace>, LoadError> {
    let started = Instant::now();
    // What is no file has no length, and an error when it is opened.
    server.loading.expect(files.len(path).unwrap_or(0));
    let loaded = load::load(server, files, path, purpose).inspect_err(|error| {
        if let LoadError::Wrong { error: FileError { fault: Fault::Opcode(_), .. }, .. } = error {
            // In the words that tools look for; the caller tells where it is.
            tracing::error!("Unknown type or opcode when loading DB. Unrecoverable error, aborting now.");
        }
    })?;
    let (keys, expired, ended) = (loaded.keys, loaded.expired, loaded.all_fields_expired);
    match loaded.empty {
        0 => tracing::info!(
            "Done loading RDB, keys loaded: {keys}, keys expired: {expired}, all fields expired hashes: {ended}."
        ),
        empty => tracing::info!(
            "Done loading RDB, keys loaded: {keys}, keys expired: {expired}, empty keys skipped: {empty}, all fields expired hashes: {ended}."
        ),
    }
    tracing::info!("DB loaded from disk: {:.3} seconds", started.elapsed().as_secs_f64());
    Ok(loaded.replication)
}
