//! Whole RDB files: a header, then items, each a byte that says what follows, then a checksum.
//!
//! ```text
//! "REDIS" 4 digits or "VALKEY" 3 digits | items | 255 | checksum 8, from version 5 on
//! ```
//!
//! The reader is a machine without files: bytes in, items out.

mod error;
pub mod read;
mod skim;
#[cfg(test)]
mod tests;

pub use error::{Fault, FileError, Header};

/// Bytes of the header.
const HEADER: usize = 9;

/// The bytes that begin an item which is no key. Smaller ones are types of values.
mod opcode {
    /// Behind a snapshot comes what changed while it was written: Valkey 9.2, between servers only.
    pub const UPDATE: u8 = 242;
    /// Valkey: slots that were being taken over. Redis: what modules keep of the next key.
    pub const SLOT_IMPORT_OR_KEY_META: u8 = 243;
    /// A slot, the number of its keys, and of those with an expiry.
    pub const SLOT_INFO: u8 = 244;
    /// The source of a library of functions.
    pub const FUNCTION_2: u8 = 245;
    /// Functions as the candidates for Redis 7.0 wrote them.
    pub const FUNCTION_PRE_GA: u8 = 246;
    /// What a module keeps beside its keys.
    pub const MODULE_AUX: u8 = 247;
    /// Seconds since the next key was used.
    pub const IDLE: u8 = 248;
    /// How often the next key was used.
    pub const FREQ: u8 = 249;
    /// A name and a value.
    pub const AUX: u8 = 250;
    /// The number of the database's keys, and of those with an expiry.
    pub const RESIZE_DB: u8 = 251;
    /// When the next key ends, in milliseconds of Unix time.
    pub const EXPIRE_TIME_MS: u8 = 252;
    /// When the next key ends, in seconds of Unix time.
    pub const EXPIRE_TIME: u8 = 253;
    /// The database of the keys that follow.
    pub const SELECT_DB: u8 = 254;
    /// The end of the items.
    pub const EOF: u8 = 255;
}
