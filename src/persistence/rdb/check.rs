//! Looks through an RDB file: what it holds, and what is wrong with it and where.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::rdb::file::read::{Accept, FileReader, Item, Key, Next};
use crate::rdb::file::{Fault, FileError, Header, ended};
use crate::rdb::{Limits, kind};

/// Bytes read from a file at once.
const PIECE: usize = 1 << 20;

/// Largest keys that are named.
const LARGEST: usize = 10;

/// Values that are not well formed that are named; all are counted.
const NAMED: usize = 20;

/// What a file holds.
#[derive(Debug, Default)]
pub struct Report {
    /// The file's version.
    pub header: Option<Header>,
    /// What its writer said of itself.
    pub aux: Vec<(String, String)>,
    /// Keys of each database.
    pub databases: BTreeMap<u64, Keys>,
    /// Keys of each type.
    pub types: BTreeMap<&'static str, Keys>,
    /// Sources of functions.
    pub functions: u64,
    /// Modules that have data beside keys.
    pub modules: Vec<String>,
    /// The values with the most bytes in the file, the largest last: bytes, database, key, type.
    largest: BinaryHeap<Reverse<Large>>,
    /// What is wrong: values that are not well formed, then what ended the reading.
    pub errors: Vec<FileError>,
    /// Errors in all.
    pub error_count: u64,
    /// Offset behind the last byte that was understood.
    pub end: u64,
    /// Bytes of the file.
    pub len: u64,
}

/// A value with many bytes: their number, database, key, type.
type Large = (usize, u64, Vec<u8>, &'static str);

/// Some keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// How many.
    pub count: u64,
    /// How many of them end.
    pub volatile: u64,
    /// How many of these have ended.
    pub ended: u64,
    /// Bytes of their values in the file.
    pub bytes: u64,
}

impl Keys {
    fn add(&mut self, key: &Key<'_>, now_ms: u64) {
        self.count += 1;
        self.bytes += key.value.len() as u64;
        if let Some(at_ms) = key.attributes.expire_at_ms {
            self.volatile += 1;
            self.ended += u64::from(at_ms < now_ms);
        }
    }
}

