//! [`Repeater`]: runs requests of an append-only file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::load::LoadError;
use crate::aof::{LIMITS, PartError};
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::batch::{Scratch, Stop};
use crate::engine::client::Client;
use crate::engine::replies::first_error;
use crate::resp::decode::Decoder;

/// How errors begin that say that a request names no command, or is none.
const NO_COMMAND: [&[u8]; 3] =
    [b"ERR unknown command", b"ERR unknown subcommand", b"ERR wrong number of arguments for"];

/// Runs requests of one file on one thread.
pub(super) struct Repeater<'s> {
    server: &'s Server,
    path: &'s Path,
    client: Client,
    scratch: Scratch,
    replies: Vec<u8>,
    /// Whether a request of the file was answered by an error, and the log told.
    refused: Arc<AtomicBool>,
}

impl<'s> Repeater<'s> {
    /// Makes one for requests of the file at `path`.
    pub(super) fn new(server: &'s Server, path: &'s Path) -> Self {
        let client = Client::that_repeats(server);
        let (scratch, replies) = (Scratch::default(), Vec::new());
        Self { server, path, client, scratch, replies, refused: Arc::default() }
    }

    /// Makes another one for the same file: of refused requests the log is told once.
    pub(super) fn another(&self) -> Self {
        Self { refused: Arc::clone(&self.refused), ..Self::new(self.server, self.path) }
    }

    /// The database in which the next request runs.
    pub(super) fn database(&self) -> usize {
        self.client.database
    }

    /// Has the next request run in a database, which must be there.
    pub(super) fn select(&mut self, database: usize) {
        self.client.select(database);
    }

    /// Runs the first `count` requests of the decoder, which begin at `offset` in the file. Returns how many
    /// have run: fewer where something slow is in the way.
    ///
    /// # Errors
    /// One of them names no command.
    pub(super) fn run(
        &mut self,
        decoder: &Decoder,
        bytes: &[u8],
        count: usize,
        offset: u64,
    ) -> Result<usize, LoadError> {
        let Self { server, client, scratch, replies, .. } = self;
        replies.clear();
        let end = server.run_batch(client, scratch, decoder, bytes, count, replies);
        if let Some(error) = first_error(&self.replies) {
            self.refuse(error, offset)?;
        }
        if end.stop == Some(Stop::Busy) {
            std::thread::yield_now();
        }
        Ok(end.executed)
    }

    /// Runs all requests of `bytes`; each begins at its place of `offsets` in the file.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(super) fn run_all(&mut self, mut bytes: &[u8], mut offsets: &[u64]) -> Result<(), LoadError> {
        let mut decoder = Decoder::new();
        while let Some(&offset) = offsets.first() {
            let count = decoder.decode(bytes, LIMITS).map_err(|error| {
                let error = PartError { offset, what: error.into() };
                LoadError::Format { path: self.shown_path(), error }
            })?;
            let ran = self.run(&decoder, bytes, count, offset)?;
            if ran > 0 {
                bytes = &bytes[decoder.consume(ran)..];
                offsets = &offsets[ran..];
            }
        }
        Ok(())
    }

    /// Says that a request was answered by an error: once in the log, unless it is no request at all.
    fn refuse(&self, error: &[u8], offset: u64) -> Result<(), LoadError> {
        let reply = shown_reply(error, self.server.config.flag(Directive::HideUserDataFromLog));
        let path = self.shown_path();
        if NO_COMMAND.iter().any(|begin| error.starts_with(begin)) {
            return Err(LoadError::Unknown { path, offset, reply });
        }
        if !self.refused.swap(true, Ordering::Relaxed) {
            tracing::warn!(path, offset, reply, "a request of the append-only file was refused");
        }
        Ok(())
    }

    fn shown_path(&self) -> String {
        self.path.display().to_string()
    }
}

/// An error as it is logged: without the arguments, and but for the name of a command without any text, where
/// user data stay out of the log.
fn shown_reply(error: &[u8], hides_user_data: bool) -> String {
    let text = String::from_utf8_lossy(error);
    if !hides_user_data {
        return text.into_owned();
    }
    if NO_COMMAND.iter().any(|begin| error.starts_with(begin)) {
        return text.split(", with args").next().unwrap_or_default().to_owned();
    }
    format!("{} *redacted*", text.split(' ').next().unwrap_or_default())
}
