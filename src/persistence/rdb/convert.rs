//! Writes what an RDB file holds into a file of another version.

use std::io::{self, Read, Write};

use thiserror::Error;

use crate::keyspace::access_clock::AccessClock;
use crate::keyspace::snapshot::Sink;
use crate::rdb::Limits;
use crate::rdb::file::read::{Accept, Attributes, FileReader, Item, Next};
use crate::rdb::file::{FileError, FileVersion, FileWriter, WriteError, WriteOptions};

/// Bytes read and written at once.
const PIECE: usize = 1 << 20;

/// Why a file was not converted.
#[derive(Debug, Error)]
pub enum ConvertError {
    /// It cannot be read, or the other one cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is broken, or holds what cannot be kept.
    #[error(transparent)]
    Read(#[from] FileError),
    /// The version asked for cannot hold it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Converts what `source` returns; empty collections are left out. Returns the number of keys.
///
/// # Errors
/// See [`ConvertError`]; what was written is of no use then.
pub fn convert(
    mut source: impl Read,
    mut target: impl Write,
    version: FileVersion,
) -> Result<u64, ConvertError> {
    let mut reader = FileReader::new(Accept::default());
    let mut conversion =
        Conversion { version, aux: Vec::new(), libraries: Vec::new(), database: None, writer: None };
    let mut piece = vec![0; PIECE];
    loop {
        let read = source.read(&mut piece)?;
        if read == 0 {
            return Err(reader.cut().into());
        }
        reader.feed(&piece[..read]);
        loop {
            match reader.read_next()? {
                Next::More => break,
                Next::Item(item) => conversion.item(item)?,
                Next::End => {
                    let writer = conversion.writer(&Attributes::default());
                    writer.finish()?;
                    writer.drain(|bytes| target.write_all(bytes))?;
                    target.flush()?;
                    return Ok(writer.keys());
                }
            }
            if let Some(writer) = &mut conversion.writer
                && writer.pending() >= PIECE
            {
                writer.drain(|bytes| target.write_all(bytes))?;
            }
        }
    }
}

struct Conversion {
    version: FileVersion,
    aux: Vec<(String, String)>,
    /// Sources of functions that came before the first key.
    libraries: Vec<Vec<u8>>,
    /// The database of the next key with its sizes, as long as it was not written.
    database: Option<(usize, u64, u64)>,
    /// Made with the first key, whose attributes say what kind of access clock the file has.
    writer: Option<FileWriter>,
}

impl Conversion {
    fn item(&mut self, item: Item<'_>) -> Result<(), ConvertError> {
        match item {
            Item::Aux(name, value) => self.aux.push((text(&name), text(&value))),
            Item::Database(number) => {
                self.database = Some((usize::try_from(number).unwrap_or(usize::MAX), 0, 0))
            }
            Item::Sizes { keys, volatile } => {
                if let Some(database) = &mut self.database {
                    (database.1, database.2) = (keys, volatile);
                }
            }
            Item::Function(source) => match &mut self.writer {
                Some(writer) => writer.library(&source),
                None => self.libraries.push(source.to_vec()),
            },
            Item::Key(key) => {
                let Ok(record) = key.record(&Limits::default(), 0)? else { return Ok(()) };
                record.set_access(access(&key.attributes));
                let database = self.database.take();
                let writer = self.writer(&key.attributes);
                if let Some((number, keys, volatile)) = database {
                    writer.database(number, keys as usize, volatile as usize);
                }
                writer.record(&record);
            }
            Item::Header(_) | Item::SlotInfo | Item::SlotImport | Item::ModuleAux(_) => {}
        }
        Ok(())
    }

    fn writer(&mut self, attributes: &Attributes) -> &mut FileWriter {
        let Self { version, aux, libraries, .. } = self;
        self.writer.get_or_insert_with(|| {
            let options = WriteOptions {
                version: *version,
                compress: true,
                checksum: true,
                access: match attributes {
                    Attributes { idle_s: Some(_), .. } => Some(AccessClock::Lru(NOW)),
                    Attributes { frequency: Some(_), .. } => {
                        Some(AccessClock::Lfu { minutes: NOW, log_factor: 10, decay_minutes: 1 })
                    }
                    _ => None,
                },
            };
            let aux: Vec<_> = aux.iter().map(|(name, value)| (&**name, value.clone())).collect();
            let mut writer = FileWriter::new(options, &aux);
            libraries.iter().for_each(|source| writer.library(source));
            writer
        })
    }
}

/// The time by which access clocks are told; any would do.
const NOW: u32 = 0;

/// A key's access clock at that time.
fn access(attributes: &Attributes) -> u32 {
    match (attributes.idle_s, attributes.frequency) {
        (Some(idle_s), _) => NOW.wrapping_sub(idle_s as u32) & 0xff_ffff,
        (None, Some(frequency)) => NOW << 8 | u32::from(frequency),
        (None, None) => NOW,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