/// Looks through what `source` returns. Values are read, too, and what is wrong with one does not keep the
/// next from being read. `now_ms` says which keys have ended.
///
/// # Errors
/// The source cannot be read.
pub fn check(mut source: impl Read, now_ms: u64) -> io::Result<Report> {
    let mut report = Report::default();
    let mut reader = FileReader::new(Accept::default());
    let mut piece = vec![0; PIECE];
    let mut database = 0;
    let limits = Limits::default();
    let mut is_whole = false;
    loop {
        let read = source.read(&mut piece)?;
        report.len += read as u64;
        if is_whole || report.is_broken() {
            if read == 0 {
                return Ok(report); // All bytes are counted.
            }
            continue;
        }
        if read == 0 {
            report.wrong(reader.cut());
            return Ok(report);
        }
        reader.feed(&piece[..read]);
        loop {
            match reader.read_next() {
                Ok(Next::More) => break,
                Ok(Next::End) => {
                    is_whole = true;
                    break;
                }
                Ok(Next::Item(item)) => report.item(item, &mut database, &limits, now_ms),
                Err(error) => {
                    report.break_off(error);
                    break;
                }
            }
        }
        report.end = reader.offset();
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_right(&self) -> bool {
        self.error_count == 0
    }

    /// Whether the file cannot be read any further.
    fn is_broken(&self) -> bool {
        self.errors.last().is_some_and(|error| !matches!(error.fault, Fault::Value | Fault::Module(_)))
    }

    fn wrong(&mut self, error: FileError) {
        self.error_count += 1;
        if self.errors.len() < NAMED {
            self.errors.push(error);
        }
    }

    fn break_off(&mut self, error: FileError) {
        self.error_count += 1;
        self.errors.truncate(NAMED);
        self.errors.push(error);
    }

    fn item(&mut self, item: Item<'_>, database: &mut u64, limits: &Limits, now_ms: u64) {
        match item {
            Item::Header(header) => self.header = Some(header),
            Item::Aux(name, value) => {
                const AUX_MAX: usize = 100;
                if self.aux.len() < AUX_MAX {
                    self.aux.push((name.escape_ascii().to_string(), value.escape_ascii().to_string()));
                }
            }
            Item::Database(number) => *database = number,
            Item::Function(_) => self.functions += 1,
            Item::ModuleAux(module) => {
                if !self.modules.contains(&module) && self.modules.len() < NAMED {
                    self.modules.push(module);
                }
            }
            Item::Key(key) => self.key(&key, *database, limits, now_ms),
            Item::Sizes { .. } | Item::SlotInfo | Item::SlotImport => {}
        }
    }

    fn key(&mut self, key: &Key<'_>, database: u64, limits: &Limits, now_ms: u64) {
        let name = kind::name(key.kind);
        self.databases.entry(database).or_default().add(key, now_ms);
        self.types.entry(name).or_default().add(key, now_ms);
        let bytes = key.value.len();
        if self.largest.len() < LARGEST || self.largest.peek().is_some_and(|Reverse(least)| least.0 < bytes) {
            self.largest.push(Reverse((bytes, database, key.name.to_vec(), name)));
            if self.largest.len() > LARGEST {
                self.largest.pop();
            }
        }
        if let Err(error) = key.record(limits, 0) {
            self.wrong(error);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.header {
            Some(header) => writeln!(f, "RDB version {header}, {} bytes", self.len)?,
            None => writeln!(f, "no RDB file, {} bytes", self.len)?,
        }
        for (name, value) in &self.aux {
            writeln!(f, "  {name}: {value}")?;
        }
        if self.functions > 0 {
            writeln!(f, "libraries of functions: {}", self.functions)?;
        }
        for module in &self.modules {
            writeln!(f, "data of the module {module} beside keys: passed over when loaded")?;
        }
        for (number, keys) in &self.databases {
            writeln!(f, "database {number}: {keys}")?;
        }
        for (name, keys) in &self.types {
            writeln!(f, "  {name}: {keys}")?;
        }
        let mut largest: Vec<_> = self.largest.iter().map(|Reverse(key)| key).collect();
        largest.sort_by(|one, other| other.cmp(one));
        if !largest.is_empty() {
            writeln!(f, "largest values in the file:")?;
        }
        for (bytes, database, key, name) in largest {
            writeln!(f, "  {bytes} bytes: {name} '{}' of database {database}", key.escape_ascii())?;
        }
        for error in &self.errors {
            writeln!(f, "WRONG: {error}")?;
        }
        match self.error_count {
            0 if self.len > self.end => {
                writeln!(f, "OK up to byte {}; {} more bytes follow", self.end, self.len - self.end)
            }
            0 => writeln!(f, "OK"),
            count => writeln!(f, "{count} errors"),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, volatile, ended, bytes } = self;
        write!(f, "{count} keys, {volatile} with an expiry ({ended} over), {bytes} bytes of values")
    }
}

/// What [`fix`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the file that are kept.
    pub kept: u64,
    /// Bytes that were cut.
    pub cut: u64,
    /// Where the whole file is kept.
    pub original: PathBuf,
}

/// Cuts a file that ends too early behind its last whole item, and ends it as it should. The file as it was
/// is kept beside it, with `.broken` behind its name. `None` where that is not what is wrong.
///
/// # Errors
/// The file cannot be read or written.
pub fn fix(path: &Path, report: &Report) -> io::Result<Option<Cut>> {
    let (Some(header), [.., FileError { offset, fault: Fault::End, .. }]) = (report.header, &*report.errors)
    else {
        return Ok(None);
    };
    let with = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let fixed = with(".fixed");
    // What an earlier fix has kept stays.
    let ends =
        (1..).map(|number| if number == 1 { ".broken".to_owned() } else { format!(".broken.{number}") });
    let mut originals = ends.map(|end| with(&end)).filter(|path| !path.exists());
    let original = originals.next().unwrap_or_else(|| with(".broken"));
    let mut bytes = std::fs::read(path)?;
    bytes.truncate(usize::try_from(*offset).unwrap_or(usize::MAX));
    let kept = bytes.len() as u64;
    ended(&mut bytes, header);
    let mut file = std::fs::File::create(&fixed)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(path, &original)?;
    std::fs::rename(&fixed, path)?;
    Ok(Some(Cut { kept, cut: report.len - kept, original }))
}
