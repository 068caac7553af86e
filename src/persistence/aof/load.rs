//! Loading: repeats the requests of the files in an empty keyspace.

use std::io::{self, Read};
use std::path::Path;

use thiserror::Error;

use super::folder::Folder;
use crate::aof::{Part, PartError, Requests, Step};
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::batch::{Scratch, Stop};
use crate::engine::client::Client;
use crate::engine::replies::first_error;
use crate::persistence::rdb::{self, load::Purpose};

/// How errors begin that say that a request names no command, or is none.
const NO_COMMAND: [&[u8]; 3] =
    [b"ERR unknown command", b"ERR unknown subcommand", b"ERR wrong number of arguments for"];

/// Bytes read from a file at once.
const PIECE: usize = 1 << 20;

/// Why files cannot be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file cannot be opened or read.
    #[error("Fatal error: can't open the append log file {path} for reading: {}", plain(.error))]
    File {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// A file has bytes that are no requests.
    #[error(
        "Bad file format reading the append only file {path}: {error}. Make a backup of your AOF file, then cut it there"
    )]
    Format {
        /// The file.
        path: String,
        /// What is wrong, and where.
        error: PartError,
    },
    /// A file ends within a request or a transaction, and may not (`aof-load-truncated no`, or it is not the
    /// last one).
    #[error(
        "Unexpected end of file reading the append only file {path}: it is whole up to offset {whole} of {len}. You can cut it there, or set aof-load-truncated to yes if it is the last file"
    )]
    Torn {
        /// The file.
        path: String,
        /// Bytes up to the end of the last whole request or transaction.
        whole: u64,
        /// Bytes of the file.
        len: u64,
    },
    /// A file asks for a command that there is not.
    #[error("{path}: the request at offset {offset} cannot be repeated: {reply}")]
    Unknown {
        /// The file.
        path: String,
        /// Where the request, or the batch that it is in, begins.
        offset: u64,
        /// The error.
        reply: String,
    },
    /// The snapshot with which a file begins cannot be loaded.
    #[error(transparent)]
    Snapshot(#[from] rdb::load::LoadError),
    /// The server was asked to end meanwhile.
    #[error("the server was asked to end while it loaded {path}")]
    Stopped {
        /// The file.
        path: String,
    },
}

/// The system's words, without the number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// What was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Bytes of all files.
    pub bytes: u64,
    /// Requests that were repeated.
    pub requests: u64,
}

/// Repeats the files that the folder's manifest names. A torn end of the last one is cut off where
/// `cuts_torn_end` allows it.
///
/// # Errors
/// A file that cannot be read, is wrong or is torn.
pub fn load(server: &Server, folder: &Folder, cuts_torn_end: bool) -> Result<Loaded, LoadError> {
    let mut loaded = Loaded::default();
    server.loading.expect(folder.total_bytes());
    let last = folder.manifest.live().last().map(|part| part.name.clone());
    for part in folder.manifest.live() {
        let is_last = last.as_ref() == Some(&part.name);
        load_part(server, folder, part, cuts_torn_end && is_last, &mut loaded)?;
    }
    Ok(loaded)
}

/// Removes all data and all functions, and repeats the files; what happens is told to nobody.
///
/// # Errors
/// As [`load`].
pub fn reload(server: &Server, folder: &Folder) -> Result<Loaded, LoadError> {
    empty(server)?;
    load(server, folder, false)
}

/// Removes all data and functions, without a word to anybody.
///
/// # Errors
/// None that a request without keys could have.
pub fn empty(server: &Server) -> Result<(), LoadError> {
    let mut player = Player::new(server, Path::new("DEBUG RELOAD"));
    player.run_alone(b"*1\r\n$8\r\nFLUSHALL\r\n*2\r\n$8\r\nFUNCTION\r\n$5\r\nFLUSH\r\n")
}

fn load_part(
    server: &Server,
    folder: &Folder,
    part: &Part,
    cuts: bool,
    loaded: &mut Loaded,
) -> Result<(), LoadError> {
    let path = folder.path_of(&part.name);
    let shown = || path.display().to_string();
    let failed = |error| LoadError::File { path: shown(), error };
    let mut file = folder.files.read(&path).map_err(failed)?;
    let mut player = Player::new(server, &path);
    if begins_with_snapshot(&mut *file).map_err(failed)? {
        let end = rdb::load::load(server, &*folder.files, &path, Purpose::Base)?.end;
        player.requests = Requests::new(end);
    }
    let start = player.requests.offset();
    file = folder.files.read(&path).map_err(failed)?;
    io::copy(&mut (&mut file).take(start), &mut io::sink()).map_err(failed)?;
    let ended = player.play(file)?;
    loaded.requests += player.requests_run;
    loaded.bytes += ended.len;
    if ended.whole == ended.len {
        return Ok(());
    }
    let Ended { whole, len } = ended;
    if !cuts {
        return Err(LoadError::Torn { path: shown(), whole, len });
    }
    tracing::warn!(
        file = part.name,
        from = whole,
        bytes = len - whole,
        "!!! Warning: short read while loading the AOF file !!! AOF loaded anyway because aof-load-truncated is enabled; the torn end is cut off"
    );
    let cut = folder.files.append(&path).and_then(|file| {
        file.truncate(whole)?;
        file.sync()
    });
    cut.map_err(failed)
}

