//! Reads a file piece by piece: bytes are fed as they come, and items taken out. Values are found by their
//! extent and not read, so that this can be done elsewhere ([`Key::record`]).
//!
//! Memory is bounded by what is fed at once and the one item that is being collected.

use super::error::{Fault, FileError, Header};
use super::skim::{self, Skim, Stop};
use super::{BLESSED, CHECKED_FROM, HEADER, MEMBER_ENDS, PRODUCERS, opcode};
use crate::keyspace::record::{Record, RecordBox};
use crate::keyspace::value::Object;
use crate::rdb::packed::Element;
use crate::rdb::reader::Reader;
use crate::rdb::stream::add_producers;
use crate::rdb::{Family, Limits, Nothing, REDIS_MAX, digest, kind, read};

/// What a reader accepts.
#[derive(Clone, Copy, Debug)]
pub struct Accept {
    /// Versions that are not known (`rdb-version-check relaxed`).
    pub any_version: bool,
    /// Wrong checksums; none is computed then.
    pub any_checksum: bool,
    /// Longest string, in bytes.
    pub string_max: usize,
}

impl Default for Accept {
    fn default() -> Self {
        // Nothing in memory is longer: lengths of keys and values are kept in 32 bits.
        Self { any_version: false, any_checksum: false, string_max: u32::MAX as usize >> 1 }
    }
}

/// What [`FileReader::read_next`] returns.
#[derive(Debug)]
pub enum Next<'r> {
    /// More bytes are needed.
    More,
    /// A part of the file.
    Item(Item<'r>),
    /// The file has ended, and its checksum was right.
    End,
}

/// What a file consists of.
#[derive(Debug)]
pub enum Item<'r> {
    /// The header: always the first item.
    Header(Header),
    /// A name and a value that the writer left.
    Aux(Element<'r>, Element<'r>),
    /// The database of the keys that follow.
    Database(u64),
    /// How many keys the database has, and how many of them end.
    Sizes {
        /// All keys.
        keys: u64,
        /// Keys with an expiry.
        volatile: u64,
    },
    /// How many keys a slot has, and other counts. The keys that follow may be of any slot.
    SlotInfo,
    /// Slots that were being taken over when the file was written.
    SlotImport,
    /// The source of a library of functions.
    Function(Element<'r>),
    /// What the module of this name keeps beside its keys. It is passed over.
    ModuleAux(String),
    /// A key with the bytes of its value.
    Key(Key<'r>),
}

/// A key and its value, which was not read yet.
#[derive(Clone, Copy, Debug)]
pub struct Key<'r> {
    /// Its name.
    pub name: &'r [u8],
    /// Type of its value, a number of [`kind`].
    pub kind: u8,
    /// The bytes of its value, without the type.
    pub value: &'r [u8],
    /// What stands before it.
    pub attributes: Attributes,
    /// What a server of this kind has written before it that its type has no place for: a stream's producers, or
    /// when a set's members end. Empty where it has not.
    pub beside: &'r [u8],
}

/// What stands before a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// When it ends, in milliseconds of Unix time.
    pub expire_at_ms: Option<u64>,
    /// Seconds since it was used.
    pub idle_s: Option<u64>,
    /// How often it was used, as LFU counts.
    pub frequency: Option<u8>,
    /// Whether it is never evicted.
    pub blessed: bool,
    /// Offset of the key's item in the file.
    pub offset: u64,
}

impl Key<'_> {
    /// Reads the value. Fields of hashes that ended before `past_ms` are left out.
    ///
    /// # Errors
    /// A value that is not well formed, or is a module's.
    pub fn record(&self, limits: &Limits, past_ms: u64) -> Result<Result<RecordBox, Nothing>, FileError> {
        let Key { name, kind, value, attributes, beside } = *self;
        if kind == kind::MODULE_2 {
            let id = skim::number(value).map_or(0, |(id, _)| id);
            return Err(self.wrong(Fault::Module(module_name(id))));
        }
        let wrong = |_| self.wrong(Fault::Value);
        if !beside.is_empty() && kind::name(kind) == "set" {
            let set = read::set_with_ends(kind, value, beside, limits, past_ms).map_err(wrong)?;
            let record = |set| {
                let record = Record::new_object(name, Object::Set(set), attributes.expire_at_ms);
                record.set_blessed(attributes.blessed);
                record
            };
            return Ok(set.map(record).ok_or(Nothing::Ended));
        }
        let mut record =
            read::record(kind, value, name, attributes.expire_at_ms, limits, past_ms).map_err(wrong)?;
        if let Ok(record) = &record {
            record.set_blessed(attributes.blessed);
        }
        if let Ok(record) = &mut record
            && !beside.is_empty()
            && let Some(Object::Stream(stream)) = record.object_mut()
        {
            add_producers(beside, stream).map_err(wrong)?;
        }
        Ok(record)
    }

    /// An error about this key.
    pub fn wrong(&self, fault: Fault) -> FileError {
        FileError { offset: self.attributes.offset, key: Some(self.name.into()), fault }
    }
}

