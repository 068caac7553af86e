//! Loads an RDB file into the keyspace, with all cores: one thread reads the file and finds where each value
//! ends; others read the values and insert them.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;

use crate::config::Directive;
use crate::engine::Server;
use crate::keyspace::access_clock::{AccessClock, fresh_access};
use crate::keyspace::database::Database;
use crate::keyspace::prefetch;
use crate::keyspace::reaper::FreeReason;
use crate::keyspace::record::Record;
use crate::keyspace::staged::Staged;
use crate::keyspace::table;
use crate::lua::functions::Policy;
use crate::persistence::files::Files;
use crate::rdb::file::read::{Accept, Attributes, FileReader, Item, Key, Next};
use crate::rdb::file::{Fault, FileError, HEADER};
use crate::rdb::{Element, FooterCheck, Limits, Nothing};
use crate::replication::StreamPlace;

/// Bytes read from a file at once.
const PIECE: usize = 1 << 20;

/// Bytes of values that are handed to another thread together. A longer value goes by itself.
const BATCH_BYTES: usize = 128 << 10;

/// Keys that are handed to another thread together at most.
const BATCH_KEYS: usize = 1024;

/// Keys whose places in memory are asked for ahead.
const AHEAD: usize = 64;

/// Batches that wait for a thread, for each thread.
const WAITING: usize = 2;

/// Why a file was not loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be opened or read.
    #[error("Fatal error: can't open the RDB file {} for reading: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file holds something that cannot be loaded.
    #[error("{}: {error}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        error: FileError,
    },
    /// The thread that loaded has panicked.
    #[error("the loading broke off")]
    Panicked,
    /// The server was asked to end meanwhile.
    #[error("the server was asked to end while it loaded {}", path.display())]
    Stopped {
        /// The file.
        path: PathBuf,
    },
}

/// What a file is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is all the data: keys and fields that have ended are left out, unless the file names a stream. They
    /// are removed once it is loaded then, as any others, so that those who follow the stream hear of it.
    Data,
    /// Changes follow that were made to all of its keys: none is left out.
    Base,
    /// It is all the data, as they were just before: nothing that has ended is left out, as whoever follows the
    /// journal has not heard that it is gone.
    Again,
    /// It is added to the data that are there: its keys and libraries replace those of the same name.
    Addition,
}

/// What was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Keys that were inserted and have not ended.
    pub keys: u64,
    /// Keys that had ended.
    pub expired: u64,
    /// Collections without elements, which were left out.
    pub empty: u64,
    /// Hashes all of whose fields had ended, which were left out.
    pub all_fields_expired: u64,
    /// Offset behind the file's last byte: what follows is of something else.
    pub end: u64,
    /// The place in the stream that the file was written at.
    pub replication: Option<StreamPlace>,
    /// Sources of its libraries of functions, where they are not added to those that are there.
    pub functions: Vec<Vec<u8>>,
}

/// Loads the file at `path`. Its bytes and keys are added to the server's figures of loading; whether data
/// are being loaded is the caller's to say.
///
/// # Errors
/// A file that cannot be read or is broken. What was loaded before stays.
pub fn load(server: &Server, files: &dyn Files, path: &Path, purpose: Purpose) -> Result<Loaded, LoadError> {
    let file = files.read(path).map_err(|error| LoadError::Read { path: path.to_owned(), error })?;
    load_from(server, file, path, purpose, None)
}