/// Whether a file begins with the bytes of an RDB file.
fn begins_with_snapshot(file: &mut dyn Read) -> io::Result<bool> {
    let mut magic = Vec::new();
    file.take(6).read_to_end(&mut magic)?;
    Ok(magic == b"REDIS0" || magic == b"VALKEY")
}

/// Where a file ends.
struct Ended {
    /// Bytes up to the end of the last whole request or transaction.
    whole: u64,
    /// Bytes of the file.
    len: u64,
}

/// Repeats the requests of one file.
struct Player<'s> {
    server: &'s Server,
    path: &'s Path,
    client: Client,
    scratch: Scratch,
    replies: Vec<u8>,
    buffer: Vec<u8>,
    /// Bytes at the buffer's front that were dealt with.
    done: usize,
    requests: Requests,
    requests_run: u64,
    /// Batches in which a request was answered by an error.
    refused: u64,
}

impl<'s> Player<'s> {
    fn new(server: &'s Server, path: &'s Path) -> Self {
        let client = Client::that_repeats(server);
        Self {
            server,
            path,
            client,
            scratch: Scratch::default(),
            replies: Vec::new(),
            buffer: Vec::new(),
            done: 0,
            requests: Requests::default(),
            requests_run: 0,
            refused: 0,
        }
    }

    /// Runs one request that stands in no file.
    fn run_alone(&mut self, request: &[u8]) -> Result<(), LoadError> {
        self.buffer.extend_from_slice(request);
        self.run_buffer()
    }

    fn play(&mut self, mut file: Box<dyn Read + Send>) -> Result<Ended, LoadError> {
        let shown = |path: &Path| path.display().to_string();
        let mut len = self.requests.offset();
        let stop = self.server.shutdown_signal();
        loop {
            if *stop.borrow() {
                return Err(LoadError::Stopped { path: shown(self.path) });
            }
            let read = self.read_piece(&mut *file);
            let read = read.map_err(|error| LoadError::File { path: shown(self.path), error })?;
            len += read as u64;
            self.server.loading.add_bytes(read as u64);
            if read == 0 {
                return Ok(Ended { whole: self.requests.whole(), len });
            }
            self.run_buffer()?;
        }
    }

    /// Reads on behind the bytes that are left. A long argument is read in steps that grow with it.
    fn read_piece(&mut self, file: &mut dyn Read) -> io::Result<usize> {
        self.buffer.drain(..self.done);
        self.done = 0;
        let piece = PIECE.max(self.buffer.len()) as u64;
        file.take(piece).read_to_end(&mut self.buffer)
    }

    /// Runs the whole requests of the buffer.
    fn run_buffer(&mut self) -> Result<(), LoadError> {
        let format = |path: &Path, error| LoadError::Format { path: path.display().to_string(), error };
        loop {
            let bytes = &self.buffer[self.done..];
            let step = self.requests.step(bytes).map_err(|error| format(self.path, error))?;
            match step {
                Step::More => return Ok(()),
                Step::Skip(count) => self.done += count,
                Step::Run(count) => {
                    let ran = self.run(count)?;
                    let bytes = &self.buffer[self.done..];
                    let dropped =
                        self.requests.consume(bytes, ran).map_err(|error| format(self.path, error))?;
                    self.done += dropped;
                    self.requests_run += ran as u64;
                }
            }
        }
    }

    /// Runs the first `count` requests. Returns how many have run.
    fn run(&mut self, count: usize) -> Result<usize, LoadError> {
        let Self { server, client, scratch, replies, requests, buffer, done, .. } = self;
        replies.clear();
        let end = server.run_batch(client, scratch, requests.decoder(), &buffer[*done..], count, replies);
        if let Some(error) = first_error(replies) {
            let reply = shown_reply(error, server.config.flag(Directive::HideUserDataFromLog));
            let (path, offset) = (self.path.display().to_string(), self.requests.offset());
            if NO_COMMAND.iter().any(|begin| error.starts_with(begin)) {
                return Err(LoadError::Unknown { path, offset, reply });
            }
            self.refused += 1;
            if self.refused == 1 {
                tracing::warn!(path, offset, reply, "a request of the append-only file was refused");
            }
        }
        if end.stop == Some(Stop::Busy) {
            std::thread::yield_now();
        }
        Ok(end.executed)
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