/// The name of a module's type: nine characters of six bits each above the version's ten bits.
fn module_name(id: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).map(|at| char::from(LETTERS[(id >> (58 - 6 * at)) as usize & 63])).collect()
}

/// How far a reader has come.
#[derive(Debug)]
enum State {
    Header,
    /// Between two items, or between a key's attributes and the key.
    Items,
    /// In a value, whose key is known.
    Value {
        kind: u8,
        /// Where the value begins, counted from the item's beginning.
        from: usize,
        skim: Skim,
    },
    /// In something that is passed over, behind its opcode.
    Skipped {
        opcode: u8,
        skim: Skim,
    },
    Checksum,
    End,
}

/// A reader of a file.
pub struct FileReader {
    accept: Accept,
    buffer: Vec<u8>,
    /// Index in the buffer of the item that is being read.
    at: usize,
    /// Offset in the file of the buffer's first byte.
    base: u64,
    /// Index in the buffer up to which bytes are in the checksum.
    summed: usize,
    digest: crc_fast::Digest,
    state: State,
    family: Family,
    version: u16,
    /// Length of the item that was returned last, which is passed over by the next call.
    returned: usize,
    /// Attributes of the key that follows.
    attributes: Attributes,
    has_attributes: bool,
    /// What was written beside the value that follows.
    beside: Vec<u8>,
    /// The key whose value is being collected.
    key: Vec<u8>,
}

impl std::fmt::Debug for FileReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileReader").field("offset", &self.offset()).field("state", &self.state).finish()
    }
}

impl FileReader {
    /// A reader at the beginning of a file.
    pub fn new(accept: Accept) -> Self {
        Self {
            accept,
            buffer: Vec::new(),
            at: 0,
            base: 0,
            summed: 0,
            digest: digest(),
            state: State::Header,
            family: Family::Redis,
            version: 0,
            returned: 0,
            attributes: Attributes::default(),
            has_attributes: false,
            beside: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Adds the file's next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pass_returned();
        self.sum_up();
        self.buffer.drain(..self.at);
        self.base += self.at as u64;
        self.summed -= self.at;
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Offset in the file of the item that is being read.
    pub fn offset(&self) -> u64 {
        self.base + (self.at + self.returned) as u64
    }

    /// The bytes that were fed and not read: behind the end, what follows the file.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.at + self.returned..]
    }

    /// The next item.
    ///
    /// # Errors
    /// Bytes that are not those of an RDB file. Whatever is called afterwards fails too, or wants more bytes.
    pub fn read_next(&mut self) -> Result<Next<'_>, FileError> {
        self.pass_returned();
        loop {
            match self.step() {
                // A second look at what has been found, as the borrow of the item must not outlive the loop.
                Ok(Found::Nothing) => {}
                Ok(found) => return self.show(found),
                Err(Stop::More) => return Ok(Next::More),
                Err(Stop::Wrong(fault)) => return Err(self.wrong(fault)),
            }
        }
    }

    /// The error of a file that ends here. Its offset is where the last whole item ends.
    pub fn cut(&self) -> FileError {
        let begins = |magic: &[u8]| magic.starts_with(&self.buffer[..self.buffer.len().min(magic.len())]);
        match self.state {
            State::Header if !begins(b"REDIS") && !begins(b"VALKEY") => self.wrong(Fault::Signature),
            // The end's opcode is of no use without its checksum.
            State::Checksum => FileError { offset: self.offset() - 1, ..self.wrong(Fault::End) },
            _ => self.wrong(Fault::End),
        }
    }

    fn wrong(&self, fault: Fault) -> FileError {
        let (key, offset) = match self.state {
            State::Value { .. } => (Some(self.key.as_slice().into()), self.attributes.offset),
            _ if self.has_attributes => (None, self.attributes.offset),
            _ => (None, self.offset()),
        };
        FileError { offset, key, fault }
    }

    fn pass_returned(&mut self) {
        self.at += self.returned;
        self.returned = 0;
    }

    /// Takes all bytes up to the present item into the checksum.
    fn sum_up(&mut self) {
        if !self.accept.any_checksum && self.summed < self.at {
            self.digest.update(&self.buffer[self.summed..self.at]);
        }
        self.summed = self.at;
    }