/// Reads the first bytes of the file at `path`: whether it is one that can be loaded, as far as they tell.
///
/// # Errors
/// A file that cannot be read, is of another kind or of an unknown version.
pub fn check_header(server: &Server, files: &dyn Files, path: &Path) -> Result<(), LoadError> {
    let failed = |error| LoadError::Read { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    files.read(path).map_err(failed)?.take(HEADER as u64).read_to_end(&mut bytes).map_err(failed)?;
    check_head(server, &bytes, path)
}

/// Does what [`check_header`] does with the first bytes of a file.
///
/// # Errors
/// As there.
pub fn check_head(server: &Server, bytes: &[u8], path: &Path) -> Result<(), LoadError> {
    let mut reader = FileReader::new(accept(server));
    reader.feed(bytes);
    let error = match reader.read_next() {
        Ok(Next::More) => reader.cut(),
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    Err(LoadError::Wrong { path: path.to_owned(), error })
}

/// Loads what `source` returns; `path` is its name in errors. With `staged` keys go into databases that nobody
/// sees, and libraries of functions are only collected.
///
/// # Errors
/// See [`load`].
pub fn load_from(
    server: &Server,
    source: impl Read,
    path: &Path,
    purpose: Purpose,
    staged: Option<&Staged<'_>>,
) -> Result<Loaded, LoadError> {
    let threads = server.identity.workers.max(1);
    let (sender, receiver) = sync_channel(WAITING * threads);
    let inserter = Inserter { staged, ..Inserter::new(server, purpose) };
    let mut reading = Reading::new(server, path, sender);
    reading.collects_functions = staged.is_some();
    if purpose == Purpose::Addition {
        reading.policy = Policy::Replace;
    }
    let read = std::thread::scope(|scope| {
        // Of the threads only, so that the reader does not wait for threads that have panicked.
        let receiver = Arc::new(Mutex::new(receiver));
        for worker in 0..threads {
            let (inserter, receiver) = (&inserter, Arc::clone(&receiver));
            scope.spawn(move || inserter.work(worker, &receiver));
        }
        drop(receiver);
        let read = reading.run(source, &inserter.failed);
        // The threads end when no batch can come any more.
        reading.sender = None;
        read
    });
    // Of several errors the first in the file is the one that explains the others.
    let wrong = |mut error: FileError| {
        if server.config.flag(Directive::HideUserDataFromLog) && error.key.is_some() {
            error.key = Some(Box::from(&b"*redacted*"[..]));
        }
        LoadError::Wrong { path: path.to_owned(), error }
    };
    match (read, inserter.error.into_inner()) {
        (Err(LoadError::Wrong { error: later, .. }), Some(error)) if later.offset < error.offset => {
            Err(wrong(later))
        }
        (Err(LoadError::Wrong { error, .. }), None) => Err(wrong(error)),
        (_, Some(error)) => Err(wrong(error)),
        (Err(error), None) => Err(error),
        (Ok(()), None) => {
            let mut loaded = inserter.loaded.into_inner();
            loaded.end = reading.end;
            loaded.replication = reading.replication();
            loaded.functions = reading.functions;
            Ok(loaded)
        }
    }
}

/// Keys and values that are handed to another thread.
struct Batch {
    database: usize,
    /// Whether the file names a stream.
    is_of_stream: bool,
    /// Name, value and what stands beside it of each key, one behind the other.
    bytes: Vec<u8>,
    keys: Vec<Entry>,
}

/// A key in a batch.
struct Entry {
    name_len: usize,
    value_len: usize,
    beside_len: usize,
    kind: u8,
    attributes: Attributes,
}

impl Batch {
    fn new(database: usize) -> Self {
        Self { database, is_of_stream: false, bytes: Vec::new(), keys: Vec::new() }
    }

    fn push(&mut self, key: &Key<'_>) {
        if self.bytes.is_empty() {
            self.bytes.reserve(BATCH_BYTES.max(key.name.len() + key.value.len()));
        }
        self.bytes.extend_from_slice(key.name);
        self.bytes.extend_from_slice(key.value);
        self.bytes.extend_from_slice(key.beside);
        self.keys.push(Entry {
            name_len: key.name.len(),
            value_len: key.value.len(),
            beside_len: key.beside.len(),
            kind: key.kind,
            attributes: key.attributes,
        });
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES || self.keys.len() >= BATCH_KEYS
    }

    fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        let mut at = 0;
        self.keys.iter().map(move |entry| {
            let (name, rest) = self.bytes[at..].split_at(entry.name_len);
            let (value, rest) = rest.split_at(entry.value_len);
            at += entry.name_len + entry.value_len + entry.beside_len;
            let &Entry { beside_len, kind, attributes, .. } = entry;
            Key { name, kind, value, attributes, beside: &rest[..beside_len] }
        })
    }
}

/// The thread that reads the file.
struct Reading<'s> {
    server: &'s Server,
    /// What becomes of libraries that are there already.
    policy: Policy,
    path: &'s Path,
    /// `None` when no batch follows.
    sender: Option<SyncSender<Batch>>,
    batch: Batch,
    end: u64,
    replication_id: Option<String>,
    replication_offset: Option<u64>,
    stream_database: Option<usize>,
    collects_functions: bool,
    functions: Vec<Vec<u8>>,
    delay: Delay,
}

