//! Loading: repeats the requests of the files in an empty keyspace.

use std::io::{self, Read};
use std::path::Path;

use thiserror::Error;

use super::folder::Folder;
use super::lanes::{Ground, Lanes, Routed, Router};
use super::repeat::Repeater;
use crate::aof::{Part, PartError, Requests, Step};
use crate::engine::Server;
use crate::persistence::rdb::{self, load::Purpose};

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

impl LoadError {
    /// Where in the file it was met, as far as it says.
    pub(super) fn offset(&self) -> Option<u64> {
        match self {
            Self::Format { error, .. } => Some(error.offset),
            Self::Unknown { offset, .. } => Some(*offset),
            _ => None,
        }
    }
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
    let ground = Ground::default();
    let mut player = Player::new(server, &path);
    if begins_with_snapshot(&mut *file).map_err(failed)? {
        let end = rdb::load::load(server, &*folder.files, &path, Purpose::Base)?.end;
        player.requests = Requests::new(end);
    }
    let start = player.requests.offset();
    file = folder.files.read(&path).map_err(failed)?;
    io::copy(&mut (&mut file).take(start), &mut io::sink()).map_err(failed)?;
    let ended = std::thread::scope(|scope| {
        // Dropped here, whatever happens: the lanes' threads end when no request can come any more.
        let mut player = player;
        if server.identity.workers > 1 {
            let lanes = Lanes::start(scope, &ground, server.identity.workers, &player.repeater);
            player.lanes = Some(lanes.map_err(failed)?);
        }
        let ended = player.play(file);
        loaded.requests += player.requests_run;
        ended
    })?;
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
    repeater: Repeater<'s>,
    /// Runs requests beside each other where there are several cores.
    lanes: Option<Lanes<'s>>,
    buffer: Vec<u8>,
    /// Bytes at the buffer's front that were dealt with.
    done: usize,
    requests: Requests,
    requests_run: u64,
}

impl<'s> Player<'s> {
    fn new(server: &'s Server, path: &'s Path) -> Self {
        Self {
            server,
            path,
            repeater: Repeater::new(server, path),
            lanes: None,
            buffer: Vec::new(),
            done: 0,
            requests: Requests::default(),
            requests_run: 0,
        }
    }

    /// Runs requests that stand in no file.
    fn run_alone(&mut self, requests: &[u8]) -> Result<(), LoadError> {
        self.buffer.extend_from_slice(requests);
        self.run_buffer()
    }

    fn play(&mut self, mut file: Box<dyn Read + Send>) -> Result<Ended, LoadError> {
        let mut len = self.requests.offset();
        let stop = self.server.shutdown_signal();
        loop {
            if *stop.borrow() {
                return Err(LoadError::Stopped { path: self.shown_path() });
            }
            let read = self.read_piece(&mut *file);
            let read = read.map_err(|error| LoadError::File { path: self.shown_path(), error })?;
            len += read as u64;
            self.server.loading.add_bytes(read as u64);
            if read == 0 {
                self.wait_for_lanes()?;
                return Ok(Ended { whole: self.requests.whole(), len });
            }
            if let Err(error) = self.run_buffer() {
                // What a lane has met may stand before it.
                self.wait_for_lanes()?;
                return Err(error);
            }
        }
    }

    /// Reads on behind the bytes that are left. A long argument is read in steps that grow with it.
    fn read_piece(&mut self, file: &mut dyn Read) -> io::Result<usize> {
        self.buffer.drain(..self.done);
        self.done = 0;
        let piece = PIECE.max(self.buffer.len()) as u64;
        file.take(piece).read_to_end(&mut self.buffer)
    }

    /// Runs the whole requests of the buffer, or hands them to the lanes.
    fn run_buffer(&mut self) -> Result<(), LoadError> {
        loop {
            let bytes = &self.buffer[self.done..];
            let step = self.requests.step(bytes).map_err(|error| self.wrong(error))?;
            match step {
                Step::More => return Ok(()),
                Step::Skip(count) => self.done += count,
                Step::Run(count) => {
                    let ran = self.run(count)?;
                    let bytes = &self.buffer[self.done..];
                    let dropped = self.requests.consume(bytes, ran);
                    self.done += dropped.map_err(|error| self.wrong(error))?;
                    self.requests_run += ran as u64;
                }
            }
        }
    }

    /// Runs some of the first `count` requests, or hands them to the lanes. Returns how many.
    fn run(&mut self, count: usize) -> Result<usize, LoadError> {
        let Self { server, repeater, requests, buffer, done, lanes, .. } = self;
        let (decoder, bytes, offset) = (requests.decoder(), &buffer[*done..], requests.offset());
        let Some(lanes) = lanes else { return repeater.run(decoder, bytes, count, offset) };
        if lanes.gives_way() {
            return repeater.run(decoder, bytes, count, offset);
        }
        let grouped = requests.grouped(bytes, count);
        if grouped > 0 {
            lanes.barrier()?;
            return repeater.run(decoder, bytes, grouped, offset);
        }
        let router = Router { server, decoder, bytes, database: repeater.database() };
        match router.route(lanes, count, offset)? {
            Routed::Taken(count) => Ok(count),
            Routed::Select => repeater.run(decoder, bytes, 1, offset),
            Routed::Barrier => {
                lanes.barrier()?;
                repeater.run(decoder, bytes, 1, offset)
            }
        }
    }

    fn wait_for_lanes(&mut self) -> Result<(), LoadError> {
        self.lanes.as_mut().map_or(Ok(()), Lanes::barrier)
    }

    fn wrong(&self, error: PartError) -> LoadError {
        LoadError::Format { path: self.shown_path(), error }
    }

    fn shown_path(&self) -> String {
        self.path.display().to_string()
    }
}