    /// Goes over one item, or a part of one.
    fn step(&mut self) -> Result<Found, Stop> {
        let rest = &self.buffer[self.at..];
        match &mut self.state {
            State::Header => {
                let header = Header::parse(*rest.first_chunk().ok_or(Stop::More)?, self.accept.any_version)?;
                (self.family, self.version) = (header.family, header.version);
                self.state = State::Items;
                self.returned = HEADER;
                Ok(Found::Header(header))
            }
            State::Items => self.item(),
            State::Value { kind, from, skim } => {
                let len = skim.walk(&rest[*from..])?;
                let (kind, from) = (*kind, *from);
                self.state = State::Items;
                self.returned = from + len;
                Ok(Found::Key { kind, from })
            }
            State::Skipped { opcode, skim } => {
                let len = skim.walk(&rest[1..])?;
                let found = match *opcode {
                    opcode::MODULE_AUX => Found::ModuleAux,
                    _ => Found::SlotImport,
                };
                self.state = State::Items;
                self.returned = 1 + len;
                Ok(found)
            }
            State::Checksum => {
                let stated = u64::from_le_bytes(*rest.first_chunk().ok_or(Stop::More)?);
                let computed = self.digest.clone().finalize();
                // 0 says that none was computed.
                if stated != 0 && !self.accept.any_checksum && stated != computed {
                    return Err(Fault::Checksum { computed, stated }.into());
                }
                self.at += 8;
                self.summed = self.at;
                self.state = State::End;
                Ok(Found::End)
            }
            State::End => Ok(Found::End),
        }
    }

    /// Goes over an item's beginning, and all of it where it is small.
    fn item(&mut self) -> Result<Found, Stop> {
        let rest = &self.buffer[self.at..];
        let byte = *rest.first().ok_or(Stop::More)?;
        let body = &rest[1..];
        if !self.has_attributes {
            self.attributes = Attributes { offset: self.base + self.at as u64, ..Attributes::default() };
            self.beside.clear();
        }
        match byte {
            opcode::EXPIRY_S => {
                let seconds = i32::from_le_bytes(*body.first_chunk().ok_or(Stop::More)?);
                self.attributes.expire_at_ms = time_ms(i64::from(seconds) * 1000);
                self.pass_attribute(1 + 4);
            }
            opcode::EXPIRY_MS => {
                let at_ms = i64::from_le_bytes(*body.first_chunk().ok_or(Stop::More)?);
                self.attributes.expire_at_ms = time_ms(at_ms);
                self.pass_attribute(1 + 8);
            }
            opcode::FREQUENCY => {
                self.attributes.frequency = Some(*body.first().ok_or(Stop::More)?);
                self.pass_attribute(1 + 1);
            }
            opcode::IDLE => {
                let (seconds, len) = skim::number(body)?;
                self.attributes.idle_s = Some(seconds);
                self.pass_attribute(1 + len);
            }
            ..=opcode::UPDATE => return self.begin_key(byte),
            _ => {
                self.has_attributes = false;
                return self.other_item(byte);
            }
        }
        Ok(Found::Nothing)
    }

    fn pass_attribute(&mut self, len: usize) {
        self.has_attributes = true;
        self.at += len;
    }

    /// The fault of a byte that is no type and begins no item.
    fn unknown(&self, byte: u8) -> Fault {
        if self.family == Family::Redis && self.version > REDIS_MAX {
            Fault::ForeignOpcode { byte, version: self.version }
        } else {
            Fault::Opcode(byte)
        }
    }

    /// Reads a key's name, behind the type of its value.
    fn begin_key(&mut self, byte: u8) -> Result<Found, Stop> {
        let kind = kind::of(byte, self.family);
        // Redis gave numbers to new types in its version 12 only.
        let kind = kind.filter(|_| byte <= kind::STREAM_LISTPACKS_3 || self.version >= 12);
        let (kind, skim) = kind
            .and_then(|kind| Some((kind, Skim::value(kind, self.accept.string_max)?)))
            .ok_or_else(|| self.unknown(byte))?;
        let body = &self.buffer[self.at + 1..];
        let len = skim::text_len(body, self.accept.string_max)?;
        let name = self.text(&body[..len])?;
        let (from, name) = (1 + len, name.to_vec());
        self.key = name;
        self.has_attributes = false;
        self.state = State::Value { kind, from, skim };
        Ok(Found::Nothing)
    }