/// The pause after each key, for tests (`key-load-delay`).
struct Delay {
    /// Length of a pause.
    pause: Duration,
    /// Keys between two pauses; 0 without any.
    every: u64,
    keys: u64,
}

impl Delay {
    /// Microseconds after each key, or, below 0, keys after each of which one microsecond is waited.
    fn new(directive: i64) -> Self {
        Self {
            pause: Duration::from_micros(directive.max(1) as u64),
            every: if directive > 0 { 1 } else { directive.unsigned_abs() },
            keys: 0,
        }
    }

    fn key(&mut self) {
        self.keys += 1;
        if self.every > 0 && self.keys.is_multiple_of(self.every) {
            std::thread::sleep(self.pause);
        }
    }
}

/// What is accepted of a file.
fn accept(server: &Server) -> Accept {
    let config = &server.config;
    Accept {
        any_version: config.word(Directive::RdbVersionCheck) == "relaxed",
        any_checksum: !config.flag(Directive::Rdbchecksum) || server.skips_checksums.load(Relaxed),
        ..Accept::default()
    }
}

impl<'s> Reading<'s> {
    fn new(server: &'s Server, path: &'s Path, sender: SyncSender<Batch>) -> Self {
        Self {
            server,
            policy: Policy::Append,
            path,
            sender: Some(sender),
            batch: Batch::new(0),
            end: 0,
            replication_id: None,
            replication_offset: None,
            stream_database: None,
            collects_functions: false,
            functions: Vec::new(),
            delay: Delay::new(server.config.int(Directive::KeyLoadDelay)),
        }
    }

    /// Reads to the end of the file, or to an error here or, as `failed` says, of another thread.
    fn run(&mut self, mut source: impl Read, failed: &AtomicBool) -> Result<(), LoadError> {
        let mut reader = FileReader::new(accept(self.server));
        let mut piece = vec![0; PIECE];
        let wrong = |path: &Path, error| LoadError::Wrong { path: path.to_owned(), error };
        let stop = self.server.shutdown_signal();
        loop {
            let read = source
                .read(&mut piece)
                .map_err(|error| LoadError::Read { path: self.path.to_owned(), error })?;
            if *stop.borrow() {
                return Err(LoadError::Stopped { path: self.path.to_owned() });
            }
            if failed.load(Relaxed) {
                return Ok(());
            }
            if read == 0 {
                return Err(wrong(self.path, reader.cut()));
            }
            reader.feed(&piece[..read]);
            let before = reader.offset();
            loop {
                match reader.read_next().map_err(|error| wrong(self.path, error))? {
                    Next::More => break,
                    Next::Item(Item::Key(key)) => self.key(&key),
                    Next::Item(item) => {
                        if let Err(fault) = self.item(item) {
                            let error = FileError { offset: reader.offset(), key: None, fault };
                            return Err(wrong(self.path, error));
                        }
                    }
                    Next::End => {
                        self.send(self.batch.database);
                        self.end = reader.offset();
                        self.server.loading.add_bytes(reader.offset() - before);
                        return Ok(());
                    }
                }
            }
            self.server.loading.add_bytes(reader.offset() - before);
        }
    }

    fn key(&mut self, key: &Key<'_>) {
        // A long value does not keep the keys before it waiting.
        if key.value.len() >= BATCH_BYTES && !self.batch.keys.is_empty() {
            self.send(self.batch.database);
        }
        self.batch.push(key);
        self.delay.key();
        if self.batch.is_full() {
            self.send(self.batch.database);
        }
    }

    /// Hands the batch over and begins one for a database.
    fn send(&mut self, database: usize) {
        let mut batch = std::mem::replace(&mut self.batch, Batch::new(database));
        batch.is_of_stream = self.replication_id.is_some();
        if !batch.keys.is_empty()
            && let Some(sender) = &self.sender
        {
            // Fails where all threads have ended, as they do only after an error.
            let _ = sender.send(batch);
        }
    }

