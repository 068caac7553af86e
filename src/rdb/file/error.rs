//! What is wrong with a file, and where.

use std::fmt;

use thiserror::Error;

use super::HEADER;
use crate::rdb::{Family, REDIS_MAX, VALKEY};

/// What is wrong with a file, at which of its bytes, and with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Offset of the item that is wrong.
    pub offset: u64,
    /// The key whose item it is.
    pub key: Option<Box<[u8]>>,
    /// What is wrong.
    pub fault: Fault,
}

impl std::error::Error for FileError {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.fault, self.offset)?;
        match &self.key {
            Some(key) => write!(f, ", key '{}'", key.escape_ascii()),
            None => Ok(()),
        }
    }
}

/// What is wrong with a file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// The first bytes are not those of an RDB file.
    #[error("Wrong signature trying to load DB from file")]
    Signature,
    /// The version is not known.
    #[error("Can't handle RDB format version {0}")]
    Version(Header),
    /// The file ends before its last item.
    #[error("Unexpected EOF reading RDB file")]
    End,
    /// The checksum at the end is not that of the bytes.
    #[error("RDB CRC error: the bytes give {computed:016x}, the file says {stated:016x},")]
    Checksum {
        /// That of the bytes.
        computed: u64,
        /// That at the file's end.
        stated: u64,
    },
    /// A byte that is neither a type nor the beginning of any other item.
    #[error("Unknown type or opcode {0}")]
    Opcode(u8),
    /// Such a byte in a version of Redis that is newer than those known here.
    #[error("Can't handle foreign type or opcode {byte} in RDB with version {version}")]
    ForeignOpcode {
        /// What stands in place of the type.
        byte: u8,
        /// The file's version.
        version: u16,
    },
    /// A length, a number or a string that is none.
    #[error("Wrong length or encoding of a string")]
    Encoding,
    /// A string or value longer than is allowed.
    #[error("A string that is longer than allowed")]
    TooLong,
    /// The bytes of a value do not agree with each other.
    #[error("Value that is not well formed")]
    Value,
    /// A value of a module, which has no place here.
    #[error("The RDB file contains module data I can't load: no matching module type '{0}'")]
    Module(String),
    /// Functions in the form of a candidate for a release.
    #[error("Pre-release function format not supported")]
    FunctionPreGa,
    /// What modules keep of a key.
    #[error("Metadata of modules for a key cannot be loaded")]
    KeyMetadata,
    /// A key that the file has before, in the same database.
    #[error("RDB has duplicated key in DB {0}")]
    Duplicate(u64),
    /// A database that this server does not have.
    #[error(
        "Data file was created with a server configured to handle more than {have} databases: database {database}"
    )]
    Database {
        /// The file's.
        database: u64,
        /// How many there are.
        have: usize,
    },
    /// A library that is not accepted, with the reason.
    #[error("Failed loading library, {0}")]
    Function(String),
}

/// What a file's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who wrote the file, as far as it matters to its types.
    pub family: Family,
    /// The version of its format.
    pub version: u16,
}

impl Header {
    /// Reads a header. Versions that are not known are accepted where `any_version` says so.
    pub(super) fn parse(bytes: [u8; HEADER], any_version: bool) -> Result<Self, Fault> {
        let (family, digits) = match bytes {
            [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (Family::Redis, digits),
            [b'V', b'A', b'L', b'K', b'E', b'Y', a, b, c] => (Family::Valkey, [b'0', a, b, c]),
            _ => return Err(Fault::Signature),
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(Fault::Signature);
        }
        let version = digits.iter().fold(0, |version, digit| version * 10 + u16::from(digit - b'0'));
        let header = Self { family, version };
        let is_known = match family {
            Family::Redis => (1..=REDIS_MAX).contains(&version),
            Family::Valkey => VALKEY.contains(&version),
        };
        // A number of the other family is no version of this one, however relaxed one is.
        let is_possible = version > 0 && (version > 79) == (family == Family::Valkey);
        if is_known || any_version && is_possible { Ok(header) } else { Err(Fault::Version(header)) }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::Redis => write!(f, "{}", self.version),
            Family::Valkey => write!(f, "{} of Valkey", self.version),
        }
    }
}
