//! Looks through one file of an append-only file: what its requests are, and where it is torn or wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::aof::{PartError, Requests, Step};
use crate::persistence::rdb::check::{self as snapshot, Report as Snapshot};

/// Bytes read from a file at once.
const PIECE: usize = 1 << 20;

/// Names of commands that are told apart; what is beyond is counted as one.
const NAMES_MAX: usize = 1000;

/// Databases that are told apart.
const DATABASES_MAX: usize = 10_000;

/// Longest name of a command that is told, in bytes.
const NAME_MAX: usize = 64;

/// What a file holds.
#[derive(Debug, Default)]
pub struct Report {
    /// The snapshot with which it begins.
    pub snapshot: Option<Snapshot>,
    /// Bytes of the file.
    pub len: u64,
    /// Bytes up to the end of the last whole request or transaction.
    pub whole: u64,
    /// Requests of all kinds, those of a snapshot not counted.
    pub requests: u64,
    /// Requests but MULTI, EXEC and SELECT.
    pub changes: u64,
    /// Whole transactions.
    pub transactions: u64,
    /// Changes by the name of their command.
    pub names: BTreeMap<String, u64>,
    /// Changes by the number of the database.
    pub databases: BTreeMap<u64, u64>,
    /// The first and the last time noted, in seconds of Unix time.
    pub times_s: Option<(u64, u64)>,
    /// What is wrong.
    pub error: Option<Wrong>,
    database: u64,
}

/// What is wrong with a file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Wrong {
    /// Bytes that are no requests.
    #[error("{0}")]
    Format(PartError),
    /// It ends within a request.
    #[error("the file ends within the request at offset {0}")]
    Request(u64),
    /// It ends within a transaction.
    #[error("the file ends within the transaction at offset {0}: its EXEC is missing")]
    Transaction(u64),
    /// Zeros follow the last request, as after a crash of the machine.
    #[error("nothing but zeros follows from offset {0} on")]
    Zeros(u64),
    /// The snapshot with which it begins is not right.
    #[error("the snapshot with which the file begins is not right")]
    Snapshot,
}

impl Wrong {
    /// Whether only the end is missing: what stands before it is whole, and the rest may be cut.
    pub fn is_torn_end(&self) -> bool {
        matches!(self, Wrong::Request(_) | Wrong::Transaction(_) | Wrong::Zeros(_))
    }
}

/// Looks through a file. `now_ms` says which keys of a snapshot have ended.
///
/// # Errors
/// The file cannot be read.
pub fn check(path: &Path, now_ms: u64) -> io::Result<Report> {
    let mut file = File::open(path)?;
    let mut report = Report { len: file.metadata()?.len(), ..Report::default() };
    let mut magic = Vec::new();
    (&mut file).take(6).read_to_end(&mut magic)?;
    file.rewind()?;
    if magic == b"REDIS0" || magic == b"VALKEY" {
        let found = snapshot::check(&mut file, now_ms)?;
        (report.len, report.whole) = (found.len, found.end);
        let is_right = found.is_right();
        report.snapshot = Some(found);
        if !is_right {
            report.error = Some(Wrong::Snapshot);
            return Ok(report);
        }
        file.seek(SeekFrom::Start(report.whole))?;
    }
    report.read_requests(&mut file)?;
    Ok(report)
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_right(&self) -> bool {
        self.error.is_none()
    }

    fn read_requests(&mut self, file: &mut File) -> io::Result<()> {
        let mut requests = Requests::new(self.whole);
        let mut buffer = Vec::new();
        loop {
            match self.take_whole(&mut requests, &mut buffer) {
                Ok(()) => self.whole = requests.whole(),
                Err(error) => {
                    self.whole = requests.whole().min(error.offset);
                    let zeros = requests.offset() == error.offset && is_zeros(&buffer, file)?;
                    self.error = Some(if zeros { Wrong::Zeros(error.offset) } else { Wrong::Format(error) });
                    return Ok(());
                }
            }
            // What cannot come any more is not read for.
            let left = self.len.saturating_sub(requests.offset() + buffer.len() as u64);
            let misses = requests.decoder().missing_bytes(buffer.len()) as u64;
            let read = if misses > left { 0 } else { fill(file, &mut buffer)? };
            if read == 0 {
                self.error = match requests.offset() {
                    offset if self.whole < offset => Some(Wrong::Transaction(self.whole)),
                    offset if offset < self.len => Some(Wrong::Request(offset)),
                    _ => None,
                };
                return Ok(());
            }
        }
    }

    /// Takes all whole requests from the buffer's front.
    fn take_whole(&mut self, requests: &mut Requests, buffer: &mut Vec<u8>) -> Result<(), PartError> {
        let mut done = 0;
        let result = loop {
            match requests.step(&buffer[done..]) {
                Ok(Step::More) => break Ok(()),
                Ok(Step::Skip(count)) => {
                    done += count;
                    if let Some(time_s) = requests.time_s() {
                        self.times_s = Some((self.times_s.map_or(time_s, |times| times.0), time_s));
                    }
                }
                Ok(Step::Run(count)) => {
                    let mut words = Vec::new();
                    for index in 0..count {
                        words.clear();
                        requests.decoder().arguments(&buffer[done..], index, &mut words);
                        self.request(&words);
                    }
                    match requests.consume(&buffer[done..], count) {
                        Ok(dropped) => done += dropped,
                        Err(error) => break Err(error),
                    }
                }
                Err(error) => break Err(error),
            }
        };
        buffer.drain(..done);
        result
    }

    fn request(&mut self, words: &[&[u8]]) {
        self.requests += 1;
        let name = words[0].to_ascii_lowercase();
        match &*name {
            b"multi" => return,
            b"exec" => {
                self.transactions += 1;
                return;
            }
            b"select" => {
                let number = words.get(1).and_then(|number| std::str::from_utf8(number).ok());
                self.database = number.and_then(|number| number.parse().ok()).unwrap_or(self.database);
                return;
            }
            _ => {}
        }
        self.changes += 1;
        if self.databases.len() < DATABASES_MAX || self.databases.contains_key(&self.database) {
            *self.databases.entry(self.database).or_default() += 1;
        }
        let mut name = name[..name.len().min(NAME_MAX)].escape_ascii().to_string();
        if self.names.len() >= NAMES_MAX && !self.names.contains_key(&name) {
            name = "others".to_owned();
        }
        *self.names.entry(name).or_default() += 1;
    }
}