    fn item(&mut self, item: Item<'_>) -> Result<(), Fault> {
        match item {
            Item::Database(number) => {
                let have = self.server.keyspace.database_count();
                let database = usize::try_from(number).ok().filter(|database| *database < have);
                self.send(database.ok_or(Fault::Database { database: number, have })?);
            }
            Item::Aux(name, value) => self.aux(&name, &value),
            Item::Function(source) => self.function(&source)?,
            Item::ModuleAux(module) => tracing::warn!(
                "The RDB file contains AUX module data of the module '{module}', which is passed over"
            ),
            Item::Header(_) | Item::Sizes { .. } | Item::SlotInfo | Item::SlotImport | Item::Key(_) => {}
        }
        Ok(())
    }

    /// Keeps and logs what the writer of the file said of itself.
    fn aux(&mut self, name: &[u8], value: &[u8]) {
        let text = String::from_utf8_lossy(value);
        let number = || text.parse::<u64>().ok();
        match name {
            b"redis-ver" => tracing::info!("Loading RDB produced by Redis version {text}"),
            b"valkey-ver" => tracing::info!("Loading RDB produced by Valkey version {text}"),
            b"kvarts-ver" => tracing::info!("Loading RDB produced by Kvarts version {text}"),
            b"ctime" => {
                let now_s = self.server.clock.now_ms() / 1000;
                tracing::info!("RDB age {} seconds", now_s.saturating_sub(number().unwrap_or(now_s)));
            }
            b"used-mem" => {
                let bytes = number().unwrap_or(0);
                tracing::info!("RDB memory usage when created {:.2} Mb", bytes as f64 / (1 << 20) as f64);
                self.server.loading.set_used_memory(bytes);
            }
            b"aof-base" | b"aof-preamble" if &*text != "0" => tracing::info!("RDB is base AOF"),
            b"repl-id" if value.len() == 40 => self.replication_id = Some(text.into_owned()),
            b"repl-offset" => self.replication_offset = number(),
            b"repl-stream-db" => self.stream_database = number().and_then(|number| number.try_into().ok()),
            [b'%', ..] => tracing::info!("RDB '{}': {text}", String::from_utf8_lossy(name)),
            _ => {}
        }
    }

    /// The place in the replication history, if the file has its id and offset.
    fn replication(&mut self) -> Option<StreamPlace> {
        let database = self.stream_database.unwrap_or(0);
        Some(StreamPlace { id: self.replication_id.take()?, offset: self.replication_offset?, database })
    }

    fn function(&mut self, source: &Element<'_>) -> Result<(), Fault> {
        if self.collects_functions {
            self.functions.push(source.to_vec());
            return Ok(());
        }
        let server = self.server;
        let limit = crate::lua::memory_limit(&server.config);
        let turn = server.scripting.libraries.change();
        server
            .scripting
            .add_libraries(&turn, limit, &server.commands, &[source], self.policy)
            .map(drop)
            .map_err(|error| Fault::Function(error.to_string()))
    }
}

/// The threads that read values and insert them.
struct Inserter<'s> {
    server: &'s Server,
    staged: Option<&'s Staged<'s>>,
    limits: Limits,
    /// Keys and fields that ended before this are left out.
    past_ms: u64,
    /// Whether they stay where the file names a stream.
    keeps_for_stream: bool,
    /// Whether they stay in any case.
    keeps_ended: bool,
    /// Whether a key that is there is replaced; else it is an error.
    replaces: bool,
    clock: AccessClock,
    /// Set with the first error, which ends the loading.
    failed: AtomicBool,
    error: Mutex<Option<FileError>>,
    loaded: Mutex<Loaded>,
    /// Empty keys that the log was to tell of.
    empty_told: AtomicU64,
}

impl<'s> Inserter<'s> {
    fn new(server: &'s Server, purpose: Purpose) -> Self {
        let now_ms = server.clock.now_ms();
        let string_max = Accept::default().string_max;
        Self {
            server,
            staged: None,
            limits: server.settings.collections.of_payloads(FooterCheck::default(), string_max),
            past_ms: if purpose == Purpose::Base { 0 } else { now_ms },
            keeps_for_stream: purpose == Purpose::Data,
            keeps_ended: purpose == Purpose::Again,
            replaces: purpose == Purpose::Addition,
            clock: server.settings.access_clock(now_ms),
            failed: AtomicBool::new(false),
            error: Mutex::new(None),
            loaded: Mutex::default(),
            empty_told: AtomicU64::new(0),
        }
    }