    fn other_item(&mut self, byte: u8) -> Result<Found, Stop> {
        let body = &self.buffer[self.at + 1..];
        let max = self.accept.string_max;
        let (found, len) = match byte {
            opcode::END => {
                self.at += 1;
                self.sum_up();
                self.state = if self.version >= CHECKED_FROM { State::Checksum } else { State::End };
                return Ok(Found::Nothing);
            }
            opcode::DATABASE => {
                let (database, len) = skim::number(body)?;
                (Found::Database(database), len)
            }
            opcode::SIZES => {
                let (keys, first) = skim::number(body)?;
                let (volatile, second) = skim::number(&body[first..])?;
                (Found::Sizes { keys, volatile }, first + second)
            }
            opcode::SLOT_INFO => {
                let mut len = 0;
                for _ in 0..3 {
                    len += skim::number(&body[len..])?.1;
                }
                (Found::SlotInfo, len)
            }
            opcode::AUX => {
                let name = skim::text_len(body, max)?;
                let value = skim::text_len(&body[name..], max)?;
                // Read here, so that a wrong encoding is found.
                let title = self.text(&body[..name])?;
                let (is_blessing, is_beside) =
                    (*title == *BLESSED, matches!(&*title, PRODUCERS | MEMBER_ENDS));
                let text = self.text(&body[name..name + value])?;
                if is_blessing || is_beside {
                    if is_beside {
                        self.beside = text.to_vec();
                    }
                    self.attributes.blessed |= is_blessing;
                    self.pass_attribute(1 + name + value);
                    return Ok(Found::Nothing);
                }
                (Found::Aux { name }, name + value)
            }
            opcode::FUNCTION => {
                let len = skim::text_len(body, max)?;
                self.text(&body[..len])?;
                (Found::Function, len)
            }
            opcode::MODULE_AUX => {
                self.state = State::Skipped { opcode: byte, skim: Skim::module_aux(max) };
                return Ok(Found::Nothing);
            }
            opcode::SLOT_IMPORT_OR_KEY_META if self.family == Family::Valkey => {
                self.state = State::Skipped { opcode: byte, skim: Skim::slot_import(max) };
                return Ok(Found::Nothing);
            }
            opcode::SLOT_IMPORT_OR_KEY_META => return Err(Fault::KeyMetadata.into()),
            opcode::FUNCTION_PRE_GA => return Err(Fault::FunctionPreGa.into()),
            _ => return Err(self.unknown(byte).into()),
        };
        self.returned = 1 + len;
        Ok(found)
    }

    /// Reads a string that is there as a whole.
    fn text<'r>(&self, bytes: &'r [u8]) -> Result<Element<'r>, Fault> {
        Reader { bytes, string_max: self.accept.string_max }.text().map_err(|_| Fault::Encoding)
    }

    /// What was found, as an item.
    fn show(&self, found: Found) -> Result<Next<'_>, FileError> {
        let bytes = &self.buffer[self.at..self.at + self.returned];
        let text = |from: usize, to: usize| self.text(&bytes[from..to]).map_err(|fault| self.wrong(fault));
        Ok(Next::Item(match found {
            Found::Nothing => return Ok(Next::More),
            Found::End => return Ok(Next::End),
            Found::Header(header) => Item::Header(header),
            Found::Database(number) => Item::Database(number),
            Found::Sizes { keys, volatile } => Item::Sizes { keys, volatile },
            Found::SlotInfo => Item::SlotInfo,
            Found::SlotImport => Item::SlotImport,
            Found::Aux { name } => Item::Aux(text(1, 1 + name)?, text(1 + name, bytes.len())?),
            Found::Function => Item::Function(text(1, bytes.len())?),
            Found::ModuleAux => {
                let id = skim::number(&bytes[1..]).map_or(0, |(id, _)| id);
                Item::ModuleAux(module_name(id))
            }
            Found::Key { kind, from } => Item::Key(Key {
                name: &self.key,
                kind,
                value: &bytes[from..],
                attributes: self.attributes,
                beside: &self.beside,
            }),
        }))
    }
}

/// A time of Unix time in milliseconds. -1 stands for none, and what lies before 1970 has passed as well as
/// any other time.
fn time_ms(at_ms: i64) -> Option<u64> {
    (at_ms != -1).then(|| u64::try_from(at_ms).unwrap_or(0))
}

/// What a step went over; the bytes are those of `returned`.
enum Found {
    /// A part of an item.
    Nothing,
    Header(Header),
    Database(u64),
    Sizes {
        keys: u64,
        volatile: u64,
    },
    SlotInfo,
    SlotImport,
    /// With the bytes of the name.
    Aux {
        name: usize,
    },
    Function,
    ModuleAux,
    Key {
        kind: u8,
        from: usize,
    },
    End,
}