/// Reads on behind what the buffer has, in steps that grow with it.
fn fill(file: &mut File, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let piece = PIECE.max(buffer.len()) as u64;
    file.take(piece).read_to_end(buffer)
}

/// Whether there are only zeros in a buffer and in the rest of its file.
fn is_zeros(buffer: &[u8], file: &mut File) -> io::Result<bool> {
    let mut piece = buffer.to_vec();
    loop {
        if piece.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        piece.clear();
        if file.take(PIECE as u64).read_to_end(&mut piece)? == 0 {
            return Ok(true);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { len, requests, changes, transactions, .. } = self;
        match &self.snapshot {
            None => writeln!(f, "append-only file, {len} bytes")?,
            Some(snapshot) => {
                writeln!(f, "append-only file that begins with a snapshot, {len} bytes")?;
                write!(f, "{snapshot}")?;
            }
        }
        write!(f, "{changes} changes in {requests} requests, {transactions} transactions")?;
        match self.times_s {
            Some((first, last)) => writeln!(f, ", times noted from {first} to {last}")?,
            None => writeln!(f)?,
        }
        for (number, count) in &self.databases {
            writeln!(f, "database {number}: {count} changes")?;
        }
        for (name, count) in &self.names {
            writeln!(f, "  {name}: {count}")?;
        }
        match &self.error {
            None => writeln!(f, "OK"),
            Some(error) => {
                let rest = len.saturating_sub(self.whole);
                writeln!(f, "WRONG: {error}; whole up to offset {}, {rest} bytes follow", self.whole)
            }
        }
    }
}

/// What [`fix`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the file that are kept.
    pub kept: u64,
    /// Bytes that were cut.
    pub cut: u64,
    /// Where these are.
    pub tail: PathBuf,
    /// Offset in the file at which another request seems to begin in what was cut.
    pub request_at: Option<u64>,
}

/// Cuts a torn end off. What is cut is kept in a file beside, with `.cut` behind its name. `None` where a
/// torn end is not what is wrong.
///
/// # Errors
/// The file cannot be read or written.
pub fn fix(path: &Path, report: &Report) -> io::Result<Option<Cut>> {
    if !report.error.as_ref().is_some_and(Wrong::is_torn_end) {
        return Ok(None);
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".cut");
    let tail = PathBuf::from(name);
    let mut file = File::options().read(true).write(true).open(path)?;
    file.seek(SeekFrom::Start(report.whole))?;
    let mut beside = File::options().write(true).create_new(true).open(&tail)?;
    let cut = io::copy(&mut file, &mut beside)?;
    beside.sync_all()?;
    let is_request = matches!(report.error, Some(Wrong::Request(_)));
    let request_at = if is_request { next_request(&tail)? } else { None };
    file.set_len(report.whole)?;
    file.sync_all()?;
    let request_at = request_at.map(|at| at + report.whole);
    Ok(Some(Cut { kept: report.whole, cut, tail, request_at }))
}

/// Where a request seems to begin behind the first byte of a file: a line end, then a line with a number of
/// words and the beginning of one with a length.
fn next_request(path: &Path) -> io::Result<Option<u64>> {
    let mut file = File::open(path)?;
    let (mut bytes, mut base) = (Vec::new(), 0);
    loop {
        let read = file.by_ref().take(PIECE as u64).read_to_end(&mut bytes)?;
        for at in memchr::memmem::find_iter(&bytes, b"\r\n*") {
            let digits = bytes[at + 3..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits > 0 && bytes[at + 3 + digits..].starts_with(b"\r\n$") {
                return Ok(Some(base + at as u64 + 2));
            }
        }
        if read == 0 {
            return Ok(None);
        }
        // A beginning may lie across two pieces.
        let done = bytes.len().saturating_sub(32);
        bytes.drain(..done);
        base += done as u64;
    }
}