    /// Inserts batches until no more come.
    fn work(&self, worker: usize, batches: &Mutex<Receiver<Batch>>) {
        loop {
            let received = batches.lock().recv();
            let Ok(batch) = received else { return };
            if self.failed.load(Relaxed) {
                continue; // Takes the rest, so that the reader does not wait.
            }
            match self.insert(worker, &batch) {
                Ok(inserted) => self.add(&inserted),
                Err(error) => self.fail(error),
            }
        }
    }

    fn add(&self, inserted: &Loaded) {
        self.server.loading.add_keys(inserted.keys, inserted.expired);
        let mut loaded = self.loaded.lock();
        loaded.keys += inserted.keys;
        loaded.expired += inserted.expired;
        loaded.empty += inserted.empty;
        loaded.all_fields_expired += inserted.all_fields_expired;
    }

    /// Logs the first empty keys that are left out.
    fn tell_empty(&self, name: &[u8]) {
        const LINES_MAX: u64 = 10;
        if self.empty_told.fetch_add(1, Relaxed) < LINES_MAX {
            let hides = self.server.config.flag(Directive::HideUserDataFromLog);
            let name = if hides { "*redacted*".into() } else { name.escape_ascii().to_string() };
            tracing::info!("a value without elements, skipping empty key: {name}");
        }
    }

    fn fail(&self, error: FileError) {
        let mut first = self.error.lock();
        if first.as_ref().is_none_or(|first| error.offset < first.offset) {
            *first = Some(error);
        }
        self.failed.store(true, Relaxed);
    }

    fn insert(&self, worker: usize, batch: &Batch) -> Result<Loaded, FileError> {
        let keyspace = &self.server.keyspace;
        let shared = keyspace.gate.shared(worker);
        let database = match self.staged {
            Some(staged) => staged.database(batch.database),
            None => keyspace.physical(shared[batch.database]),
        };
        let mut loaded = Loaded::default();
        let names: Vec<_> = batch.keys().map(|key| keyspace.hasher().hash(key.name)).collect();
        let mut keys = batch.keys();
        for hashes in names.chunks(AHEAD) {
            prefetch::batch(database, hashes.iter().copied());
            for key in keys.by_ref().take(hashes.len()) {
                self.insert_key(database, batch, &key, &mut loaded)?;
            }
        }
        Ok(loaded)
    }

    fn insert_key(
        &self,
        database: &Database,
        batch: &Batch,
        key: &Key<'_>,
        loaded: &mut Loaded,
    ) -> Result<(), FileError> {
        let attributes = &key.attributes;
        let keeps_ended = self.keeps_ended || batch.is_of_stream && self.keeps_for_stream;
        let record = key.record(&self.limits, if keeps_ended { 0 } else { self.past_ms })?;
        let has_ended = attributes.expire_at_ms.is_some_and(|at_ms| at_ms < self.past_ms);
        loaded.expired += u64::from(has_ended);
        if has_ended && !keeps_ended {
            return Ok(());
        }
        let record = match record {
            Ok(record) => record,
            Err(Nothing::Empty) => {
                loaded.empty += 1;
                self.tell_empty(key.name);
                return Ok(());
            }
            Err(Nothing::Ended) => {
                loaded.all_fields_expired += 1;
                return Ok(());
            }
        };
        self.date(&record, attributes);
        let hashed = database.hasher().key(key.name);
        let mut table = database.write_slot(hashed.slot());
        if table::find(&table, &hashed).is_some() {
            if !self.replaces {
                return Err(key.wrong(Fault::Duplicate(batch.database as u64)));
            }
            if let Some(replaced) = database.remove(&mut table, &hashed) {
                self.server.keyspace.reaper.discard(replaced, FreeReason::Overwritten);
            }
        }
        database.insert(&mut table, &hashed, record);
        database.note_whereabouts(hashed.slot(), &table);
        loaded.keys += u64::from(!has_ended);
        Ok(())
    }

    /// Sets the access clock that the file says, if the policy in force keeps that kind.
    fn date(&self, record: &Record, attributes: &Attributes) {
        let access = match (self.clock, attributes.idle_s, attributes.frequency) {
            (AccessClock::Lru(now) | AccessClock::Lrm(now), Some(idle_s), _) => {
                now.wrapping_sub(idle_s as u32) & 0xff_ffff
            }
            (AccessClock::Lfu { minutes, .. }, _, Some(frequency)) => minutes << 8 | u32::from(frequency),
            (clock, ..) => fresh_access(clock),
        };
        record.set_access(access);
    }
}
